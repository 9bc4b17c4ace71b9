"""The stream of facts: movements and events, in one order that no reader can miss a part of.

Facts are written in the transaction that makes them true, under a posting. Positions are given
after the commit by ``assign_positions``, one sequencer at a time, so a reader that has seen
position n has seen all up to n, however late a transaction committed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from db.tables import Event, Posting

#: PostgreSQL channel that is rung once a batch; a wake-up only, never the fact itself.
CHANNEL = "stockwright_facts"


@dataclass(frozen=True, slots=True)
class NewFact:
    """Something that became true of a subject; ``sequence`` counts per subject from 1."""

    kind: str
    subject_kind: str
    subject_id: str
    sequence: int
    actor: str
    occurred_at: datetime
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact as a reader gets it; ``position`` is its place in the whole ledger."""

    position: int
    tenant_id: UUID
    id: UUID
    kind: str
    subject_kind: str
    subject_id: str
    sequence: int
    actor: str
    occurred_at: datetime
    recorded_at: datetime
    data: dict[str, Any]


def record(session: Session, facts: Sequence[NewFact]) -> None:
    """Append facts to the ledger; call it after all locks of the transaction are taken."""
    if not facts:
        return
    posting_id = session.execute(
        insert(Posting).values(facts=len(facts)).returning(Posting.id)
    ).scalar_one()
    session.execute(
        insert(Event),
        [
            {
                "posting_id": posting_id,
                "ordinal": ordinal,
                "kind": fact.kind,
                "subject_kind": fact.subject_kind,
                "subject_id": fact.subject_id,
                "subject_sequence": fact.sequence,
                "actor": fact.actor,
                "occurred_at": fact.occurred_at,
                "data": dict(fact.data),
            }
            for ordinal, fact in enumerate(facts, start=1)
        ],
    )
    session.execute(text(f"NOTIFY {CHANNEL}"))


def assign_positions(session: Session) -> int:
    """Number what was committed since; returns the last position. Needs READ COMMITTED."""
    return int(session.execute(text("SELECT assign_positions()")).scalar_one())


_READ = text("""
WITH wanted AS (
    SELECT id, tenant_id, first_position FROM postings
     WHERE first_position >= coalesce((SELECT max(first_position) FROM postings
                                        WHERE first_position <= :after + 1), 0)
     ORDER BY first_position LIMIT :at_most + 1
)
SELECT w.first_position + m.ordinal - 1 AS position, m.tenant_id, m.id, 'stock.' || m.kind AS kind,
       'level' AS subject_kind, m.level_id::text AS subject_id, m.sequence, m.created_by AS actor,
       m.occurred_at, m.recorded_at,
       jsonb_build_object(
           'operation_id', m.operation_id, 'warehouse_id', m.warehouse_id,
           'variant_id', m.variant_id, 'reference_kind', m.reference_kind,
           'reference_id', m.reference_id, 'reason', m.reason,
           'available',
               jsonb_build_array(m.available_before, m.available_change, m.available_after),
           'reserved', jsonb_build_array(m.reserved_before, m.reserved_change, m.reserved_after),
           'damaged', jsonb_build_array(m.damaged_before, m.damaged_change, m.damaged_after),
           'quarantine',
               jsonb_build_array(m.quarantine_before, m.quarantine_change, m.quarantine_after),
           'in_transit',
               jsonb_build_array(m.in_transit_before, m.in_transit_change, m.in_transit_after),
           'value_change', m.value_change::text, 'value_after', m.value_after::text) AS data
  FROM wanted w JOIN stock_movements m ON m.posting_id = w.id
 WHERE w.first_position + m.ordinal - 1 > :after
UNION ALL
SELECT w.first_position + e.ordinal - 1, e.tenant_id, e.id, e.kind, e.subject_kind, e.subject_id,
       e.subject_sequence, e.actor, e.occurred_at, e.recorded_at, e.data
  FROM wanted w JOIN events e ON e.tenant_id = w.tenant_id AND e.posting_id = w.id
 WHERE w.first_position + e.ordinal - 1 > :after
 ORDER BY 1 LIMIT :at_most
""")


def read(session: Session, after: int, at_most: int = 1000) -> list[Fact]:
    """Facts with a position above ``after``, in order, at most ``at_most``.

    As the app role: the tenant's own. As the follower: every tenant's, without a gap.
    """
    rows = session.execute(_READ, {"after": after, "at_most": at_most})
    return [Fact(*row) for row in rows]


def cursor(session: Session, name: str) -> int:
    """The last position that the follower ``name`` has worked off; 0 at the start."""
    found = session.execute(
        text("SELECT position FROM follower_cursors WHERE name = :name"), {"name": name}
    ).scalar_one_or_none()
    return int(found or 0)


def advance(session: Session, name: str, position: int) -> None:
    """Store a follower's cursor, in the transaction of its effect; it never goes back."""
    session.execute(
        text("""
            INSERT INTO follower_cursors (name, position) VALUES (:name, :position)
            ON CONFLICT (name) DO UPDATE
               SET position = greatest(follower_cursors.position, excluded.position),
                   updated_at = clock_timestamp()
        """),
        {"name": name, "position": position},
    )
