"""Reorder settings of levels and suppliers of variants in SQL.

Settings are columns of the level, so they are written in the order of locks that the batch writer
keeps: missing levels are inserted before any is locked, levels are locked by id, and variants come
after the levels. ``inventory_levels.version`` counts the changes of settings alone; movements are
counted by ``sequence``.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db import events, paging, records
from db.reorder_tables import VariantSupplier
from db.tables import InventoryLevel, Supplier, Variant
from domain.errors import InvalidInput, NotFound, PreconditionFailed
from domain.permissions import Actor
from domain.reorder import LevelSettings, Need, SuppliersOfVariant
from domain.stock import UNKNOWN_ITEM, LevelKey

#: The event that makes the alerts look at a level again.
SETTINGS_CHANGED = "level.settings_changed"
_SET = (
    "reorder_point",
    "reorder_quantity",
    "max_stock_level",
    "bin_location",
    "aisle",
    "shelf",
)
_KEYS = """
  FROM unnest(CAST(:warehouses AS uuid[]), CAST(:variants AS uuid[]), CAST(:lots AS text[]))
    AS k (warehouse_id, variant_id, lot)
"""
_FIND = text(
    "SELECT l.id, l.warehouse_id, l.variant_id, l.lot"  # noqa: S608  # Constants only.
    + _KEYS
    + """
  JOIN inventory_levels l ON l.warehouse_id = k.warehouse_id AND l.variant_id = k.variant_id
                         AND l.lot IS NOT DISTINCT FROM k.lot
"""
)
_CREATE = text(
    """
INSERT INTO inventory_levels (warehouse_id, variant_id, lot)
SELECT w.id, v.id, k.lot
"""
    + _KEYS
    + """
  JOIN warehouses w ON w.id = k.warehouse_id
  JOIN variants v ON v.id = k.variant_id
 ORDER BY w.id, v.id, k.lot
ON CONFLICT DO NOTHING
"""
)


def list_settings(
    session: Session,
    window: paging.Window,
    *,
    warehouse_id: UUID | None = None,
    variant_id: UUID | None = None,
) -> paging.Page[InventoryLevel]:
    """Levels that have a reorder point."""
    found = select(InventoryLevel).where(InventoryLevel.reorder_point.is_not(None))
    if warehouse_id is not None:
        found = found.where(InventoryLevel.warehouse_id == warehouse_id)
    if variant_id is not None:
        found = found.where(InventoryLevel.variant_id == variant_id)
    return paging.fetch(session, found, (InventoryLevel.id,), window)


def put_settings(
    session: Session,
    actor: Actor,
    wanted: Sequence[LevelSettings],
    versions: records.Versions,
) -> list[InventoryLevel]:
    """Replace the settings of every level of ``wanted``, in its order; all or none.

    A level that does not exist yet comes to be with no stock. ``versions`` is for one level; each
    of several carries its own.

    Raises:
        NotFound: ``unknown_item``, a warehouse, variant or supplier that does not exist.
        PreconditionFailed: the settings of a level have another version than was read.
        InvalidInput: ``versions`` were given for several levels.
    """
    if versions is not None and len(wanted) > 1:
        raise InvalidInput.field(
            "/settings",
            "if_match",
            "Several levels are sent with If-Match: * and the version of each in its own entry.",
        )
    ids = _level_ids(session, [one.level() for one in wanted])
    locked = session.scalars(
        select(InventoryLevel)
        .where(InventoryLevel.id.in_(ids.values()))
        .order_by(InventoryLevel.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    levels = {level.id: level for level in locked}
    found = [levels[ids[one.level()]] for one in wanted]
    now = session.scalars(select(func.clock_timestamp())).one()
    for one, level in zip(wanted, found, strict=True):
        _check_version(one, level, versions)
        for name in _SET:
            setattr(level, name, getattr(one, name))
        level.version += 1
        level.updated_at = now
    session.flush()
    _prefer(session, wanted)
    events.record(session, [_changed(level, actor, now) for level in found])
    return found


def suppliers_of(session: Session, variant_id: UUID) -> tuple[Variant, Sequence[VariantSupplier]]:
    """A variant with its suppliers, the preferred one first.

    Raises:
        NotFound: there is no such variant.
    """
    variant = records.get(session, Variant, variant_id)
    return variant, _suppliers(session, variant_id)


def replace_suppliers(
    session: Session, variant_id: UUID, versions: records.Versions, data: SuppliersOfVariant
) -> tuple[Variant, Sequence[VariantSupplier]]:
    """Replace all suppliers of a variant; they are part of the variant and of its version.

    Raises:
        NotFound: there is no such variant, or ``unknown_item``: no such supplier.
        PreconditionFailed: the variant has none of ``versions``.
    """
    touched = {"updated_at": func.clock_timestamp()}
    variant = records.change(session, Variant, variant_id, versions, touched, {})
    _check_suppliers(session, {one.supplier_id for one in data.suppliers})
    session.execute(delete(VariantSupplier).where(VariantSupplier.variant_id == variant_id))
    if data.suppliers:
        session.execute(
            insert(VariantSupplier),
            [{"variant_id": variant_id, **one.model_dump()} for one in data.suppliers],
        )
    return variant, _suppliers(session, variant_id)


def need_of(level: Row[Any]) -> Need:
    """What a row of a level's columns says of its stock and settings."""
    return Need(
        available=level.available,
        in_transit=level.in_transit,
        reorder_point=level.reorder_point,
        reorder_quantity=level.reorder_quantity,
        max_stock_level=level.max_stock_level,
    )


