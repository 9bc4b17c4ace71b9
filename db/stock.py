"""The only writer of levels, movements and reservations: many commands in one transaction.

``apply`` locks the touched levels in one global order (their id), reads the known keys and the
open holds, lets ``domain/stock_rules.py`` decide every command in turn, and writes what was
accepted as sets. It never commits: ``db/stock_writer.py`` owns the transaction.

Why this order. Missing levels are inserted before any level is locked; operation keys are
inserted after all levels are locked. So no two batches can wait for each other in a circle. A
posting takes its id after the locks, which keeps ledger positions in the order of each level.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection, RawCursor

from db import arrays
from db import stock_sql as sql
from db.stock_batch import Operation
from db.stock_commands import Command, Outcome
from db.stock_decisions import Decided, decide_all, levels_of
from domain.errors import StockwrightError
from domain.stock import (
    Action,
    Adjust,
    Deduct,
    Hold,
    Kind,
    Level,
    LevelKey,
    Move,
    Moved,
    NewId,
    Original,
    Receive,
    Release,
    Reserve,
    Revalue,
    Reverse,
    Set,
    Ship,
    Transfer,
    View,
)

ROUNDS_MAX = 5
#: What is decided on levels alone, without holds or earlier operations.
_LEVELS_ONLY = Receive | Deduct | Adjust | Move | Set | Transfer | Reserve | Revalue


class StaleBatch(Exception):
    """A hold or key appeared between two statements: run the batch again from its start."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A batch as it is decided if the levels are found to be ``before`` and no key is known."""

    before: list[Level]
    after: list[Level]
    decided: Decided


