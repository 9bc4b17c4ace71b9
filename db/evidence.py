"""What is known of one level: its row, what its movements add up to, and where the two part.

The audit explains its findings with it, and ``db/corrections.py`` works on it under the level's
lock. Everything is read as maint, for one tenant, by the level's own index; only the stored answers
of suspicious movements are looked for among all keys of the tenant.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from domain.corrections import BUCKETS, Keep, Standing, settle
from domain.errors import Conflict

#: Breaks that are looked at; whoever broke more has broken everything.
BREAKS_MAX = 100
RECENT_MAX = 5


class Break(NamedTuple):
    """A movement that does not begin where the one before it ended: by how much, and when."""

    sequence: int
    gap: Standing
    after: datetime | None
    before: datetime


@dataclass(frozen=True, slots=True)
class Books:
    """One level's two stories. ``breaks`` are those that nobody signed; ``holds`` the open units.

    ``missing`` are numbers without a movement, ``altered`` numbers of movements that differ from
    the answer that was stored with them: neither can be made good by anything that is appended.
    """

    tenant_id: UUID
    level_id: UUID
    warehouse_id: UUID
    variant_id: UUID
    sku: str
    warehouse: str
    lot: str | None
    currency: str
    time_zone: str
    average_cost: Decimal
    row: Standing
    sequence: int
    updated_at: datetime
    ledger: Standing
    movements: int
    last: int
    ended: Standing
    last_at: datetime | None
    holds: int
    breaks: Sequence[Break] = ()
    missing: Sequence[int] = ()
    altered: Sequence[int] = ()
    recent: Sequence[Mapping[str, Any]] = field(default=())

    @property
    def balanced(self) -> bool:
        """Whether there is nothing that a correction could do."""
        try:
            nothing = not settle(
                Keep.LEVEL, self.row, self.ledger, self.average_cost, self.holds
            ).steps
        except Conflict:
            nothing = False
        return nothing and not self.breaks and self.sequence == self.movements == self.last

    @property
    def obstacles(self) -> list[str]:
        """Why no appended movement can make the level good again, with what to do."""
        found = [
            f"Movement number {n} is missing. Restore the row of stock_movements (and of postings,"
            " if it is gone too) from a backup, as a superuser."
            for n in self.missing
        ]
        found += [
            f"Movement number {n} differs from the answer that was stored with it, so it was"
            " changed afterwards. Restore the row of stock_movements from a backup, as a superuser."
            for n in self.altered
        ]
        return found


def books(session: Session, tenant_id: UUID, level_id: UUID, *, lock: bool = False) -> Books | None:
    """What is known of a level, or None when there is none; ``lock`` keeps it until the commit."""
    of = {"tenant": tenant_id, "level": level_id}
    row = session.execute(_LOCKED if lock else _ROW, of).mappings().one_or_none()
    if row is None:
        return None
    sums = session.execute(_SUMS, of).mappings().one()
    last = session.execute(_LAST, of).mappings().one_or_none()
    broken = session.execute(_BREAKS, of | {"at_most": BREAKS_MAX}).mappings().all()
    suspicious = {n for one in broken for n in (one["sequence"] - 1, one["sequence"])}
    if (
        last is not None
        and _standing(last, "_after", last["value_after"])[:6]
        != (_standing(row, "", row["total_value"])[:6])
    ):
        suspicious.add(last["sequence"])
    return Books(
        tenant_id=tenant_id,
        level_id=level_id,
        **{name: row[name] for name in _NAMES},
        row=_standing(row, "", row["total_value"], row["in_transit_value"]),
        ledger=_standing(sums, "", sums["value"], sums["in_transit_value"]),
        movements=sums["movements"],
        last=sums["last"],
        ended=Standing() if last is None else _standing(last, "_after", last["value_after"]),
        last_at=None if last is None else last["recorded_at"],
        holds=session.execute(_HOLDS, of).scalar_one(),
        breaks=[
            Break(
                one["sequence"],
                _standing(one, "_gap", one["value_gap"]),
                one["recorded_prior"],
                one["recorded_at"],
            )
            for one in broken
            if one["sequence"] == one["sequence_prior"] + 1
        ],
        missing=list(islice(_skipped(broken), BREAKS_MAX)),
        altered=_altered(session, tenant_id, level_id, suspicious),
        recent=[dict(one) for one in session.execute(_RECENT, of | {"n": RECENT_MAX}).mappings()],
    )


def evidence(known: Books) -> dict[str, Any]:
    """What a person needs to judge a finding about a level."""
    return {
        "sku": known.sku,
        "warehouse": known.warehouse,
        "lot": known.lot,
        "level_says": known.row.told(),
        "movements_add_up_to": known.ledger.told(),
        "open_holds": known.holds,
        "since": since(known),
        "last_movements": [dict(one) for one in known.recent],
    }


def since(known: Books) -> str:
    """When the level was changed behind the ledger's back, as far as the rows can tell."""
    if known.breaks:
        first = known.breaks[0]
        return (
            f"between movement number {first.sequence - 1} ({_at(first.after)}) and number"
            f" {first.sequence} ({_at(first.before)}): {_differing(first.gap)}"
        )
    if known.ended[:6] != known.row[:6]:
        return (
            f"after movement number {known.last} ({_at(known.last_at)});"
            f" the row was last written by a command at {_at(known.updated_at)}"
        )
    return "unknown: every movement begins where the one before it ended"


