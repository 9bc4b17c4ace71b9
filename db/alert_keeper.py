"""Keeps alerts and daily demand true: follows the ledger, tenant by tenant, and goes its rounds.

Two roles, each with the least that it needs. The follower role reads the facts of all tenants and
writes nothing but its own cursor; the app role writes the effect for one tenant at a time, under
row security, and moves the tenant's cursor in the same transaction. A page of facts that comes
again, after a kill or from a second worker, finds that cursor moved and changes nothing.
"""

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date
from uuid import UUID

from sqlalchemy import Engine, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from db import alerts
from db.engine import transaction
from db.events import Fact
from db.follower import pages
from db.reorder import SETTINGS_CHANGED
from db.reorder_tables import AlertCursor, LevelDemand
from domain.stock import Kind

logger = logging.getLogger(__name__)
#: Name of the keeper's cursor among the followers.
NAME = "alerts"
LOOK_SECONDS = 1.0
#: How often every open alert is looked at again: a variant that was disabled or a warehouse that
#: was closed is no fact of a level.
ROUND_SECONDS = 600.0
_CHUNK = 500
_SALES = {f"stock.{kind}" for kind in (Kind.SALE, Kind.SHIP)}
_ON_HAND = ("available", "reserved", "damaged", "quarantine")
_DUE = text("""
    SELECT tenant_id, id FROM stock_alerts
     WHERE status = 'snoozed' AND snoozed_until <= clock_timestamp()
     ORDER BY snoozed_until LIMIT :at_most
""")
_ROUND = text("""
    SELECT tenant_id, id, level_id FROM stock_alerts
     WHERE status <> 'resolved' AND (tenant_id, id) > (:tenant, :after)
     ORDER BY tenant_id, id LIMIT :at_most
""")


class AlertKeeper:
    """A thread that keeps, wakes and goes round until ``close``; any number may run at once."""

    def __init__(self, followers: Engine, app: Engine) -> None:
        self._followers, self._app = followers, app
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop within about a second, or after the page in hand."""
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        next_round = time.monotonic()
        while not self._stop.is_set():
            try:
                keep(self._followers, self._app, stopped=self._stop.is_set)
                wake(self._followers, self._app)
                if time.monotonic() >= next_round:
                    go_round(self._followers, self._app, stopped=self._stop.is_set)
                    next_round = time.monotonic() + ROUND_SECONDS
            except (DBAPIError, PoolTimeout) as error:
                logger.warning("The alerts could not be kept up to date: %s", error)
            except Exception:
                # Nobody waits for this thread: it must not end before its process.
                logger.exception("The alerts could not be kept up to date")
            self._stop.wait(LOOK_SECONDS)


def keep(
    followers: Engine,
    app: Engine,
    *,
    page: int = 1000,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Work off every fact that there is, or until ``stopped``."""
    for found in pages(followers, NAME, page=page):
        by_tenant: dict[UUID, list[Fact]] = defaultdict(list)
        for fact in found:
            if _level_of(fact) is not None:
                by_tenant[fact.tenant_id].append(fact)
        for tenant_id, facts in by_tenant.items():
            with transaction(app, tenant_id) as session:
                _work_off(session, facts)
        if stopped():
            return


def wake(followers: Engine, app: Engine) -> None:
    """Make alerts new again whose snooze is over."""
    with Session(followers) as session, session.begin():
        due = session.execute(_DUE, {"at_most": _CHUNK}).all()
    for tenant_id, ids in _grouped((row.tenant_id, row.id) for row in due).items():
        with transaction(app, tenant_id) as session:
            alerts.wake(session, ids)


def go_round(
    followers: Engine, app: Engine, *, stopped: Callable[[], bool] = lambda: False
) -> None:
    """Look once at the level of every open alert, in chunks."""
    tenant = after = UUID(int=0)
    while not stopped():
        with Session(followers) as session, session.begin():
            given = {"tenant": tenant, "after": after, "at_most": _CHUNK}
            rows = session.execute(_ROUND, given).all()
        for tenant_id, ids in _grouped((row.tenant_id, row.level_id) for row in rows).items():
            with transaction(app, tenant_id) as session:
                _position(session)
                alerts.evaluate(session, ids)
        if len(rows) < _CHUNK:
            return
        tenant, after = rows[-1].tenant_id, rows[-1].id


def _work_off(session: Session, facts: Sequence[Fact]) -> None:
    """The effect of one tenant's facts on its alerts and demand, once each."""
    done = _position(session)
    new = [fact for fact in facts if fact.position > done]
    if not new:
        return
    _add_demand(session, new)
    alerts.evaluate(session, {level for fact in new if (level := _level_of(fact)) is not None})
    session.execute(
        update(AlertCursor).values(position=new[-1].position, updated_at=func.clock_timestamp())
    )


def _position(session: Session) -> int:
    """The tenant's cursor, locked: one keeper at a time evaluates the levels of a tenant."""
    session.execute(insert(AlertCursor).values(position=0).on_conflict_do_nothing())
    return session.scalars(select(AlertCursor.position).with_for_update()).one()


def _level_of(fact: Fact) -> UUID | None:
    """The level that the fact is about, if it may concern an alert."""
    about = fact.subject_kind == "level" or fact.kind == SETTINGS_CHANGED
    return UUID(fact.subject_id) if about else None


def _add_demand(session: Session, facts: Iterable[Fact]) -> None:
    """Add what was sold to its level and day."""
    sold: Counter[tuple[UUID, date]] = Counter()
    for fact in facts:
        if fact.kind in _SALES:
            day = fact.occurred_at.astimezone(UTC).date()
            sold[UUID(fact.subject_id), day] -= sum(fact.data[bucket][1] for bucket in _ON_HAND)
    rows = [
        {"level_id": level_id, "day": day, "units": units}
        for (level_id, day), units in sorted(sold.items())
        if units > 0
    ]
    if rows:
        adding = insert(LevelDemand).values(rows)
        session.execute(
            adding.on_conflict_do_update(
                constraint="level_demand_pkey",
                set_={"units": LevelDemand.units + adding.excluded.units},
            )
        )


def _grouped(pairs: Iterable[tuple[UUID, UUID]]) -> dict[UUID, set[UUID]]:
    groups: dict[UUID, set[UUID]] = defaultdict(set)
    for tenant_id, id_ in pairs:
        groups[tenant_id].add(id_)
    return groups
