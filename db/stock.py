"""The only writer of levels, movements and reservations: many commands in one transaction.

``apply`` locks the touched levels in one global order (their id), reads the known keys and the
open holds, lets ``domain/stock_rules.py`` decide every command in turn, and writes what was
accepted as sets. It never commits: ``db/stock_writer.py`` owns the transaction.

Why this order. Missing levels are inserted before any level is locked; operation keys are
inserted after all levels are locked. So no two batches can wait for each other in a circle. A
posting takes its id after the locks, which keeps ledger positions in the order of each level.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection, RawCursor
from pydantic_core import to_json

from db import arrays
from db import stock_sql as sql
from db.operations import reused
from db.stock_batch import Batch, Operation, OperationKey
from domain.errors import Conflict, InFlight, StockwrightError
from domain.stock import (
    UNKNOWN,
    Accepted,
    Action,
    Adjust,
    Change,
    Hold,
    Kind,
    Level,
    LevelKey,
    Moved,
    NewId,
    Origin,
    Original,
    Receive,
    Refused,
    Release,
    Reverse,
    Set,
    Ship,
    Transfer,
    View,
)
from domain.stock_rules import decide

ROUNDS_MAX = 5

Encode = Callable[[UUID, Action, "Accepted | Refused"], tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class StockCommand:
    """One command with everything that must happen in its transaction.

    ``fingerprint`` is what the key stands for; ``encode`` renders the answer that is stored and
    given to every repeat of the key.
    """

    key: str
    source: str
    fingerprint: bytes
    action: Action
    origin: Origin
    encode: Encode

    @property
    def identity(self) -> OperationKey:
        return (self.source, self.key)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The stored answer of a command: HTTP status and body."""

    status: int
    body: bytes
    replayed: bool = False


class StaleBatch(Exception):
    """A hold or key appeared between two statements: run the batch again from its start."""


def plain_answer(
    operation_id: UUID, action: Action, result: Accepted | Refused
) -> tuple[int, bytes]:
    """The answer that processes store and read: a status and a small JSON object."""
    if isinstance(result, Refused):
        refusal = {"code": result.code, "detail": result.detail, "details": result.details}
        return Conflict.status, to_json(refusal)
    return 200, to_json(describe(operation_id, action, result))


def describe(operation_id: UUID, action: Action, result: Accepted) -> dict[str, Any]:
    """An accepted command as clients see it: each movement with before, change and after."""
    return {
        "object": "stock_operation",
        "operation_id": str(operation_id),
        "command": type(action).__name__.lower(),
        "movements": [_movement(change) for change in result.changes],
    }


def _movement(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind.value,
        "warehouse_id": str(change.level.warehouse_id),
        "variant_id": str(change.level.variant_id),
        "lot": change.level.lot,
        "sequence": change.sequence,
        "quantity_before": change.on_hand_after - change.on_hand,
        "quantity_change": change.on_hand,
        "quantity_after": change.on_hand_after,
        "available_change": change.available,
        "available_after": change.available_after,
        "reserved_change": change.reserved,
        "reserved_after": change.reserved_after,
        "damaged_change": change.damaged,
        "quarantine_change": change.quarantine,
        "value_change": str(change.value),
    }