def proposals(known: Books) -> list[dict[str, Any]]:
    """The corrections that a person may sign, each with what it leads to; none where none helps."""
    if known.balanced or known.obstacles:
        return []
    found: list[dict[str, Any]] = []
    for keep in Keep:
        try:
            settled = settle(keep, known.row, known.ledger, known.average_cost, known.holds)
        except Conflict as refusal:
            found.append({"keep": keep.value, "possible": False, "why_not": refusal.detail})
            continue
        steps = [_differing(after.minus(before)) for before, after in settled.steps]
        found.append(
            {
                "keep": keep.value,
                "possible": True,
                "movements": steps,
                "leads_to": settled.standing.told(),
                "command": f"stockwright audit --correct {known.level_id} --keep {keep}"
                " --signed-by NAME --reason TEXT",
            }
        )
    return found


def _skipped(broken: Iterable[RowMapping]) -> Iterator[int]:
    for one in broken:
        yield from range(one["sequence_prior"] + 1, one["sequence"])


def _differing(change: Standing) -> str:
    """A change in words that leave out what stays."""
    parts = [f"{name} {value:+}" for name, value in change._asdict().items() if value]
    return ", ".join(parts) or "no units, no value"


def _at(when: datetime | None) -> str:
    return "the beginning" if when is None else when.isoformat(timespec="seconds")


def _standing(
    row: RowMapping, suffix: str, value: Decimal, in_transit_value: Decimal | None = None
) -> Standing:
    held = {bucket: row[f"{bucket}{suffix}"] for bucket in BUCKETS}
    return Standing(**held, value=value, in_transit_value=in_transit_value or Decimal(0))


def _altered(
    session: Session, tenant_id: UUID, level_id: UUID, numbers: Iterable[int]
) -> list[int]:
    """Those of the movements that are not what their stored answer told."""
    wanted = {"tenant": tenant_id, "level": level_id, "numbers": list(numbers)}
    if not wanted["numbers"]:
        return []
    found = []
    for row in session.execute(_ANSWERS, wanted).mappings():
        told = _told(row["answer"], row)
        if told is not None and told != _recorded(row):
            found.append(row["sequence"])
    return sorted(found)


def _told(answer: bytes, row: RowMapping) -> dict[str, Any] | None:
    """What the stored answer says of a movement; None when it does not speak of it."""
    try:
        movements = json.loads(answer)["movements"]
    except (ValueError, KeyError, TypeError):
        return None
    for one in movements:
        place = (one["warehouse_id"], one["variant_id"], one["lot"], one["sequence"])
        if place == (str(row["warehouse_id"]), str(row["variant_id"]), row["lot"], row["sequence"]):
            return {name: one[name] for name in _TOLD}
    return None


def _recorded(row: RowMapping) -> dict[str, Any]:
    return {name: row[name] for name in _TOLD} | {"value_change": str(row["value_change"])}


