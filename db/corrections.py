"""Corrects a level that does not balance, by movements that a person signs; nothing is rewritten.

Run as maint: the app role can neither sign a break nor read another tenant's books. The level is
locked like every writer locks it, so commands that wait for it go on from the corrected row.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, insert, text, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from db import events, evidence
from db.engine import transaction
from db.evidence import Books
from db.operations import PROCESS
from db.stock import Ledger
from db.stock_commands import Outcome, StockCommand, plain_answer
from db.tables import InventoryLevel, Operation, Posting, StockMovement
from db.upkeep_tables import SignedBreak
from domain.corrections import BUCKETS, Keep, Settled, Standing, settle
from domain.errors import Conflict, InvalidInput, NotFound
from domain.stock import Kind, Origin, Release
from domain.times import business_date

KIND = Kind.CORRECTION.value
_TEXT_MAX = 500
#: The tenant is found by its levels' key, one look-up a tenant: the id alone has no index.
_TENANT_OF = text("""
SELECT l.tenant_id FROM tenants t JOIN inventory_levels l ON l.tenant_id = t.id AND l.id = :level
""")


@dataclass(frozen=True, slots=True)
class Signature:
    """Who answers for a correction, and why it is right."""

    signed_by: str
    reason: str

    def __post_init__(self) -> None:
        for name, value in (("signed_by", self.signed_by), ("reason", self.reason)):
            if not value.strip() or len(value) > _TEXT_MAX or "\0" in value:
                raise InvalidInput.field(
                    f"/{name}", name, f"A correction needs {name}, of at most {_TEXT_MAX} letters."
                )


@dataclass(frozen=True, slots=True)
class Corrected:
    """What a correction did: its movements' numbers, the breaks it signed, where the level is."""

    level_id: UUID
    correction_id: UUID
    keep: Keep
    movements: tuple[int, ...]
    signed_breaks: tuple[int, ...]
    expected: str
    found: str
    level: str

    def as_dict(self) -> dict[str, Any]:
        return {
            "level_id": str(self.level_id),
            "correction_id": str(self.correction_id),
            "keep": self.keep.value,
            "movements": list(self.movements),
            "signed_breaks": list(self.signed_breaks),
            "expected": self.expected,
            "found": self.found,
            "level": self.level,
        }


def correct(engine: Engine, level_id: UUID, keep: Keep, signature: Signature) -> Corrected:
    """Correct one level in a transaction of its own; ``engine`` belongs to the maint role.

    Raises:
        NotFound: there is no such level.
        Conflict: nothing is wrong with it (``nothing_to_correct``), its history is damaged in a way
            that no new movement can make good (``history_damaged``), or what would be kept cannot
            be (``cannot_keep``).
    """
    with Session(engine) as session:
        tenant_id = session.execute(_TENANT_OF, {"level": level_id}).scalar_one_or_none()
    if tenant_id is None:
        raise NotFound("There is no such level.")
    with transaction(engine, tenant_id) as session:
        return _correct(session, tenant_id, level_id, keep, signature)


def _correct(
    session: Session, tenant_id: UUID, level_id: UUID, keep: Keep, signature: Signature
) -> Corrected:
    known = evidence.books(session, tenant_id, level_id, lock=True)
    if known is None:
        raise NotFound("There is no such level.")
    if known.obstacles:
        raise Conflict(
            " ".join(known.obstacles),
            code="history_damaged",
            details={"missing": list(known.missing), "altered": list(known.altered)},
        )
    if known.balanced:
        raise Conflict("The level balances.", code="nothing_to_correct")
    settled = settle(keep, known.row, known.ledger, known.average_cost, known.holds)
    if not settled.steps and known.sequence != known.movements:
        # Only its counter is wrong: a movement of nothing makes the repair visible in the ledger.
        settled = settled._replace(steps=((known.ledger, known.ledger),))
    correction_id = uuid7()
    numbers = _append(session, known, settled, correction_id, signature)
    signed = _sign_breaks(session, known, numbers, correction_id, signature)
    _set_row(session, known, settled, len(numbers))
    corrected = Corrected(
        level_id=level_id,
        correction_id=correction_id,
        keep=keep,
        movements=numbers,
        signed_breaks=signed,
        expected=known.ledger.told(),
        found=known.row.told(),
        level=settled.standing.told(),
    )
    _remember(session, corrected, signature)
    return corrected


def _append(
    session: Session,
    known: Books,
    settled: Settled,
    correction_id: UUID,
    signature: Signature,
) -> tuple[int, ...]:
    """The movements under one posting, each with its own operation; returns their numbers."""
    if not settled.steps:
        return ()
    posting = session.execute(
        insert(Posting).values(facts=len(settled.steps)).returning(Posting.id)
    ).scalar_one()
    now = datetime.now(UTC)
    told = (
        f"{signature.reason} (the movements add up to {known.ledger.told()};"
        f" the level said {known.row.told()})"
    )
    rows = []
    for ordinal, (before, after) in enumerate(settled.steps, start=1):
        change = after.minus(before)
        rows.append(
            {
                "posting_id": posting,
                "ordinal": ordinal,
                "operation_id": _operation(session, f"{correction_id}/{ordinal}", told),
                "level_id": known.level_id,
                "sequence": known.last + ordinal,
                "warehouse_id": known.warehouse_id,
                "variant_id": known.variant_id,
                "kind": KIND,
                **_buckets(before, change, after),
                "unit_cost": settled.average_cost,
                "value_change": change.value,
                "value_after": after.value,
                "in_transit_value_change": change.in_transit_value,
                "reference_kind": KIND,
                "reference_id": str(correction_id),
                "reason": told,
                "created_by": signature.signed_by,
                "approved_by": signature.signed_by,
                "occurred_at": now,
                "business_date": business_date(now, known.time_zone),
            }
        )
    session.execute(insert(StockMovement), rows)
    return tuple(range(known.last + 1, known.last + 1 + len(rows)))


