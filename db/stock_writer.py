"""The batch writer: commands that arrive while a batch is in flight form the next one.

One thread, one connection, one batch in flight. There is no lingering: a command that comes alone
is a batch of one under the same rules. Tenants take turns. The wait queue is bounded. A batch
whose outcome is unknown (the connection broke) is sent again with the same keys, which answer what
was done already. A batch that fails in any other way is halved until the poisonous command stands
alone.
"""

import logging
import threading
import time
from collections import OrderedDict, deque
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection
from uuid_utils.compat import uuid7

from db import stock_sql as sql
from db.stock import ROUNDS_MAX, Foreseen, Ledger, retryable
from db.stock_commands import Command, Outcome, StockBulk
from domain.errors import Busy, InvalidInput, StockwrightError, Unavailable
from domain.stock import NewId, Release, Reserve, Ship, check

logger = logging.getLogger(__name__)

#: The writer's statements are few, large, and look up every row by its key. So each is planned
#: once, and never as a scan: a plan made for a small table would scan it while it grows.
SESSION_OPTIONS = (
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off"
    " -c enable_hashjoin=off -c enable_mergejoin=off"
)
#: How long a command is resent while the database does not answer.
RESEND_FOR_SECONDS = 30.0
#: Batches after which cached plans are made anew.
_PLANS_KEPT = 4096
#: Lines in one batch; a command that has more makes a batch of its own.
_LINES_MAX = 5_000
_BACKOFF_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)


@dataclass(slots=True)
class _Waiting:
    command: Command
    future: "Future[Outcome]"
    deadline: float


@dataclass(frozen=True, slots=True)
class _Batch:
    tenant: UUID
    waiting: list[_Waiting]
    foreseen: Foreseen | None = None


@dataclass(slots=True)
class WriterStats:
    """Counters since the start: for the health page and the bench."""

    batches: int = 0
    commands: int = 0
    resent: int = 0
    halved: int = 0
    refused_busy: int = 0
    largest_batch: int = field(default=0)
    #: Batches that were written without reading, and those that had to be decided again.
    foreseen: int = 0
    mistaken: int = 0


