"""Random commands in batches of random size: PostgreSQL must agree with the pure rules in all.

The rules keep running numbers in memory, SQL derives them anew as running sums from the locked
rows. The machine compares every answer, every level, every hold and every movement.
"""

import json
from collections import Counter
from copy import deepcopy
from typing import Any, get_args
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg import Connection, errors
from sqlalchemy import Engine
from uuid_utils.compat import uuid7

from db import stock_sql as sql
from db.stock import Ledger
from db.stock_commands import Outcome, StockCommand, plain_answer
from domain.errors import StockwrightError
from domain.stock import (
    UNKNOWN,
    Accepted,
    Action,
    Adjust,
    Change,
    Hold,
    Level,
    LevelKey,
    Receive,
    Refused,
    Set,
    Transfer,
    View,
)
from domain.stock_rules import decide
from tests.conftest import Database
from tests.domain.stock_strategies import every_action, keys, latest, remember
from tests.support import books, command, levels, make_items, new_tenant, rows

PLACES = keys(2, 2)
BUCKETS = ("available", "reserved", "damaged", "quarantine", "in_transit")
COLUMNS = ", ".join(f"m.{b}_before, m.{b}_change, m.{b}_after" for b in BUCKETS)
#: What the machine did in all its runs, so that the test can tell whether it did enough.
DONE: Counter[str] = Counter()

batches = st.lists(st.tuples(every_action(PLACES), st.integers(0, 19)), min_size=3, max_size=10)


class Machine(RuleBasedStateMachine):
    """Two ledgers on two connections take turns; the model knows only the rules."""

    engine: Engine
    maint: Engine
    conninfo: str

    @initialize()
    def start(self) -> None:
        self.items = make_items(self.engine, new_tenant(self.maint), variants=2, warehouses=2)
        self.places = dict(zip(PLACES, self.items.keys(), strict=True))
        self.conns: list[Connection[Any]] = [
            psycopg.connect(self.conninfo, autocommit=True) for _ in range(2)
        ]
        self.ledgers = [Ledger(uuid7), Ledger(uuid7, known_max=2)]
        self.model = View({}, {})
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.sent: list[StockCommand] = []
        self.moves: list[Change] = []

    def teardown(self) -> None:
        try:
            if hasattr(self, "items"):
                assert books(self.maint, self.items.tenant) == []
        finally:
            for conn in getattr(self, "conns", []):
                conn.close()

    def _placed(self, action: Any) -> Action:
        """The drawn action on the levels of this run's tenant."""
        if not hasattr(action, "lines") or not isinstance(action.lines, tuple):
            return latest(self.model, action)
        lines = tuple(
            line._replace(
                **{
                    f: self.places[getattr(line, f)]
                    for f in ("level", "target")
                    if hasattr(line, f)
                }
            )
            for line in action.lines
        )
        placed: Action = type(action)(**{**_fields(action), "lines": lines})
        return placed

    def _batch(self, drawn: list[tuple[Action, int]]) -> list[StockCommand]:
        """Mostly new commands, now and then one that was sent before."""
        made = []
        for action, dice in drawn:
            again = dice == 0 and self.sent
            one = self.sent[-1] if again else command(self._placed(action))
            made.append(one)
            self.sent.append(one)
        return made

    @rule(drawn=batches, who=st.integers(0, 1))
    def post(self, drawn: list[tuple[Action, int]], who: int) -> None:
        batch = self._batch(drawn)
        outcomes = self._apply(who, batch)
        self._create(batch)
        for one, outcome in zip(batch, outcomes, strict=True):
            assert isinstance(outcome, Outcome)
            self._compare(one, outcome)
        kinds = {type(one.action) for one in batch}
        DONE["mixed"] += Receive in kinds and len(kinds) > 1

    @rule(drawn=batches)
    def post_as_the_first(self, drawn: list[tuple[Action, int]]) -> None:
        self.post(drawn, 0)

    @rule(drawn=batches, who=st.integers(0, 1))
    def post_and_roll_back(self, drawn: list[tuple[Action, int]], who: int) -> None:
        """A batch that was never committed changes nothing, in the database or in the ledger."""
        batch = [command(self._placed(action)) for action, _ in drawn]
        self._apply(who, batch, keep=False)

    @precondition(lambda self: self.model.levels)
    @rule(n=st.integers(0, 3), active=st.booleans())
    def disable_or_enable(self, n: int, active: bool) -> None:
        key = sorted(self.model.levels)[n % len(self.model.levels)]
        rows(
            self.engine,
            self.items.tenant,
            "UPDATE variants SET status = :status WHERE id = :id RETURNING 1",
            id=key.variant_id,
            status="active" if active else "disabled",
        )
        for level in self.model.levels.values():
            if level.key.variant_id == key.variant_id:
                level.variant_active = active

    def _apply(
        self, who: int, batch: list[StockCommand], *, keep: bool = True
    ) -> list[Outcome | StockwrightError]:
        """As the writer does: first as foreseen, and by reading if that was a mistake."""
        conn, ledger = self.conns[who], self.ledgers[who]
        foreseen = ledger.foresee(self.items.tenant, batch)
        if foreseen is not None:
            try:
                with conn.transaction(force_rollback=not keep):
                    conn.execute(sql.SET_TENANT, (str(self.items.tenant),))
                    outcomes = ledger.apply_foreseen(conn, self.items.tenant, foreseen)
            except (errors.SerializationFailure, errors.UniqueViolation):
                ledger.came_true(it_did=False)
                DONE["mistaken"] += 1
            else:
                ledger.came_true(it_did=True)
                DONE["foreseen"] += 1
                return outcomes
        with conn.transaction(force_rollback=not keep):
            return ledger.apply(conn, self.items.tenant, batch)

    def _create(self, batch: list[StockCommand]) -> None:
        """Levels come to be when a batch brings goods in, at its start."""
        for one in batch:
            for key in _inbound(one.action):
                if key not in self.model.levels:
                    level = Level(uuid7(), key, variant_active=self._is_active(key))
                    self.model.levels[key] = level

    def _is_active(self, key: LevelKey) -> bool:
        found = rows(
            self.engine,
            self.items.tenant,
            "SELECT status = 'active' FROM variants WHERE id = :id",
            id=key.variant_id,
        )
        return bool(found[0][0])

    def _compare(self, one: StockCommand, outcome: Outcome) -> None:
        DONE["commands"] += 1
        if one.key in self.answers:
            DONE["repeats"] += 1
            assert outcome.replayed
            assert (outcome.status, outcome.body) == self.answers[one.key]
            return
        given = json.loads(outcome.body)
        result = decide(self.model, one.action, uuid7)
        operation = given.get("operation_id", str(uuid7()))
        status, expected = plain_answer(operation, one.action, result)
        assert (outcome.status, given) == (status, json.loads(expected))
        assert not outcome.replayed
        DONE[type(result).__name__] += 1
        if not isinstance(result, Refused) or result.code not in UNKNOWN:
            self.answers[one.key] = (outcome.status, outcome.body)
        if isinstance(result, Accepted):
            DONE[type(one.action).__name__] += 1
            self.moves += result.changes
            remember(self.model, UUID(operation), one.action, result)

    @invariant()
    def levels_agree(self) -> None:
        if not hasattr(self, "model"):
            return
        found = levels(self.engine, self.items.tenant)
        assert set(found) == set(self.model.levels)
        for key, level in self.model.levels.items():
            buckets = tuple(getattr(level, bucket) for bucket in BUCKETS)
            assert found[key][1:] == (
                *buckets,
                level.average_cost,
                level.total_value,
                level.sequence,
            )

    @invariant()
    def holds_agree(self) -> None:
        if not hasattr(self, "model"):
            return
        found = rows(
            self.engine,
            self.items.tenant,
            "SELECT r.owner, r.line, l.warehouse_id, l.variant_id, r.quantity, r.open"
            " FROM reservations r JOIN inventory_levels l ON l.id = r.level_id",
        )
        mine = [hold for holds in self.model.holds.values() for hold in holds]
        assert Counter(map(tuple, found)) == Counter(map(_hold, mine))

    @invariant()
    def movements_agree(self) -> None:
        if not getattr(self, "moves", None):
            return
        found = rows(
            self.engine,
            self.items.tenant,
            f"SELECT m.warehouse_id, m.variant_id, m.sequence, m.kind, {COLUMNS},"  # noqa: S608
            " m.unit_cost, m.value_change, m.value_after FROM stock_movements m"
            " ORDER BY m.posting_id, m.ordinal",
        )
        tail = self.moves[-40:]
        assert len(found) == len(self.moves)
        # Holds of one line are used up oldest first; then the order of changes is the same too.
        at = _before(self.moves)
        expected = [_movement(change, at[n]) for n, change in enumerate(self.moves)]
        assert [tuple(row) for row in found[-len(tail) :]] == expected[-len(tail) :]


