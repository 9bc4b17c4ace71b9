"""The oracle: rebuilds every level from its movements and compares all that must agree.

Tests, the demo, the bench and ``stockwright audit`` use this one. Each check is a query that gives
the rows which break an invariant, with what was expected and what was found; no row means that it
holds. Run as maint, which sees every tenant, inside one repeatable-read transaction.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from db import evidence
from db.audit_checks import ADVICE, CHECKS

__all__ = ["CHECKS", "FINDINGS_MAX", "Finding", "audit", "balance"]
#: Findings reported per check; a broken ledger may break everywhere.
FINDINGS_MAX = 100
#: Levels that are explained; the findings of the others are reported all the same.
EXPLAINED_MAX = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken invariant with its evidence, and what to do about it.

    ``evidence`` is there when it is about a level. ``corrections`` are what a person may sign;
    where there are none, ``advice`` says what else to do.
    """

    check: str
    tenant_id: str
    subject: str
    expected: str
    found: str
    level_id: str | None = None
    evidence: dict[str, Any] | None = None
    corrections: list[dict[str, Any]] = field(default_factory=list)
    advice: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Without what does not apply."""
        return {name: value for name, value in asdict(self).items() if value}


def audit(engine: Engine, tenant_id: UUID | None = None) -> list[Finding]:
    """Run every check for one tenant, or for all; an empty list means the books balance."""
    findings: list[Finding] = []
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        parameters: dict[str, Any] = {"tenant": str(tenant_id) if tenant_id else None}
        for name, query in CHECKS.items():
            rows = connection.execute(text(f"{query} LIMIT {FINDINGS_MAX}"), parameters)
            findings += [
                Finding(
                    check=name,
                    tenant_id=str(row[0]),
                    subject=row[1],
                    expected=str(row[2]),
                    found=str(row[3]),
                    level_id=None if row[4] is None else str(row[4]),
                )
                for row in rows
            ]
        with Session(connection) as session:
            return _explained(session, findings)


def _explained(session: Session, findings: list[Finding]) -> list[Finding]:
    """The findings with evidence, read in the same snapshot."""
    known: dict[str, evidence.Books | None] = {}
    told = []
    for finding in findings:
        level = finding.level_id
        if level is not None and level not in known and len(known) < EXPLAINED_MAX:
            known[level] = evidence.books(session, UUID(finding.tenant_id), UUID(level))
        told.append(_explain(finding, known.get(level) if level is not None else None))
    return told


def _explain(finding: Finding, known: evidence.Books | None) -> Finding:
    if known is None:
        return replace(finding, advice=ADVICE[finding.check])
    corrections = evidence.proposals(known) if finding.check in _CORRECTABLE else []
    advice = " ".join(known.obstacles) or ADVICE[finding.check]
    return replace(
        finding,
        evidence=evidence.evidence(known),
        corrections=corrections,
        advice=None if any(one["possible"] for one in corrections) else advice,
    )


#: Checks whose findings a signed correction of the level makes good.
_CORRECTABLE = frozenset(
    {
        "level_is_the_sum_of_its_movements",
        "chain_is_unbroken",
        "reserved_is_the_sum_of_open_reservations",
        "value_is_average_times_on_hand",
    }
)


_SUMMARY = text("""
SELECT kind, sum(available_change + reserved_change + damaged_change + quarantine_change)::bigint,
       sum(value_change + in_transit_value_change)
  FROM stock_movements WHERE tenant_id = :tenant GROUP BY kind ORDER BY kind
""")
_HELD = text("""
SELECT coalesce(sum(available), 0)::bigint, coalesce(sum(reserved), 0)::bigint,
       coalesce(sum(damaged), 0)::bigint, coalesce(sum(quarantine), 0)::bigint,
       coalesce(sum(in_transit), 0)::bigint,
       coalesce(sum(total_value + in_transit_value), 0)
  FROM inventory_levels WHERE tenant_id = :tenant
""")


def balance(session: Session, tenant_id: UUID) -> dict[str, Any]:
    """Units and value by kind of movement beside what the levels hold; ``balanced`` compares both.

    The sum that must hold: what came in = what is on hand + what left, in units and in value.
    """
    moved = session.execute(_SUMMARY, {"tenant": tenant_id}).all()
    held = session.execute(_HELD, {"tenant": tenant_id}).one()
    units = sum(row[1] for row in moved)
    value = sum((row[2] for row in moved), start=0 * held[5])
    on_hand = held[0] + held[1] + held[2] + held[3]
    return {
        "units_by_kind": {row[0]: row[1] for row in moved if row[1]},
        "value_by_kind": {row[0]: str(row[2]) for row in moved if row[2]},
        "on_hand": on_hand,
        "available": held[0],
        "reserved": held[1],
        "damaged": held[2],
        "quarantine": held[3],
        "in_transit": held[4],
        "value_on_hand": str(held[5]),
        "balanced": units == on_hand and value == held[5],
    }
