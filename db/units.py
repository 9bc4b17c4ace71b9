"""Units of measure in SQL, and how each variant is counted in them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session

from db import paging, records, usage
from db.tables import InventoryLevel, OrderLine, Unit, Variant, VariantUnit
from domain.errors import Conflict, FieldError, InvalidInput
from domain.units import (
    PIECE,
    Conversion,
    L,
    NewUnit,
    VariantUnits,
    in_base_units,
    wanted_variants,
)

_SHOWN = 20
_CONSTRAINTS: records.Refusals = {
    "units_code_key": lambda: Conflict("Another unit has this code.", code="code_taken"),
}
BARCODE_TAKEN: records.Refusals = {
    name: lambda: Conflict("Another variant or package has this barcode.", code="barcode_taken")
    for name in ("variants_barcode_key", "variant_units_barcode_key")
}


def _counted_in_it() -> Conflict:
    return usage.in_use("Variants are counted in it.", [])


_REFERRED: records.Refusals = {
    "variants_base_unit_fkey": _counted_in_it,
    "variant_units_unit_fkey": _counted_in_it,
}
# Every unit of some variants with its factor, the base unit with 1. Pieces are whole.
_CONVERSIONS = text(f"""
    SELECT v.id, coalesce(u.code, '{PIECE}') AS code, coalesce(u.decimals, 0) AS decimals,
           1 AS factor, true AS is_base, NULL AS barcode
      FROM variants v LEFT JOIN units u ON u.id = v.base_unit_id
     WHERE v.id = ANY(:ids)
     UNION ALL
    SELECT p.variant_id, u.code, u.decimals, p.factor, false, p.barcode
      FROM variant_units p JOIN units u ON u.id = p.unit_id
     WHERE p.variant_id = ANY(:ids)
     ORDER BY factor, code