class StockWriter:
    """Owns one connection and its transactions; ``submit`` may be called from any thread."""

    def __init__(
        self,
        conninfo: str,
        *,
        batch_max: int = 500,
        queue_max: int = 20_000,
        new_id: NewId = uuid7,
        resend_for: float = RESEND_FOR_SECONDS,
    ) -> None:
        self._conninfo = conninfo
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._resend_for = resend_for
        self._ledger = Ledger(new_id)
        self._queues: OrderedDict[UUID, deque[_Waiting]] = OrderedDict()
        self._size = 0
        self._wake = threading.Condition()
        self._closing = False
        self._conn: Connection[Any] | None = None
        #: The tenant that the connection is set to.
        self._tenant: UUID | None = None
        #: The next batch, decided while the one before is written.
        self._next: _Batch | None = None
        #: Durable outcomes that nobody was told of yet; only the thread touches them.
        self._untold: deque[tuple[_Waiting, Outcome | StockwrightError]] = deque()
        self.stats = WriterStats()
        self._thread = threading.Thread(target=self._run, name="stock-writer", daemon=True)
        self._thread.start()

    def submit(self, tenant: UUID, command: Command) -> "Future[Outcome]":
        """Queue a command; the future gives its answer once it is durable.

        Raises:
            InvalidInput: the command is malformed.
            Busy: more commands wait than the bound allows.
            Unavailable: the writer was closed.
        The future may fail with KeyReused or InFlight, or with Unavailable when the database stayed
        away: then the outcome is unknown and the same command with the same key may be sent again.
        """
        for row in command.rows if isinstance(command, StockBulk) else (command,):
            check(row.action)
            if row is not command and isinstance(row.action, Reserve | Release | Ship):
                raise InvalidInput("What is held belongs to a process: no row of a bulk holds.")
            if row.origin.occurred_at.tzinfo is None:
                raise InvalidInput.field("/occurred_at", "no_zone", "A time needs its zone.")
        future: Future[Outcome] = Future()
        waiting = _Waiting(command, future, time.monotonic() + self._resend_for)
        with self._wake:
            if self._closing:
                raise Unavailable("The writer is shutting down.", retry_after=1)
            if self._size >= self._queue_max:
                self.stats.refused_busy += 1
                raise Busy("Too many stock commands are waiting.", retry_after=1)
            self._queues.setdefault(tenant, deque()).append(waiting)
            self._size += _weight(command)
            self._wake.notify()
        return future

    def close(self, timeout: float = 10.0) -> None:
        """Finish what waits, then stop; whatever is left after ``timeout`` seconds fails."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout)
        with self._wake:
            left = [*self._next.waiting] if self._next else []
            left += [w for queue in self._queues.values() for w in queue]
            self._next = None
            self._queues.clear()
            self._size = 0
        _fail(left, Unavailable("The writer was closed."))

    def _run(self) -> None:
        while True:
            if self._next is None:
                self._tell_those_who_may_send_more()
            with self._wake:
                while not self._size and self._next is None and not self._closing:
                    self._wake.wait()
                if not self._size and self._next is None:
                    break
                batch, self._next = self._next, None
                taken = batch or self._take()
            batch = batch or self._foresee(taken)
            try:
                self._post(batch.tenant, batch.waiting, batch.foreseen)
            except BaseException as error:  # The thread must outlive any bug.
                logger.exception("A batch failed in a way the writer does not know.")
                self._drop_connection()
                _fail(batch.waiting, error)
        self._drop_connection()

    def _meanwhile(self) -> None:
        """While the server writes a batch: answer the one before, and decide the next."""
        self._tell_all()
        if self._next is not None:
            return
        with self._wake:
            if not self._size:
                return
            batch = self._next = self._take()
        foreseen = self._foresee(batch)
        with self._wake:
            if self._next is batch:
                self._next = foreseen

    def _foresee(self, batch: _Batch) -> _Batch:
        try:
            commands = [waiting.command for waiting in batch.waiting]
            return replace(batch, foreseen=self._ledger.foresee(batch.tenant, commands))
        except Exception:  # noqa: BLE001  # A bug in one command is none of the batch in flight.
            return batch

    def _tell_those_who_may_send_more(self) -> None:
        """Answer until half are answered and something waits; the rest while that is written.

        So callers who send their next command when they are answered split into two halves: one
        is in the database while the other is answered. Nobody waits for a batch that may not come.
        """
        left = len(self._untold) // 2
        while len(self._untold) > left or (self._untold and not self._size):
            self._tell(self._untold.popleft())

    def _tell_all(self) -> None:
        while self._untold:
            self._tell(self._untold.popleft())

    def _tell(self, told: "tuple[_Waiting, Outcome | StockwrightError]") -> None:
        waiting, outcome = told
        # A caller may have given up waiting; then nobody is left to answer.
        if waiting.future.set_running_or_notify_cancel():
            if isinstance(outcome, Outcome):
                waiting.future.set_result(outcome)
            else:
                waiting.future.set_exception(outcome)

    def _take(self) -> _Batch:
        """The next tenant's commands, at most one batch; the tenant then goes to the end.

        A batch is bounded in lines as well, so that its transaction stays far from its timeout.
        """
        tenant, queue = self._queues.popitem(last=False)
        batch: list[_Waiting] = []
        lines = 0
        while queue and len(batch) < self._batch_max:
            lines += _lines(queue[0].command)
            if batch and lines > _LINES_MAX:
                break
            batch.append(queue.popleft())
        self._size -= sum(_weight(waiting.command) for waiting in batch)
        if queue:
            self._queues[tenant] = queue
        return _Batch(tenant, batch)

    def _post(self, tenant: UUID, batch: list[_Waiting], foreseen: Foreseen | None = None) -> None:
        """Post a batch, resending while its outcome is unknown, halving it when it is refused."""
        attempt = 0
        while batch:
            outcomes, error = self._try(tenant, batch, foreseen)
            foreseen = None
            self._tell_all()
            if error is None:
                self._done(batch, outcomes)
                return
            if not _lost(error):
                self._halve(tenant, batch, error)
                return
            self._drop_connection()
            batch = self._still_wanted(batch, error)
            self.stats.resent += bool(batch)
            time.sleep(_BACKOFF_SECONDS[min(attempt, len(_BACKOFF_SECONDS) - 1)])
            attempt += 1

    def _try(
        self, tenant: UUID, batch: list[_Waiting], foreseen: Foreseen | None
    ) -> tuple[list[Outcome | StockwrightError], Exception | None]:
        """Whatever fails is handed back: a bug in one command must leave its neighbours alone."""
        try:
            return self._transact(tenant, [one.command for one in batch], foreseen), None
        except Exception as error:  # noqa: BLE001  # Its kind is looked at by the caller.
            return [], error

    def _transact(
        self, tenant: UUID, commands: list[Command], foreseen: Foreseen | None
    ) -> list[Outcome | StockwrightError]:
        """One transaction, begun anew when a key or hold appeared between its statements."""
        conn = self._connection()
        for attempt in range(ROUNDS_MAX):
            try:
                # One pipeline: a batch is two round trips, read and write, or one if foreseen.
                with conn.pipeline():
                    if self._plans_are_old():
                        conn.execute("DISCARD PLANS")
                    if foreseen is not None and tenant != self._tenant:
                        conn.execute(sql.KEEP_TENANT, (str(tenant),))
                    conn.execute("BEGIN")
                    if foreseen is not None:
                        outcomes = self._ledger.apply_foreseen(conn, tenant, foreseen)
                    else:
                        outcomes = self._ledger.apply(conn, tenant, commands)
                    conn.execute("COMMIT")
                    # All is sent, and the end was not waited for yet.
                    self._meanwhile()
            except Exception as error:
                self._tenant = None
                if not conn.closed:
                    conn.rollback()
                if not retryable(error) or attempt == ROUNDS_MAX - 1:
                    raise
                if foreseen is not None:
                    self._ledger.came_true(it_did=False)
                    self.stats.mistaken += 1
                foreseen = None
            else:
                if foreseen is not None:
                    self._tenant = tenant
                    self._ledger.came_true(it_did=True)
                    self.stats.foreseen += 1
                return outcomes
        raise AssertionError("The loop above returns or raises.")

    def _plans_are_old(self) -> bool:
        """Plan anew after 1, 2, 4, … 4096 batches and then every 4096: the tables have grown."""
        batches = self.stats.batches
        return batches % _PLANS_KEPT == 0 or (batches < _PLANS_KEPT and batches.bit_count() == 1)

    def _halve(self, tenant: UUID, batch: list[_Waiting], error: Exception) -> None:
        """Find the poisonous command; whatever raises in one must not take its neighbours along."""
        if len(batch) == 1:
            logger.error("A stock command failed: %s", error, exc_info=error)
            _fail(batch, _told(error))
            return
        self.stats.halved += 1
        middle = len(batch) // 2
        self._post(tenant, batch[:middle])
        self._post(tenant, batch[middle:])

    def _done(self, batch: list[_Waiting], outcomes: list[Outcome | StockwrightError]) -> None:
        self.stats.batches += 1
        self.stats.commands += len(batch)
        self.stats.largest_batch = max(self.stats.largest_batch, len(batch))
        self._untold.extend(zip(batch, outcomes, strict=True))

    def _still_wanted(self, batch: list[_Waiting], error: Exception) -> list[_Waiting]:
        now = time.monotonic()
        late = [waiting for waiting in batch if waiting.deadline <= now or self._closing]
        if late:
            logger.warning("The database does not answer: %s", error)
            _fail(late, Unavailable("The database does not answer.", retry_after=2))
        return [waiting for waiting in batch if waiting not in late]

    def _connection(self) -> Connection[Any]:
        if self._conn is None:
            self._conn = psycopg.connect(
                self._conninfo,
                autocommit=True,
                connect_timeout=5,
                application_name="stock-writer",
                options=SESSION_OPTIONS,
                prepare_threshold=0,
            )
        return self._conn

    def _drop_connection(self) -> None:
        conn, self._conn, self._tenant = self._conn, None, None
        if conn is not None:
            conn.close()


def _weight(command: Command) -> int:
    """How much of the queue's bound a command takes: a bulk counts by its rows."""
    return max(1, len(command.rows)) if isinstance(command, StockBulk) else 1


def _lines(command: Command) -> int:
    return sum(len(getattr(action, "lines", None) or ()) for action in command.actions)


def _told(error: Exception) -> Exception:
    """What the caller of a command that stands alone is told."""
    if retryable(error):
        return Unavailable("The command met too many others.", retry_after=1)
    if isinstance(error, psycopg.DataError | UnicodeEncodeError):
        return InvalidInput("The command holds a value that cannot be stored.")
    return error


def _lost(error: Exception) -> bool:
    """Whether the connection broke or the server went away, so that the outcome is unknown."""
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    # Class 08 is a connection, 57P the operator's shutdown, 53 a lack of resources, 25 a server
    # that became read-only or a transaction that took too long: each may pass.
    return error.sqlstate[:2] in ("08", "25", "53", "58") or error.sqlstate.startswith("57P")


def _fail(batch: list[_Waiting], error: BaseException) -> None:
    for waiting in batch:
        if not waiting.future.done() and waiting.future.set_running_or_notify_cancel():
            waiting.future.set_exception(error)