class Ledger:
    """Applies batches for one connection; remembers the ids of levels, which never change.

    It also remembers how it left the latest levels. On them ``foresee`` decides a batch without
    reading, perhaps while the one before is still being written. That is right whenever nobody else
    wrote in between; PostgreSQL compares after it locked, and undoes what was decided on anything
    else. Then the batch is applied again by reading first.
    """

    def __init__(self, new_id: NewId, known_max: int = 200_000, levels_max: int = 20_000) -> None:
        self._new_id = new_id
        self._ids: dict[tuple[UUID, LevelKey], UUID] = {}
        self._known_max = known_max
        self._levels: dict[UUID, Level] = {}
        self._levels_max = levels_max
        #: Batches for which nothing is foreseen, because somebody else writes to these levels.
        self._pause = self._paused = 0

    def foresee(self, tenant: UUID, commands: Sequence[Command]) -> Foreseen | None:
        """Decide a batch on the levels as this ledger left them; None when that is not known."""
        if self._pause:
            self._pause -= 1
            return None
        if not all(isinstance(one, _LEVELS_ONLY) for c in commands for one in c.actions):
            return None
        before: list[Level] = []
        levels: dict[LevelKey, Level] = {}
        for key in {key for c in commands for action in c.actions for key in levels_of(action)}:
            level_id = self._ids.get((tenant, key))
            level = None if level_id is None else self._levels.get(level_id)
            if level is None:
                return None
            before.append(level)
            levels[key] = level.copy()
        decided = decide_all(View(levels, {}), {}, tenant, commands, self._new_id)
        # Without effect there is nothing that PostgreSQL would compare before it writes.
        if decided.written is None:
            return None
        before.sort(key=attrgetter("id"))
        return Foreseen(before, list(levels.values()), decided)

    def came_true(self, *, it_did: bool) -> None:
        """Tell what became of what was foreseen; after a mistake foresight pauses for a while."""
        self._paused = 0 if it_did else min(64, 2 * self._paused + 1)
        self._pause = self._paused

    def apply_foreseen(
        self, conn: Connection[Any], tenant: UUID, foreseen: Foreseen
    ) -> list[Outcome | StockwrightError]:
        """Write what was foreseen in the open transaction of ``conn``, without waiting for it.

        The tenant is set on the connection already.

        Raises, when the results are waited for:
            SerializationFailure: a level is not as it was foreseen.
            UniqueViolation: a key is known.
        """
        cursor = RawCursor(conn)
        arrays.adapt(cursor)
        cursor.execute(sql.LOCK_AS_FORESEEN, (tenant, *_columns_of(foreseen.before)))
        _write(conn, tenant, foreseen.decided)
        self._remember(foreseen.after)
        return foreseen.decided.outcomes

    def apply(
        self, conn: Connection[Any], tenant: UUID, commands: Sequence[Command]
    ) -> list[Outcome | StockwrightError]:
        """Decide and write ``commands`` of one tenant in the open transaction of ``conn``.

        Returns one outcome a command, in order; a reused or claimed key is returned as its error,
        not raised, because its neighbours are innocent.

        Raises:
            StaleBatch: something appeared meanwhile; roll back and call again.
            psycopg.Error: whatever the database refused; roll back.
        """
        conn.execute(sql.SET_TENANT, (str(tenant),))
        originals, more = _originals(conn, tenant, commands)
        ids, unknown = self._resolve(conn, tenant, commands, more)
        # A reserve adds holds and needs none; only what uses holds has them read. Each statement
        # sees what was committed before it, so the keys are read before the holds: whoever finds
        # the key of a reserve finds its holds too, and whoever misses it meets it when it buries.
        actions = [action for command in commands for action in command.actions]
        owners = [action.owner for action in actions if isinstance(action, Release | Ship)]
        if owners:
            locked = conn.execute(sql.LOCK_WITH_OWNERS, (tenant, ids, tenant, owners))
        else:
            locked = conn.execute(sql.LOCK, (tenant, ids))
        known = conn.execute(sql.OPERATIONS, _key_columns(tenant, commands))
        held = conn.execute(sql.HOLDS, (tenant, owners)) if owners else None
        if originals:
            done = conn.execute(sql.REVERSALS, (tenant, list(originals)))
            for original_id, operation_id in done:
                originals[original_id].reversed_by = operation_id
        levels = {level.id: level for level in map(_level, locked.fetchall())}
        self._forget_missing(ids, levels)
        view = View({level.key: level for level in levels.values()}, {}, unknown, originals)
        if held is not None:
            _fill_holds(view, levels, held.fetchall())
        stored = {(row[0], row[1]): Operation(*row) for row in known.fetchall()}
        decided = decide_all(view, stored, tenant, commands, self._new_id)
        _write(conn, tenant, decided)
        self._remember(view.levels.values())
        return decided.outcomes

    def _remember(self, levels: Iterable[Level]) -> None:
        """How the levels will be once the batch is through; a rollback leaves a wrong guess."""
        if len(self._levels) > self._levels_max:
            self._levels.clear()
        self._levels.update({level.id: level for level in levels})

    def _resolve(
        self,
        conn: Connection[Any],
        tenant: UUID,
        commands: Sequence[Command],
        more: frozenset[UUID],
    ) -> tuple[list[UUID], frozenset[LevelKey]]:
        """Ids of the levels that the batch names and ``more``, creating those goods come into.

        The second part are keys that name something which does not exist.
        """
        if len(self._ids) > self._known_max:
            self._ids.clear()
        wanted = {
            key for command in commands for action in command.actions for key in levels_of(action)
        }
        ids = {key: self._ids[tenant, key] for key in wanted if (tenant, key) in self._ids}
        missing = sorted(wanted - ids.keys(), key=_sort)
        if missing:
            found = self._find(conn, tenant, missing)
            self._ids.update({(tenant, key): id_ for key, id_ in found.items()})
            ids |= found
            inbound = {
                key
                for command in commands
                for action in command.actions
                for key in _inbound(action)
            }
            create = [key for key in missing if key in inbound and key not in ids]
            if create:
                # Not remembered before the next batch finds them: this one may be rolled back.
                conn.execute(sql.CREATE_LEVELS, _columns(create))
                ids |= self._find(conn, tenant, create)
        unknown: frozenset[LevelKey] = frozenset()
        without = [key for key in missing if key not in ids]
        if without:
            known = {(w, v) for w, v in conn.execute(sql.KNOWN_ITEMS, _columns(without)[:2])}
            unknown = frozenset(
                key for key in without if (key.warehouse_id, key.variant_id) not in known
            )
        return sorted({*ids.values(), *more}), unknown

    def _find(
        self, conn: Connection[Any], tenant: UUID, keys: Sequence[LevelKey]
    ) -> dict[LevelKey, UUID]:
        rows = conn.execute(sql.FIND_LEVELS, (*_columns(keys), tenant))
        return {LevelKey(row[1], row[2], row[3]): row[0] for row in rows}

    def _forget_missing(self, ids: Sequence[UUID], levels: Mapping[UUID, Level]) -> None:
        """Forget ids that name nothing: a server that took over may have lost the last commits."""
        gone = set(ids) - levels.keys()
        if gone:
            self._ids = {key: id_ for key, id_ in self._ids.items() if id_ not in gone}
            raise StaleBatch("A level that was remembered does not exist.")


