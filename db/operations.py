"""Keys of commands: each has one effect and one answer, however often it is sent.

The key, a fingerprint of the request and the answer are stored in the transaction of the effect
(a design learnt from payment interfaces: the answer includes business refusals, and the same key
with another request is an error of its own).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.tables import NumberCounter, Operation
from domain.errors import Conflict, InFlight, KeyReused

HTTP, PROCESS = "http", "process"
#: A claim without an answer is taken over after this time: its worker is taken for dead.
CLAIM_LIFETIME = timedelta(seconds=30)
#: The fingerprint of a claim that was given up because its request was malformed.
ABANDONED = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command was answered: HTTP status and body, byte for byte."""

    status: int
    body: bytes
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that was taken for a process: the id, number and workflow id that belong to it."""

    id: UUID
    number: str
    workflow_id: str


def fingerprint(method: str, path: str, body: bytes) -> bytes:
    """SHA-256 over what makes two requests the same: method, path, body."""
    return hashlib.sha256(b"\0".join((method.encode(), path.encode(), body))).digest()


def once(
    session: Session,
    *,
    key: str,
    print_: bytes,
    effect: Callable[[], tuple[int, bytes]],
    refuse: Callable[[Conflict], bytes],
    source: str = HTTP,
) -> Answer:
    """Run ``effect`` under ``key`` unless it ran before; then give its stored answer.

    A Conflict from the effect undoes the effect and is stored as the answer, rendered by
    ``refuse``. Other errors, and conflicts that may pass, leave no trace, so that the request may
    be mended and sent again.

    Raises:
        KeyReused: the key was used with another request.
        InFlight: a process start under this key is being worked on.
    """
    taken = session.execute(
        insert(Operation)
        .values(source=source, key=key, fingerprint=print_, state="claimed")
        .on_conflict_do_nothing()
        .returning(Operation.id)
    ).first()
    if taken is None:
        return _stored(session, source, key, print_)
    try:
        with session.begin_nested():
            status, body = effect()
            session.flush()
    except Conflict as refusal:
        if refusal.retryable:
            raise
        status, body = refusal.status, refuse(refusal)
    finish(session, source=source, key=key, status=status, body=body)
    return Answer(status, body)


def claim(
    session: Session,
    *,
    key: str,
    print_: bytes,
    number: Callable[[], str],
    workflow_id: Callable[[str], str],
) -> Claim | Answer:
    """Take ``key`` for a message to a process, or give what it was answered before.

    ``number`` is asked only by the first: a repeated request finds the same process. The claim's
    id may serve as the id of what the request makes.

    Raises:
        KeyReused: the key was used with another request.
        InFlight: another request took the key less than 30 seconds ago.
    """
    taken = session.execute(
        insert(Operation)
        .values(source=HTTP, key=key, fingerprint=print_, state="claimed")
        .on_conflict_do_nothing()
        .returning(Operation.id)
    ).first()
    if taken is not None:
        named = number()
        claimed = Claim(taken.id, named, workflow_id(named))
        session.execute(
            update(Operation)
            .where(Operation.source == HTTP, Operation.key == key)
            .values(number=claimed.number, workflow_id=claimed.workflow_id)
        )
        return claimed
    row = session.execute(
        select(Operation, (func.clock_timestamp() - Operation.claimed_at).label("age"))
        .where(Operation.source == HTTP, Operation.key == key)
        .with_for_update()
    ).one()
    operation: Operation = row[0]
    if operation.state == "claimed" and operation.fingerprint == ABANDONED:
        operation.fingerprint = print_
    if operation.fingerprint != print_:
        raise reused(key)
    if operation.state == "done":
        return Answer(operation.status or 200, operation.answer or b"", replayed=True)
    if row.age < CLAIM_LIFETIME:
        wait = int((CLAIM_LIFETIME - row.age).total_seconds()) + 1
        raise InFlight("The same request is being worked on.", retry_after=min(wait, 5))
    operation.claimed_at = func.clock_timestamp()
    return Claim(operation.id, operation.number or "", operation.workflow_id or "")


def release_claim(session: Session, key: str) -> None:
    """Let the next repeat of a claimed key take it over at once, instead of after its lifetime."""
    session.execute(
        update(Operation)
        .where(Operation.source == HTTP, Operation.key == key, Operation.state == "claimed")
        .values(claimed_at=func.clock_timestamp() - CLAIM_LIFETIME)
    )


def abandon(session: Session, key: str) -> None:
    """Forget what a claimed key asked for: it was malformed, and may come again mended."""
    session.execute(
        update(Operation)
        .where(Operation.source == HTTP, Operation.key == key, Operation.state == "claimed")
        .values(fingerprint=ABANDONED, claimed_at=func.clock_timestamp() - CLAIM_LIFETIME)
    )


def finish(session: Session, *, source: str, key: str, status: int, body: bytes) -> None:
    """Store the answer of a claimed key; a second finish changes nothing."""
    session.execute(
        update(Operation)
        .where(Operation.source == source, Operation.key == key, Operation.state == "claimed")
        .values(state="done", status=status, answer=body)
    )


def find(session: Session, source: str, key: str) -> Operation | None:
    """The operation under a key, if there is one."""
    return session.execute(
        select(Operation).where(Operation.source == source, Operation.key == key)
    ).scalar_one_or_none()


def next_number(session: Session, kind: str) -> str:
    """The next human number, such as SO-1001: unique and rising per tenant, gaps are possible."""
    taken: int = session.execute(
        insert(NumberCounter)
        .values(kind=kind, next_number=1002)
        .on_conflict_do_update(
            constraint="number_counters_pkey",
            set_={"next_number": NumberCounter.next_number + 1},
        )
        .returning(NumberCounter.next_number - 1)
    ).scalar_one()
    return f"{kind}-{taken}"


def _stored(session: Session, source: str, key: str, print_: bytes) -> Answer:
    operation = find(session, source, key)
    if operation is not None and operation.fingerprint != print_:
        raise reused(key)
    if operation is None or operation.state == "claimed":
        raise InFlight("The same request is being worked on.", retry_after=1)
    return Answer(operation.status or 200, operation.answer or b"", replayed=True)


def reused(key: str) -> KeyReused:
    """The error of a key that came back with another request."""
    return KeyReused(
        f"The key {key[:80]!r} was used before with another request.",
        details={"idempotency_key": key[:80]},
    )