_NAMES = (
    "warehouse_id",
    "variant_id",
    "sku",
    "warehouse",
    "lot",
    "currency",
    "time_zone",
    "average_cost",
    "sequence",
    "updated_at",
)
_TOLD = (
    "kind",
    "quantity_after",
    "available_change",
    "available_after",
    "reserved_change",
    "reserved_after",
    "damaged_change",
    "quarantine_change",
    "value_change",
)
_LEVEL = """
SELECT l.*, v.sku, w.code AS warehouse, t.currency, t.time_zone
  FROM inventory_levels l
  JOIN variants v ON v.tenant_id = l.tenant_id AND v.id = l.variant_id
  JOIN warehouses w ON w.tenant_id = l.tenant_id AND w.id = l.warehouse_id
  JOIN tenants t ON t.id = l.tenant_id
 WHERE l.tenant_id = :tenant AND l.id = :level
"""
_ROW = text(_LEVEL)
_LOCKED = text(f"{_LEVEL} FOR NO KEY UPDATE OF l")
_CHANGES = ", ".join(f"coalesce(sum({b}_change), 0)::bigint AS {b}" for b in BUCKETS)
_SUMS = text(f"""
SELECT {_CHANGES}, coalesce(sum(value_change), 0)::numeric(38, 6) AS value,
       coalesce(sum(in_transit_value_change), 0)::numeric(38, 6) AS in_transit_value,
       count(*) AS movements, coalesce(max(sequence), 0) AS last
  FROM stock_movements WHERE tenant_id = :tenant AND level_id = :level
""")
_LAST = text("""
SELECT * FROM stock_movements WHERE tenant_id = :tenant AND level_id = :level
 ORDER BY sequence DESC LIMIT 1
""")
_HOLDS = text("""
SELECT coalesce(sum(open), 0)::bigint FROM reservations
 WHERE tenant_id = :tenant AND level_id = :level AND open > 0
""")
_RECENT = text("""
SELECT sequence, id, kind, available_change, reserved_change, damaged_change, quarantine_change,
       in_transit_change, value_change, created_by, reason, occurred_at, recorded_at
  FROM stock_movements WHERE tenant_id = :tenant AND level_id = :level
 ORDER BY sequence DESC LIMIT :n
""")
_LAGS = ", ".join(f"lag({b}_after, 1, 0::bigint) OVER w AS {b}_prior" for b in BUCKETS)
_GAPS = ", ".join(f"c.{b}_before - c.{b}_prior - coalesce(s.{b}, 0) AS {b}_gap" for b in BUCKETS)
_BREAKS = text(f"""
SELECT * FROM (
    SELECT c.sequence, c.sequence_prior, c.recorded_at, c.recorded_prior, {_GAPS},
           c.value_after - c.value_change - c.value_prior - coalesce(s.value, 0) AS value_gap
      FROM (SELECT m.*, {_LAGS}, lag(value_after, 1, 0::numeric) OVER w AS value_prior,
                   lag(sequence, 1, 0::bigint) OVER w AS sequence_prior,
                   lag(recorded_at) OVER w AS recorded_prior
              FROM stock_movements m WHERE m.tenant_id = :tenant AND m.level_id = :level
            WINDOW w AS (ORDER BY sequence)) c
      LEFT JOIN signed_breaks s ON s.tenant_id = c.tenant_id AND s.level_id = c.level_id
                               AND s.sequence = c.sequence) gaps
 WHERE {" OR ".join(f"{b}_gap <> 0" for b in BUCKETS)} OR value_gap <> 0
    OR sequence <> sequence_prior + 1
 ORDER BY sequence LIMIT :at_most
""")
_ANSWERS = text("""
SELECT m.sequence, m.warehouse_id, m.variant_id, l.lot, m.kind, m.available_change,
       m.available_after, m.reserved_change, m.reserved_after, m.damaged_change,
       m.quarantine_change, m.value_change,
       m.available_after + m.reserved_after + m.damaged_after + m.quarantine_after
           AS quantity_after, o.answer
  FROM stock_movements m
  JOIN inventory_levels l ON l.tenant_id = m.tenant_id AND l.id = m.level_id
  JOIN operations o ON o.tenant_id = m.tenant_id AND o.id = m.operation_id
 WHERE m.tenant_id = :tenant AND m.level_id = :level AND m.sequence = ANY(:numbers)
   AND o.answer IS NOT NULL
""")