def _columns_of(levels: Sequence[Level]) -> list[arrays.Array | str]:
    return [
        arrays.uuids([level.id for level in levels]),
        arrays.integers([level.available for level in levels]),
        arrays.integers([level.reserved for level in levels]),
        arrays.integers([level.damaged for level in levels]),
        arrays.integers([level.quarantine for level in levels]),
        arrays.integers([level.in_transit for level in levels]),
        arrays.integers([level.sequence for level in levels]),
        arrays.decimals(level.average_cost for level in levels),
        arrays.decimals(level.total_value for level in levels),
        arrays.booleans(level.variant_active for level in levels),
        arrays.booleans(level.warehouse_active for level in levels),
    ]


def _write(conn: Connection[Any], tenant: UUID, decided: Decided) -> None:
    if decided.written is not None:
        cursor = RawCursor(conn)
        arrays.adapt(cursor)
        cursor.execute(sql.WRITE, decided.written)
    if decided.reversals:
        pairs = (list(decided.reversals), list(decided.reversals.values()))
        conn.execute(sql.WRITE_REVERSALS, (tenant, *pairs))


def _originals(
    conn: Connection[Any], tenant: UUID, commands: Sequence[Command]
) -> tuple[dict[UUID, Original], frozenset[UUID]]:
    """The operations that the batch takes back, and the levels that they moved."""
    actions = (action for command in commands for action in command.actions)
    wanted = [action.operation_id for action in actions if isinstance(action, Reverse)]
    originals: dict[UUID, Original] = {}
    levels: set[UUID] = set()
    if wanted:
        for row in conn.execute(sql.ORIGINALS, (tenant, wanted)):
            operation_id, level_id, warehouse_id, variant_id, lot, kind, *changes = row
            levels.add(level_id)
            moved = Moved(LevelKey(warehouse_id, variant_id, lot), Kind(kind), *changes)
            originals.setdefault(operation_id, Original([])).movements.append(moved)
    return originals, frozenset(levels)


def _inbound(action: Action) -> Iterable[LevelKey]:
    """Levels that come to be when goods are brought in; a reserve never creates one."""
    if isinstance(action, Receive | Adjust | Set):
        return (line.level for line in action.lines if line.quantity > 0)
    if isinstance(action, Transfer):
        return (line.target for line in action.lines)
    return ()


def _sort(key: LevelKey) -> tuple[UUID, UUID, str]:
    return (key.warehouse_id, key.variant_id, key.lot or "")


def _columns(keys: Sequence[LevelKey]) -> tuple[list[UUID], list[UUID], list[str | None]]:
    return (
        [key.warehouse_id for key in keys],
        [key.variant_id for key in keys],
        [key.lot for key in keys],
    )


def _key_columns(tenant: UUID, commands: Sequence[Command]) -> tuple[list[str], list[str], UUID]:
    keys = [command.identity for command in commands]
    keys += [
        (command.source, action.voids)
        for command in commands
        for action in command.actions
        if isinstance(action, Release) and action.voids is not None
    ]
    return ([source for source, _ in keys], [key for _, key in keys], tenant)


def _level(row: tuple[Any, ...]) -> Level:
    return Level(
        id=row[0],
        key=LevelKey(row[1], row[2], row[3]),
        available=row[4],
        reserved=row[5],
        damaged=row[6],
        quarantine=row[7],
        in_transit=row[8],
        average_cost=row[9],
        total_value=row[10],
        sequence=row[11],
        variant_active=row[12],
        warehouse_active=row[13],
    )


def _fill_holds(view: View, levels: dict[UUID, Level], rows: Iterable[tuple[Any, ...]]) -> None:
    for hold_id, level_id, owner, line, quantity, open_, expires_at, operation_id in rows:
        if level_id not in levels:
            raise StaleBatch(f"A hold of {owner} appeared on another level.")
        key = levels[level_id].key
        hold = Hold(hold_id, key, level_id, owner, line, quantity, open_, expires_at, operation_id)
        view.holds.setdefault(owner, []).append(hold)


def retryable(error: BaseException) -> bool:
    """Whether the same batch, sent again from its start, may well succeed."""
    if isinstance(error, psycopg.errors.UniqueViolation):
        return error.diag.constraint_name == "operations_pkey"
    return isinstance(
        error,
        StaleBatch | psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure,
    )
