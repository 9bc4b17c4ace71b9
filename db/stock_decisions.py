"""What a batch of commands comes to, given what was read: outcomes, and all that is to be written.

Pure: nothing is read or written here. ``decide_all`` may be asked before the levels are locked, for
levels as they are expected to be; ``db/stock.py`` takes such an answer only if they are just so.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from pydantic_core import to_json

from db import stock_sql as sql
from db.operations import reused
from db.stock_batch import Batch, Operation, OperationKey
from db.stock_commands import BulkRow, Command, Outcome, RowResult, StockBulk, StockCommand
from domain.errors import Conflict, InFlight, StockwrightError
from domain.stock import (
    UNKNOWN,
    Accepted,
    Action,
    LevelKey,
    NewId,
    Refused,
    Release,
    Reverse,
    Ship,
    Transfer,
    View,
)
from domain.stock_rules import decide

Stored = Mapping[OperationKey, Operation]


@dataclass(frozen=True, slots=True)
class Decided:
    """One outcome a command, and the parameters of the write; None when nothing is written."""

    outcomes: list[Outcome | StockwrightError]
    written: list[object] | None
    reversals: dict[UUID, UUID]


def decide_all(
    view: View, stored: Stored, tenant: UUID, commands: Sequence[Command], new_id: NewId
) -> Decided:
    """Decide every command in turn; ``view`` is afterwards what the levels will be."""
    write = Batch()
    outcomes = [_one(view, stored, command, write, new_id) for command in commands]
    written: list[object] | None = None
    if write.operations:
        given = write.parameters(tenant)
        written = [given[name] for name in sql.WRITE_PARAMETERS]
    return Decided(outcomes, written, write.reversals)


def _one(
    view: View, stored: Stored, command: Command, write: Batch, new_id: NewId
) -> Outcome | StockwrightError:
    """One command: its stored answer if the key is known, else the rules' decision."""
    known = stored.get(command.identity) or write.operations.get(command.identity)
    if known is not None:
        return _replay(known, command)
    if isinstance(command, StockBulk):
        return _bulk(view, command, write, new_id)
    operation_id = new_id()
    result = decide(_narrowed(view, stored, command, write), command.action, new_id)
    status, body = command.encode(operation_id, command.action, result)
    if isinstance(result, Refused) and result.code in UNKNOWN:
        return Outcome(status, body)
    if isinstance(result, Accepted):
        _collect(view, command, operation_id, result, write)
    write.operations[command.identity] = Operation(
        command.source, command.key, command.fingerprint, "done", status, body, operation_id
    )
    if isinstance(command.action, Release) and command.action.voids is not None:
        _bury(command, command.action.voids, stored, write, new_id)
    return Outcome(status, body)


def _bury(command: StockCommand, voids: str, stored: Stored, write: Batch, new_id: NewId) -> None:
    """Leave a tombstone under the key of a reserve that never happened."""
    identity = (command.source, voids)
    if identity not in stored and identity not in write.operations:
        row = Operation(command.source, voids, b"", "void", None, None, new_id())
        write.operations[identity] = row


def _bulk(view: View, bulk: StockBulk, write: Batch, new_id: NewId) -> Outcome:
    """Every row in turn; of an all-or-nothing bulk first on a copy, to see whether all can be."""
    results: list[RowResult] = []
    if bulk.all_or_nothing:
        results = _rows(_copied(view, bulk), bulk, Batch(), new_id)
    if all(isinstance(row.result, Accepted) for row in results):
        results = _rows(view, bulk, write, new_id)
    status, body = bulk.encode(results)
    write.operations[bulk.identity] = Operation(
        bulk.source, bulk.key, bulk.fingerprint, "done", status, body, new_id()
    )
    return Outcome(status, body)


def _rows(view: View, bulk: StockBulk, write: Batch, new_id: NewId) -> list[RowResult]:
    results = []
    for row in bulk.rows:
        operation_id = new_id()
        result = decide(view, row.action, new_id)
        if isinstance(result, Accepted):
            _collect(view, row, operation_id, result, write)
        results.append(RowResult(operation_id, row.action, result))
    return results


def _copied(view: View, bulk: StockBulk) -> View:
    """A view that may be changed by itself: of a bulk, which has no holds."""
    originals = {key: replace(original) for key, original in view.originals.items()}
    keys = {key for action in bulk.actions for key in levels_of(action)}
    keys |= {moved.level for original in originals.values() for moved in original.movements}
    levels = {key: view.levels[key].copy() for key in keys if key in view.levels}
    return View(levels, {}, view.unknown, originals)


def levels_of(action: Action) -> Iterable[LevelKey]:
    """The levels that an action names itself; others follow from holds and earlier operations."""
    if isinstance(action, Release | Ship | Reverse):
        return ()
    keys = [line.level for line in action.lines]
    if isinstance(action, Transfer):
        keys += [line.target for line in action.lines]
    return keys


def _collect(
    view: View,
    command: StockCommand | BulkRow,
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


def _replay(known: Operation, command: Command) -> Outcome | StockwrightError:
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
    stored: Stored,
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