def _fields(action: Action) -> dict[str, Any]:
    return {name: getattr(action, name) for name in action.__dataclass_fields__}


def _inbound(action: Action) -> list[LevelKey]:
    if isinstance(action, Receive | Adjust | Set):
        return [line.level for line in action.lines if line.quantity > 0]
    return [line.target for line in action.lines] if isinstance(action, Transfer) else []


def _hold(hold: Hold) -> tuple[Any, ...]:
    key = hold.level
    return (hold.owner, hold.line, key.warehouse_id, key.variant_id, hold.quantity, hold.open)


def _before(moves: list[Change]) -> list[dict[str, int]]:
    """Every bucket before each change, added up from the changes alone."""
    now: dict[LevelKey, Counter[str]] = {}
    found = []
    for change in moves:
        state = now.setdefault(change.level, Counter())
        found.append({bucket: state[bucket] for bucket in BUCKETS})
        for bucket in BUCKETS:
            state[bucket] += getattr(change, bucket)
    return deepcopy(found)


def _movement(change: Change, before: dict[str, int]) -> tuple[Any, ...]:
    numbers: list[int] = []
    for bucket in BUCKETS:
        moved = getattr(change, bucket)
        numbers += [before[bucket], moved, before[bucket] + moved]
    key = change.level
    return (
        key.warehouse_id,
        key.variant_id,
        change.sequence,
        change.kind.value,
        *numbers,
        change.unit_cost,
        change.value,
        change.value_after,
    )


@pytest.mark.timeout(170)
def test_postgresql_and_the_rules_agree_on_random_batches(
    database: Database, engine: Engine, maint_engine: Engine
) -> None:
    DONE.clear()
    machine = type(
        "Bound",
        (Machine,),
        {"engine": engine, "maint": maint_engine, "conninfo": database.conninfo()},
    )
    # How long a run is, chance decides: some more, until enough has happened.
    for _ in range(6):
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=12,
                stateful_step_count=25,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
        if DONE["commands"] >= 1000 and min(DONE["mixed"], DONE["repeats"]) >= 50:
            break
    assert DONE["commands"] >= 1000, DONE
    assert DONE["mixed"] >= 50, DONE
    assert min(DONE["Accepted"], DONE["Refused"]) >= 100, DONE
    assert DONE["repeats"] > 0, DONE
    assert min(DONE["foreseen"], DONE["mistaken"]) > 0, DONE
    assert all(DONE[action.__name__] for action in get_args(Action)), DONE
