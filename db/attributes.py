"""Custom attributes in SQL: definitions, and the values of records in a narrow table of text."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Select, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from db import paging, records, usage
from db.tables import Attribute, AttributeValue, Customer, Product, Record, Supplier, Variant
from db.tables import Warehouse as WarehouseRow
from domain import attributes as rules
from domain.attributes import NewAttribute, RecordKind
from domain.errors import Conflict, InvalidInput

R = TypeVar("R", bound=Record)
KINDS: Mapping[type[Record], RecordKind] = {
    Product: RecordKind.PRODUCT,
    Variant: RecordKind.VARIANT,
    Customer: RecordKind.CUSTOMER,
    Supplier: RecordKind.SUPPLIER,
    WarehouseRow: RecordKind.WAREHOUSE,
}
_SHOWN = 20
_CONSTRAINTS: records.Refusals = {
    "attributes_key_key": lambda: Conflict(
        "Another attribute of these records has this key.", code="key_taken"
    ),
}
_REFERRED: records.Refusals = {
    "attribute_values_attribute_fkey": lambda: usage.in_use("Records have values of it.", []),
}
# Whoever stores values shares this lock; whoever changes what values may be has it alone. So no
# value can be stored by rules that changed meanwhile.
_LOCK = "hashtextextended('stockwright.attributes/' || current_setting('app.tenant'), 0)"
_SHARE_RULES = text(f"SELECT pg_advisory_xact_lock_shared({_LOCK})")
_LOCK_RULES = text(f"SELECT pg_advisory_xact_lock({_LOCK})")


@dataclass(slots=True)
class Changed:
    """The limits of an attribute as they would be after an edit."""

    key: str
    type: str
    required: bool
    options: list[str]
    minimum: str | None
    maximum: str | None
    max_length: int | None
    pattern: str | None


def create(session: Session, new: NewAttribute) -> Attribute:
    """Define an attribute.

    Raises:
        InvalidInput: its limits do not fit its type.
        Conflict: the key is taken, or these records have as many as there may be.
    """
    given = new.model_dump(mode="json")
    given |= rules.check_limits(new.type, given)
    session.execute(_LOCK_RULES)
    count = select(func.count()).where(Attribute.kind == given["kind"])
    if session.execute(count).scalar_one() >= rules.ATTRIBUTES_MAX:
        raise Conflict(
            f"Records have at most {rules.ATTRIBUTES_MAX} attributes.", code="too_many_attributes"
        )
    return records.add(session, Attribute(**records.columns(given)), _CONSTRAINTS)


def list_attributes(
    session: Session, window: paging.Window, *, kind: str | None = None
) -> paging.Page[Attribute]:
    """The definitions, all or those for one kind of records."""
    found = select(Attribute)
    if kind is not None:
        found = found.where(Attribute.kind == kind)
    return paging.fetch(session, found, (Attribute.id,), window)


def change(
    session: Session, attribute_id: UUID, versions: records.Versions, sent: Mapping[str, Any]
) -> Attribute:
    """Edit a definition, if every value that records have fits it afterwards.

    Raises:
        NotFound, PreconditionFailed: see ``records.lock``.
        InvalidInput: the limits do not fit the type.
        Conflict: ``in_use``, with how many records have values that would not fit, and some of
            them.
    """
    session.execute(_LOCK_RULES)
    row = records.lock(session, Attribute, attribute_id, versions)
    fields = {name: getattr(row, name) for name in Changed.__dataclass_fields__}
    after = {name: value for name, value in sent.items() if name in fields}
    before = {name: _as_sent(row.type, name, value) for name, value in fields.items()}
    limits = rules.check_limits(row.type, {**before, **after})
    changed = Changed(**{**fields, **after, **limits})
    if any(limits[name] != fields[name] for name in limits):
        _refuse_unfit(session, attribute_id, changed)
    return records.change(
        session, Attribute, attribute_id, versions, {**sent, **limits} if sent else {}, {}
    )


def delete_attribute(session: Session, attribute_id: UUID, versions: records.Versions) -> None:
    """Delete the definition of an attribute of which no record has a value.

    Raises:
        NotFound, PreconditionFailed: see ``records.lock``.
        Conflict: ``in_use``, with how many records have a value, and some of them.
    """
    session.execute(_LOCK_RULES)
    row = records.lock(session, Attribute, attribute_id, versions)
    mine = AttributeValue.attribute_id == attribute_id
    shown = session.scalars(select(AttributeValue.record_id).where(mine).limit(_SHOWN)).all()
    if shown:
        count = session.execute(select(func.count()).where(mine)).scalar_one()
        raise _in_use("Records have values of it.", row.kind, count, shown)
    records.remove(session, row, _REFERRED)


def definitions_of(session: Session, kind: type[Record], *, storing: bool) -> Sequence[Attribute]:
    """The definitions for a kind of records; with ``storing`` they stay as they are until the
    transaction ends."""
    if storing:
        session.execute(_SHARE_RULES)
    found = select(Attribute).where(Attribute.kind == KINDS[kind].value)
    return session.scalars(found.order_by(Attribute.id)).all()


def add(session: Session, new: Mapping[Record, tuple[str, Mapping[str, object]]]) -> None:
    """Store the attributes of new records of one kind, each with the pointer to its body.

    Raises:
        InvalidInput: a value does not fit, or a required one is missing.
    """
    storing = any(sent for _, sent in new.values())
    known = definitions_of(session, type(next(iter(new))), storing=storing)
    for row, (pointer, sent) in new.items():
        _store(session, row.id, known, {}, rules.merged(known, {}, sent, pointer))


def change_record(
    session: Session,
    kind: type[R],
    id_: UUID,
    versions: records.Versions,
    sent: Mapping[str, Any],
    refusals: records.Refusals,
    *,
    whole: bool = False,
) -> R:
    """``records.change`` for a record with attributes: those sent are set, null takes one away;
    with ``whole`` those not sent go as well.

    Raises:
        NotFound, PreconditionFailed, StockwrightError: see ``records.change``.
        InvalidInput: a value does not fit, or a required one is missing.
    """
    values = {name: value for name, value in sent.items() if name != "attributes"}
    if "attributes" not in sent:
        return records.change(session, kind, id_, versions, values, refusals)
    records.lock(session, kind, id_, versions)
    known = definitions_of(session, kind, storing=True)
    current = _texts(session, id_)
    after = rules.merged(known, {} if whole else current, sent["attributes"])
    if after != current:
        # Attributes are part of the record: its version has to rise with them.
        values["updated_at"] = func.clock_timestamp()
        _store(session, id_, known, current, after)
    return records.change(session, kind, id_, None, values, refusals)


def forget(session: Session, ids: Collection[UUID]) -> None:
    """Delete the values of records that are deleted in the same transaction."""
    session.execute(delete(AttributeValue).where(AttributeValue.record_id.in_(ids)))


def values_of(session: Session, ids: Collection[UUID]) -> dict[UUID, dict[str, bool | int | str]]:
    """The attributes of records, by record and key; one query for all."""
    found: dict[UUID, dict[str, bool | int | str]] = {id_: {} for id_ in ids}
    if ids:
        rows = session.execute(
            select(AttributeValue.record_id, Attribute.key, Attribute.type, AttributeValue.value)
            .join(Attribute, Attribute.id == AttributeValue.attribute_id)
            .where(AttributeValue.record_id.in_(ids))
            .order_by(AttributeValue.record_id, Attribute.key)
        )
        for row in rows:
            found[row.record_id][row.key] = rules.shown(row.type, row.value)
    return found


def having(
    session: Session,
    kind: type[R],
    wanted: Sequence[str],
    window: paging.Window | None = None,
) -> Select[R]:
    """Selects the records that have every wanted value, each as ``key:value``.

    ``window`` is that of the list, when it goes by id.

    Raises:
        InvalidInput: there is no such attribute, or the value is none of its type.
    """
    found = select(kind)
    if not wanted:
        return found
    known = {row.key: row for row in definitions_of(session, kind, storing=False)}
    for each in wanted:
        key, _, value = each.partition(":")
        try:
            definition = known[key]
            sought = rules.sought(definition, value)
        except KeyError:
            text_ = f"These records have no attribute {key[:40]!r}."
            raise InvalidInput.field("?attribute", "unknown_attribute", text_) from None
        except ValueError as unfit:
            raise InvalidInput.field("?attribute", "attribute_type", str(unfit)) from None
        has = aliased(AttributeValue)
        # A record has at most one value of an attribute: the join doubles nothing.
        found = found.join(has, has.record_id == kind.id).where(
            has.attribute_id == definition.id, has.value == sought
        )
        if window is not None:
            found = paging.behind(found, (has.record_id,), window)
    return found


def _store(
    session: Session,
    id_: UUID,
    known: Sequence[Attribute],
    before: Mapping[str, str],
    after: Mapping[str, str],
) -> None:
    ids = {definition.key: definition.id for definition in known}
    gone = [ids[key] for key in before if key not in after]
    new = [
        {"record_id": id_, "attribute_id": ids[key], "value": value}
        for key, value in after.items()
        if before.get(key) != value
    ]
    if gone:
        session.execute(
            delete(AttributeValue).where(
                AttributeValue.record_id == id_, AttributeValue.attribute_id.in_(gone)
            )
        )
    if new:
        added = insert(AttributeValue).values(new)
        session.execute(
            added.on_conflict_do_update(
                constraint="attribute_values_pkey", set_={"value": added.excluded.value}
            )
        )


def _texts(session: Session, id_: UUID) -> dict[str, str]:
    rows = session.execute(
        select(Attribute.key, AttributeValue.value)
        .join(Attribute, Attribute.id == AttributeValue.attribute_id)
        .where(AttributeValue.record_id == id_)
    )
    return {row.key: row.value for row in rows}


def _as_sent(type_: str, name: str, value: Any) -> Any:
    """A stored limit as a client would send it."""
    if name in {"minimum", "maximum"} and value is not None:
        return rules.shown(type_, value)
    return value


def _refuse_unfit(session: Session, attribute_id: UUID, changed: Changed) -> None:
    # The rules are asked, not SQL: of a pattern there must not be two opinions.
    rows = session.execute(
        select(AttributeValue.record_id, AttributeValue.value)
        .where(AttributeValue.attribute_id == attribute_id)
        .execution_options(yield_per=5000)
    )
    count = 0
    shown: list[UUID] = []
    for record_id, value in rows:
        try:
            rules.check_value(changed, value)
        except ValueError:
            count += 1
            shown += [record_id] if len(shown) < _SHOWN else []
    if count:
        kind = session.execute(select(Attribute.kind).where(Attribute.id == attribute_id))
        raise _in_use(
            "Records have values that would not be allowed any more.",
            kind.scalar_one(),
            count,
            shown,
        )


def _in_use(detail: str, kind: str, count: int, shown: Sequence[UUID]) -> Conflict:
    references = [{"kind": kind, "id": str(id_)} for id_ in shown]
    return Conflict(detail, code="in_use", details={"records": count, "references": references})