class Ledger:
    """Applies batches for one connection; remembers the ids of levels, which never change."""

    def __init__(self, new_id: NewId, known_max: int = 200_000) -> None:
        self._new_id = new_id
        self._ids: dict[tuple[UUID, LevelKey], UUID] = {}
        self._known_max = known_max

    def apply(
        self, conn: Connection[Any], tenant: UUID, commands: Sequence[StockCommand]
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
        owners = [c.action.owner for c in commands if isinstance(c.action, Release | Ship)]
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
        write = Batch()
        outcomes = [self._one(view, stored, command, write) for command in commands]
        if write.operations:
            given = write.parameters(tenant)
            numbered = [given[name] for name in sql.WRITE_PARAMETERS]
            cursor = RawCursor(conn)
            arrays.adapt(cursor)
            cursor.execute(sql.WRITE, numbered)
        if write.reversals:
            pairs = (list(write.reversals), list(write.reversals.values()))
            conn.execute(sql.WRITE_REVERSALS, (tenant, *pairs))
        return outcomes

    def _resolve(
        self,
        conn: Connection[Any],
        tenant: UUID,
        commands: Sequence[StockCommand],
        more: frozenset[UUID],
    ) -> tuple[list[UUID], frozenset[LevelKey]]:
        """Ids of the levels that the batch names and ``more``, creating those goods come into.

        The second part are keys that name something which does not exist.
        """
        if len(self._ids) > self._known_max:
            self._ids.clear()
        wanted = {key for command in commands for key in _keys(command.action)}
        ids = {key: self._ids[tenant, key] for key in wanted if (tenant, key) in self._ids}
        missing = sorted(wanted - ids.keys(), key=_sort)
        if missing:
            found = self._find(conn, tenant, missing)
            self._ids.update({(tenant, key): id_ for key, id_ in found.items()})
            ids |= found
            inbound = {key for command in commands for key in _inbound(command.action)}
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

    def _one(
        self,
        view: View,
        stored: dict[OperationKey, Operation],
        command: StockCommand,
        write: Batch,
    ) -> Outcome | StockwrightError:
        """One command: its stored answer if the key is known, else the rules' decision."""
        known = stored.get(command.identity) or write.operations.get(command.identity)
        if known is not None:
            return _replay(known, command)
        operation_id = self._new_id()
        result = decide(_narrowed(view, stored, command, write), command.action, self._new_id)
        status, body = command.encode(operation_id, command.action, result)
        if isinstance(result, Refused) and result.code in UNKNOWN:
            return Outcome(status, body)
        if isinstance(result, Accepted):
            self._collect(view, command, operation_id, result, write)
        write.operations[command.identity] = Operation(
            command.source, command.key, command.fingerprint, "done", status, body, operation_id
        )
        if isinstance(command.action, Release) and command.action.voids is not None:
            self._bury(command, command.action.voids, stored, write)
        return Outcome(status, body)

    def _bury(
        self,
        command: StockCommand,
        voids: str,
        stored: dict[OperationKey, Operation],
        write: Batch,
    ) -> None:
        """Leave a tombstone under the key of a reserve that never happened."""
        identity = (command.source, voids)
        if identity not in stored and identity not in write.operations:
            row = Operation(command.source, voids, b"", "void", None, None, self._new_id())
            write.operations[identity] = row

    def _collect(
        self,
        view: View,
        command: StockCommand,
        operation_id: UUID,
        accepted: Accepted,
        write: Batch,
    ) -> None:
        for change in accepted.changes:
            write.movements.append((operation_id, change, command.origin))
        for hold in accepted.new_holds:
            hold.operation_id = operation_id
            write.new_holds[hold.id] = hold
        for hold in accepted.used_holds:
            if hold.id not in write.new_holds:
                write.used_holds[hold.id] = hold
        if isinstance(command.action, Reverse):
            reversed_id = command.action.operation_id
            view.originals[reversed_id].reversed_by = operation_id
            write.reversals[reversed_id] = operation_id


def _replay(known: Operation, command: StockCommand) -> Outcome | StockwrightError:
    key = known.key
    if known.state == "void":
        refusal = {
            "code": "voided",
            "detail": "The step was undone before it ran.",
            "details": {"key": key},
        }
        return Outcome(Conflict.status, to_json(refusal), replayed=True)
    if known.fingerprint != command.fingerprint:
        return reused(key)
    if known.state == "claimed":
        return InFlight("The same request is being worked on.", retry_after=1)
    return Outcome(known.status or 200, known.answer or b"", replayed=True)


def _narrowed(
    view: View,
    stored: Mapping[OperationKey, Operation],
    command: StockCommand,
    write: Batch,
) -> View:
    """For an undo, only what the undone step holds; for any other command, all there is."""
    action = command.action
    if not isinstance(action, Release) or action.voids is None:
        return view
    identity = (command.source, action.voids)
    undone = stored.get(identity) or write.operations.get(identity)
    holds = [
        hold
        for hold in view.holds.get(action.owner, ())
        if undone is not None and hold.operation_id == undone.id
    ]
    return View(view.levels, {action.owner: holds}, view.unknown)


def _originals(
    conn: Connection[Any], tenant: UUID, commands: Sequence[StockCommand]
) -> tuple[dict[UUID, Original], frozenset[UUID]]:
    """The operations that the batch takes back, and the levels that they moved."""
    wanted = [c.action.operation_id for c in commands if isinstance(c.action, Reverse)]
    originals: dict[UUID, Original] = {}
    levels: set[UUID] = set()
    if wanted:
        for row in conn.execute(sql.ORIGINALS, (tenant, wanted)):
            operation_id, level_id, warehouse_id, variant_id, lot, kind, *changes = row
            levels.add(level_id)
            moved = Moved(LevelKey(warehouse_id, variant_id, lot), Kind(kind), *changes)
            originals.setdefault(operation_id, Original([])).movements.append(moved)
    return originals, frozenset(levels)


def _keys(action: Action) -> Iterable[LevelKey]:
    if isinstance(action, Release | Ship | Reverse):
        return ()
    keys = [line.level for line in action.lines]
    if isinstance(action, Transfer):
        keys += [line.target for line in action.lines]
    return keys


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


def _key_columns(
    tenant: UUID, commands: Sequence[StockCommand]
) -> tuple[list[str], list[str], UUID]:
    keys = [command.identity for command in commands]
    keys += [
        (command.source, command.action.voids)
        for command in commands
        if isinstance(command.action, Release) and command.action.voids is not None
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