def _buckets(before: Standing, change: Standing, after: Standing) -> dict[str, int]:
    return {
        f"{bucket}_{when}": getattr(standing, bucket)
        for bucket in BUCKETS
        for when, standing in (("before", before), ("change", change), ("after", after))
    }


def _sign_breaks(
    session: Session,
    known: Books,
    numbers: tuple[int, ...],
    correction_id: UUID,
    signature: Signature,
) -> tuple[int, ...]:
    """Sign where the chain breaks: in the past, and where the correction takes the ledger up again.

    The first movement of a correction begins with what the movements add up to. After a break in
    the past that is not what the last movement ended with; the two breaks cancel out.
    """
    gaps = {one.sequence: one.gap for one in known.breaks}
    if numbers and known.ledger[:6] != known.ended[:6]:
        gaps[numbers[0]] = known.ledger.minus(known.ended)
    for sequence, gap in gaps.items():
        session.execute(
            insert(SignedBreak).values(
                level_id=known.level_id,
                sequence=sequence,
                **{bucket: getattr(gap, bucket) for bucket in BUCKETS},
                value=gap.value,
                correction_id=correction_id,
                signed_by=signature.signed_by,
                reason=signature.reason,
            )
        )
    return tuple(gaps)


def _set_row(session: Session, known: Books, settled: Settled, appended: int) -> None:
    standing = settled.standing
    session.execute(
        update(InventoryLevel)
        .where(InventoryLevel.tenant_id == known.tenant_id, InventoryLevel.id == known.level_id)
        .values(
            **{bucket: getattr(standing, bucket) for bucket in BUCKETS},
            average_cost=settled.average_cost,
            total_value=standing.value,
            in_transit_value=standing.in_transit_value,
            sequence=known.last + appended,
            updated_at=text("clock_timestamp()"),
        )
    )


def _operation(session: Session, key: str, told: str) -> UUID:
    """The key of one movement: no level has two movements of one operation."""
    made: UUID = session.execute(
        insert(Operation)
        .values(
            source=PROCESS,
            key=f"{KIND}/{key}",
            fingerprint=hashlib.sha256(told.encode()).digest(),
            state="done",
            status=200,
            answer=json.dumps({"object": "level_correction", "reason": told}).encode(),
        )
        .returning(Operation.id)
    ).scalar_one()
    return made


def _remember(session: Session, corrected: Corrected, signature: Signature) -> None:
    """The fact that tells who signed."""
    told = corrected.as_dict()
    events.record(
        session,
        [
            events.NewFact(
                kind="stock.corrected",
                subject_kind=KIND,
                subject_id=str(corrected.correction_id),
                sequence=1,
                actor=signature.signed_by,
                occurred_at=datetime.now(UTC),
                data=told | {"signed_by": signature.signed_by, "reason": signature.reason},
            )
        ],
    )


def release(engine: Engine, owner: str, signature: Signature) -> int:
    """Free what an owner holds whose process has ended or is overdue; returns the units.

    Raises:
        NotFound: nobody of that name holds anything.
        Conflict: the owner's process is not known to have ended (``owner_is_open``).
    """
    with Session(engine) as session:
        held = session.execute(_HELD, {"owner": owner}).mappings().one_or_none()
    if held is None:
        raise NotFound(f"Nobody named {owner!r} holds anything.")
    if not held["left_behind"]:
        raise Conflict("The owner's process has not ended.", code="owner_is_open")
    now = datetime.now(UTC)
    command = StockCommand(
        key=f"{KIND}/{uuid7()}",
        source=PROCESS,
        fingerprint=hashlib.sha256(owner.encode()).digest(),
        action=Release(owner),
        origin=Origin(
            actor=signature.signed_by,
            occurred_at=now,
            business_date=business_date(now, held["time_zone"]),
            reference_kind=KIND,
            reference_id=owner,
            reason=signature.reason,
        ),
        encode=plain_answer,
    )
    with engine.connect() as connection, connection.begin():
        driver: Any = connection.connection.driver_connection
        (outcome,) = Ledger(uuid7).apply(driver, held["tenant_id"], [command])
    if not isinstance(outcome, Outcome):
        raise outcome
    return sum(row["available_change"] for row in json.loads(outcome.body)["movements"])


_HELD = text("""
SELECT t.id AS tenant_id, t.time_zone,
       bool_or(o.closed_at IS NOT NULL) OR max(r.expires_at)
           < clock_timestamp() - interval '1 hour' AS left_behind
  FROM tenants t JOIN reservations r ON r.tenant_id = t.id AND r.owner = :owner AND r.open > 0
  LEFT JOIN orders o ON o.tenant_id = r.tenant_id AND o.workflow_id = r.owner
 GROUP BY t.id, t.time_zone
""")