def _level_ids(session: Session, keys: Sequence[LevelKey]) -> dict[LevelKey, UUID]:
    """The ids of the levels, creating those that are missing."""
    ids = _find(session, keys)
    missing = [key for key in keys if key not in ids]
    if missing:
        session.execute(_CREATE, _columns(missing))
        ids |= _find(session, missing)
    for key in missing:
        if key not in ids:
            raise NotFound(
                "There is no such variant or warehouse.",
                code=UNKNOWN_ITEM,
                details={
                    "variant_id": str(key.variant_id),
                    "warehouse_id": str(key.warehouse_id),
                },
            )
    return ids


def _find(session: Session, keys: Sequence[LevelKey]) -> dict[LevelKey, UUID]:
    found = session.execute(_FIND, _columns(keys))
    return {LevelKey(row[1], row[2], row[3]): row[0] for row in found}


def _columns(keys: Sequence[LevelKey]) -> dict[str, list[UUID] | list[str | None]]:
    return {
        "warehouses": [key.warehouse_id for key in keys],
        "variants": [key.variant_id for key in keys],
        "lots": [key.lot for key in keys],
    }


def _check_version(one: LevelSettings, level: InventoryLevel, versions: records.Versions) -> None:
    stale = versions is not None and level.version not in versions
    if stale or one.version not in {None, level.version}:
        raise PreconditionFailed(
            "The settings were changed since they were read; read them again.",
            details={
                "warehouse_id": str(level.warehouse_id),
                "variant_id": str(level.variant_id),
                "current_version": level.version,
            },
        )


def _prefer(session: Session, wanted: Sequence[LevelSettings]) -> None:
    """Make the named suppliers the preferred ones of their variants, whoever else delivers."""
    chosen = {one.variant_id: one.supplier for one in wanted if one.supplier is not None}
    if not chosen:
        return
    _check_suppliers(session, {supplier.supplier_id for supplier in chosen.values()})
    # Two requests may name the same variants in another order of levels: one order for all.
    session.execute(
        select(Variant.id)
        .where(Variant.id.in_(chosen))
        .order_by(Variant.id)
        .with_for_update(key_share=True)
    )
    session.execute(
        update(Variant).where(Variant.id.in_(chosen)).values(updated_at=func.clock_timestamp())
    )
    session.execute(
        update(VariantSupplier)
        .where(VariantSupplier.variant_id.in_(chosen), VariantSupplier.is_preferred)
        .values(is_preferred=False)
    )
    upsert = insert(VariantSupplier).values(
        [
            {"variant_id": variant_id, "is_preferred": True, **supplier.model_dump()}
            for variant_id, supplier in chosen.items()
        ]
    )
    session.execute(
        upsert.on_conflict_do_update(
            constraint="variant_suppliers_pkey",
            set_={
                "is_preferred": True,
                "lead_time_days": upsert.excluded.lead_time_days,
            },
        )
    )


def _check_suppliers(session: Session, wanted: set[UUID]) -> None:
    known = set(session.scalars(select(Supplier.id).where(Supplier.id.in_(wanted))))
    for unknown in sorted(wanted - known):
        raise NotFound(
            "There is no such supplier.",
            code=UNKNOWN_ITEM,
            details={"supplier_id": str(unknown)},
        )


def _suppliers(session: Session, variant_id: UUID) -> Sequence[VariantSupplier]:
    return session.scalars(
        select(VariantSupplier)
        .where(VariantSupplier.variant_id == variant_id)
        .order_by(VariantSupplier.is_preferred.desc(), VariantSupplier.supplier_id)
        .execution_options(populate_existing=True)
    ).all()


def _changed(level: InventoryLevel, actor: Actor, at: datetime) -> events.NewFact:
    return events.NewFact(
        kind=SETTINGS_CHANGED,
        subject_kind="level_settings",
        subject_id=str(level.id),
        # The version of untouched settings is 1.
        sequence=level.version - 1,
        actor=actor.name,
        occurred_at=at,
        data={
            "warehouse_id": str(level.warehouse_id),
            "variant_id": str(level.variant_id),
            "lot": level.lot,
            **{name: getattr(level, name) for name in _SET},
        },
    )
