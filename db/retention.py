"""How long keys of commands are kept, and the batches in which they go. Run as maint.

A key from a client is kept for thirty days: as long as anybody may repeat a request. A key of a
process, tombstones included, is kept until the process has ended and ninety days more, because a
step may be tried again for as long as its process lives. The keys of a reservation are written at
its very end, so their age is the age of that end.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.tables import Tenant
from db.upkeep_tables import RetentionMark

HTTP_DAYS, PROCESS_DAYS = 30, 90
BATCH = 5_000
#: Ended processes whose keys go in one batch; each has a handful.
PROCESSES_MAX = 500


@dataclass(frozen=True, slots=True)
class Gone:
    """What a batch did; ``more`` says that the next one may find something."""

    keys: int
    more: bool


def tenants_after(session: Session, after: UUID | None, at_most: int) -> list[Tenant]:
    """Tenants in the order of their ids, suspended ones included."""
    found = select(Tenant).order_by(Tenant.id).limit(at_most)
    return list(session.scalars(found if after is None else found.where(Tenant.id > after)))


def expire_http(session: Session, tenant_id: UUID, at_most: int = BATCH) -> Gone:
    """Delete keys of clients that are too old; one that is being worked on again stays."""
    return _delete(session, _HTTP, tenant_id, HTTP_DAYS, at_most)


def expire_reservations(session: Session, tenant_id: UUID, at_most: int = BATCH) -> Gone:
    """Delete the keys of reservations that ended long ago."""
    return _delete(session, _RESERVATIONS, tenant_id, PROCESS_DAYS, at_most)


def expire_processes(session: Session, tenant_id: UUID, at_most: int = PROCESSES_MAX) -> Gone:
    """Delete the keys of the next processes of each kind that ended long ago.

    The mark moves in the same transaction, so no process is looked at twice.
    """
    keys, more = 0, False
    for kind, query in _ENDED.items():
        mark = session.get(RetentionMark, (tenant_id, kind))
        behind = (mark.closed_at, mark.process_id) if mark is not None else (None, None)
        ended = session.execute(
            query,
            {
                "tenant": tenant_id,
                "days": PROCESS_DAYS,
                "closed_at": behind[0],
                "id": behind[1],
                "at_most": at_most,
            },
        ).all()
        if not ended:
            continue
        ids = [row.workflow_id for row in ended]
        keys += len(session.execute(_OF_PROCESSES, {"tenant": tenant_id, "ids": ids}).all())
        _move_mark(session, tenant_id, kind, ended[-1])
        more = more or len(ended) == at_most
    return Gone(keys, more)


def _delete(session: Session, query: Any, tenant_id: UUID, days: int, at_most: int) -> Gone:
    gone = session.execute(query, {"tenant": tenant_id, "days": days, "at_most": at_most})
    keys = len(gone.all())
    return Gone(keys, keys == at_most)


def _move_mark(session: Session, tenant_id: UUID, kind: str, last: Any) -> None:
    place = {"closed_at": last.closed_at, "process_id": last.id}
    session.execute(
        insert(RetentionMark)
        .values(tenant_id=tenant_id, kind=kind, **place)
        .on_conflict_do_update(constraint="retention_marks_pkey", set_=place)
    )
    session.expire_all()


# Rows are found by their place, so that the batch needs no second look at the primary key. Claims
# go by the time of the last claim: a repeat that took one over is at work.
_OLD = """
DELETE FROM operations WHERE tenant_id = :tenant AND ctid = ANY(ARRAY(
    SELECT ctid FROM operations
     WHERE tenant_id = :tenant AND {which}
       AND created_at < clock_timestamp() - make_interval(days => :days)
     ORDER BY created_at LIMIT :at_most FOR UPDATE SKIP LOCKED)) RETURNING 1
"""
_HTTP = text(
    _OLD.format(
        which="source = 'http' AND (state <> 'claimed'"
        " OR claimed_at < clock_timestamp() - make_interval(days => :days))"
    )
)
_RESERVATIONS = text(
    _OLD.format(which="source = 'process' AND key >= 'reservation-' AND key < 'reservation.'")
)
# '0' is the character behind '/': everything that begins with the id and a slash, nothing else.
_OF_PROCESSES = text("""
DELETE FROM operations o USING unnest(CAST(:ids AS text[])) AS p (id)
 WHERE o.tenant_id = :tenant AND o.source = 'process'
   AND o.key >= (p.id || '/') COLLATE "C" AND o.key < (p.id || '0') COLLATE "C"
RETURNING 1
""")
_ENDED_OF = """
SELECT id, workflow_id, closed_at FROM {table}
 WHERE tenant_id = :tenant AND closed_at IS NOT NULL
   AND closed_at < clock_timestamp() - make_interval(days => :days)
   AND (CAST(:closed_at AS timestamptz) IS NULL
        OR (closed_at, id) > (CAST(:closed_at AS timestamptz), CAST(:id AS uuid)))
 ORDER BY closed_at, id LIMIT :at_most
"""
#: Kinds of processes with rows that tell their end; keys of any other process are kept.
_ENDED = {kind: text(_ENDED_OF.format(table=kind)) for kind in ("orders", "revaluations")}
