"""``stockwright audit``: tells what does not balance, and carries out what a person signs."""

from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

import installation
from db.audit import CHECKS, Finding, audit, balance
from db.corrections import Signature, correct, release
from db.tables import Tenant
from domain.corrections import Keep
from settings import Settings
from terminal import FAILED, answering, tell


def audit_books(
    *,
    tenant: Annotated[str | None, typer.Option(help="Short name of a tenant.")] = None,
    level: Annotated[
        UUID | None, typer.Option("--correct", metavar="LEVEL", help="Correct this level.")
    ] = None,
    keep: Annotated[
        Keep | None, typer.Option(help="What is right: what the ledger or what the level says.")
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option("--release", metavar="OWNER", help="Free what this ended process holds."),
    ] = None,
    signed_by: Annotated[str | None, typer.Option(help="Who answers for it.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why it is right.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Answer with exactly one JSON object.")
    ] = False,
) -> None:
    """Compare every level with its movements, and all that must agree; exit code 1 on findings.

    A level that does not balance is corrected by movements that somebody signs.
    """
    with answering(as_json):
        if level is None and owner is None:
            if keep is not None or signed_by is not None or reason is not None:
                raise typer.BadParameter("Say what is signed: --correct or --release.")
            _look(tenant, as_json=as_json)
            return
        if level is not None and owner is not None:
            raise typer.BadParameter("Either --correct or --release.")
        if signed_by is None or reason is None:
            raise typer.BadParameter("A correction needs --signed-by and --reason.")
        signature = Signature(signed_by, reason)
        with installation.maint(Settings()) as engine:
            if owner is not None:
                units = release(engine, owner, signature)
                tell(as_json, {"owner": owner, "units": units}, f"Freed {units} units of {owner}.")
            elif level is not None:
                _correct(engine, level, keep, signature, as_json=as_json)


def _correct(
    engine: Engine, level: UUID, keep: Keep | None, signature: Signature, *, as_json: bool
) -> None:
    if keep is None:
        raise typer.BadParameter("Say what is right: --keep ledger or --keep level.")
    corrected = correct(engine, level, keep, signature)
    numbers = ", ".join(map(str, corrected.movements)) or "none"
    tell(
        as_json,
        corrected.as_dict(),
        f"Corrected level {level}: it now holds {corrected.level}\n"
        f"Movements of kind correction, by number: {numbers}; signed by {signature.signed_by}.",
    )


def _look(tenant: str | None, *, as_json: bool) -> None:
    with installation.maint(Settings()) as engine:
        with Session(engine) as session:
            chosen = (
                session.scalars(select(Tenant).order_by(Tenant.slug)).all()
                if tenant is None
                else [installation.need_tenant(session, tenant)]
            )
            balances = {one.slug: balance(session, one.id) for one in chosen}
        findings = audit(engine, chosen[0].id if tenant is not None else None)
    balanced = all(one["balanced"] for one in balances.values())
    lines = [
        f"{slug}: {one['on_hand']} units on hand, {one['value_on_hand']} in value;"
        f" {'balanced' if one['balanced'] else 'NOT BALANCED'}"
        for slug, one in balances.items()
    ]
    for finding in findings:
        lines += _told(finding)
    lines.append(f"{len(CHECKS)} checks, {len(findings)} findings.")
    document = {
        "balanced": balanced,
        "checks": list(CHECKS),
        "findings": [finding.as_dict() for finding in findings],
        "tenants": balances,
    }
    tell(as_json, document, "\n".join(lines))
    if findings or not balanced:
        raise typer.Exit(FAILED)


def _told(finding: Finding) -> list[str]:
    """A finding for people: what is wrong, the evidence, what can be done."""
    lines = [
        f"{finding.check}: {finding.subject}",
        f"  expected  {finding.expected}",
        f"  found     {finding.found}",
    ]
    known: dict[str, Any] = finding.evidence or {}
    if known:
        lot = f", lot {known['lot']}" if known["lot"] else ""
        lines.append(f"  what      {known['sku']} in {known['warehouse']}{lot}")
        lines.append(f"  since     {known['since']}")
        lines += [
            f"  movement  {one['sequence']} {one['kind']} of {one['occurred_at']:%Y-%m-%d %H:%M}"
            f" by {one['created_by']}"
            for one in known["last_movements"]
        ]
    for one in finding.corrections:
        if one["possible"]:
            lines.append(f"  correct   {one['command']}")
            lines.append(f"            leads to {one['leads_to']}")
        else:
            lines.append(f"  cannot    {one['why_not']}")
    if finding.advice:
        lines.append(f"  advice    {finding.advice}")
    return lines