""")  # noqa: S608  # A constant of ours.


def create(session: Session, new: NewUnit) -> Unit:
    """A new unit.

    Raises:
        InvalidInput: it would be the piece, which is built in.
        Conflict: the code is taken.
    """
    if new.code == PIECE:
        raise InvalidInput.field("/code", "built_in", f"The unit {PIECE!r} is built in.")
    return records.add(session, Unit(**records.columns(new.model_dump())), _CONSTRAINTS)


def list_units(
    session: Session, window: paging.Window, *, code: str | None = None
) -> paging.Page[Unit]:
    """The units, or the one with a code."""
    found = select(Unit)
    if code is not None:
        found = found.where(Unit.code == code)
    return paging.fetch(session, found, (Unit.id,), window)


def change(
    session: Session, unit_id: UUID, versions: records.Versions, sent: Mapping[str, Any]
) -> Unit:
    """Edit a unit; raises NotFound, PreconditionFailed (see ``records.change``)."""
    return records.change(session, Unit, unit_id, versions, sent, {})


def delete_unit(session: Session, unit_id: UUID, versions: records.Versions) -> None:
    """Delete a unit that no variant is counted in.

    Raises:
        NotFound, PreconditionFailed: see ``records.lock``.
        Conflict: ``in_use``, with some of the variants.
    """
    row = records.lock(session, Unit, unit_id, versions)
    users = [
        *session.scalars(select(Variant.id).where(Variant.base_unit_id == unit_id).limit(_SHOWN)),
        *session.scalars(
            select(VariantUnit.variant_id).where(VariantUnit.unit_id == unit_id).limit(_SHOWN)
        ),
    ]
    if users:
        references = [{"kind": "variant", "id": str(id_)} for id_ in users[:_SHOWN]]
        raise usage.in_use("Variants are counted in it.", references)
    records.remove(session, row, _REFERRED)


def ids_of(session: Session, codes: Mapping[str, str]) -> dict[str, UUID | None]:
    """The units with these codes, by code; None for the piece. ``codes`` has each code's pointer.

    Raises:
        InvalidInput: there is no such unit.
    """
    named = [code for code in codes if code != PIECE]
    found: dict[str, UUID | None] = {PIECE: None}
    if named:
        # Shared until the end: a unit cannot go while something begins to be counted in it.
        rows = session.execute(
            select(Unit.code, Unit.id)
            .where(Unit.code.in_(named))
            .with_for_update(read=True, key_share=True)
        )
        found.update((row.code, row.id) for row in rows)
    missing = [
        FieldError(pointer, "unknown_unit", f"There is no unit {code!r}.")
        for code, pointer in codes.items()
        if code not in found
    ]
    if missing:
        raise InvalidInput("There is no such unit.", errors=missing[:100])
    return found


def base_units(session: Session, variants: Iterable[Variant]) -> dict[UUID | None, str]:
    """The codes of the variants' base units, by the unit's id; None is the piece."""
    ids = {variant.base_unit_id for variant in variants} - {None}
    found: dict[UUID | None, str] = {None: PIECE}
    if ids:
        rows = session.execute(select(Unit.id, Unit.code).where(Unit.id.in_(ids)))
        found.update((row.id, row.code) for row in rows)
    return found


def units_of(session: Session, variant_id: UUID) -> Sequence[Any]:
    """All units of a variant, the base unit with the factor 1: code, factor, barcode, is_base."""
    return session.execute(_CONVERSIONS, {"ids": [variant_id]}).all()


def conversions(
    session: Session, variant_ids: Collection[UUID]
) -> dict[UUID, dict[str, Conversion]]:
    """How to convert into base units: by variant and code of the unit."""
    found: dict[UUID, dict[str, Conversion]] = {}
    for row in session.execute(_CONVERSIONS, {"ids": list(variant_ids)}):
        found.setdefault(row.id, {})[row.code] = Conversion(row.factor, row.decimals)
    return found


def converted(session: Session, lines: Sequence[L]) -> list[L]:
    """The lines in base units; nothing is read when none of them names a unit.

    Raises:
        InvalidInput: see ``domain.units.in_base_units``.
    """
    wanted = wanted_variants(lines)
    return in_base_units(lines, conversions(session, wanted)) if wanted else list(lines)


def replace(
    session: Session, variant_id: UUID, versions: records.Versions, data: VariantUnits
) -> Variant:
    """Replace all units of a variant. Another factor changes no history: that is in base units.

    Raises:
        NotFound, PreconditionFailed: see ``records.lock``.
        InvalidInput: there is no such unit.
        Conflict: a barcode is taken, or another base unit would change what history means.
    """
    variant = records.lock(session, Variant, variant_id, versions)
    pieces = [n for n, package in enumerate(data.units) if package.unit == PIECE]
    if pieces:
        raise InvalidInput.field(
            f"/units/{pieces[0]}/unit", "built_in", f"{PIECE!r} can be the base unit only."
        )
    codes = {data.base_unit: "/base_unit"}
    codes |= {package.unit: f"/units/{n}/unit" for n, package in enumerate(data.units)}
    ids = ids_of(session, codes)
    if ids[data.base_unit] != variant.base_unit_id:
        usage.refuse_any_use(
            session,
            usage.has_line(OrderLine.variant_id == variant_id),
            InventoryLevel.variant_id == variant_id,
        )
    session.execute(delete(VariantUnit).where(VariantUnit.variant_id == variant_id))
    with records.refusing(BARCODE_TAKEN):
        # In one order, so that two edits cannot wait for each other's barcodes.
        for package in sorted(data.units, key=lambda package: package.barcode or ""):
            session.add(
                VariantUnit(
                    variant_id=variant_id,
                    unit_id=ids[package.unit],
                    factor=package.factor,
                    barcode=package.barcode,
                )
            )
            session.flush()
    values = {"base_unit_id": ids[data.base_unit], "updated_at": func.clock_timestamp()}
    return records.change(session, Variant, variant_id, None, values, {})


def package_with(session: Session, barcode: str) -> tuple[UUID, str, int] | None:
    """The variant, unit and factor of the package with this barcode."""
    row = session.execute(
        select(VariantUnit.variant_id, Unit.code, VariantUnit.factor)
        .join(Unit, Unit.id == VariantUnit.unit_id)
        .where(VariantUnit.barcode == barcode)
    ).one_or_none()
    return None if row is None else (row.variant_id, row.code, row.factor)
