"""The tables as SQLAlchemy 2 classes; the migrations own their shape and a test compares both."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import BigInteger, FetchedValue, MetaData, Numeric, SmallInteger, Text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

#: The database's row security fills in the tenant of the transaction; statements never name it.
TenantId = Annotated[UUID, mapped_column(primary_key=True, server_default=FetchedValue())]
Id = Annotated[UUID, mapped_column(primary_key=True, server_default=FetchedValue())]
Count = Annotated[int, mapped_column(BigInteger)]
Price = Annotated[Decimal, mapped_column(Numeric(20, 6))]
Amount = Annotated[Decimal, mapped_column(Numeric(24, 6))]
Value = Annotated[Decimal, mapped_column(Numeric(38, 6))]
Average = Annotated[Decimal, mapped_column(Numeric(44, 24))]


class Base(DeclarativeBase):
    """Registry of the mapped classes."""

    metadata = MetaData()
    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy reads a plain class attribute here.
        datetime: TIMESTAMP(timezone=True),
        dict[str, Any]: JSONB,
        list[str]: ARRAY(Text),
        str: Text,
        bytes: BYTEA,
    }


class Record:
    """Columns that every editable record has; triggers keep version and updated_at."""

    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    version: Mapped[Count] = mapped_column(
        server_default=FetchedValue(), server_onupdate=FetchedValue()
    )
    created_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())
    updated_at: Mapped[datetime] = mapped_column(
        server_default=FetchedValue(), server_onupdate=FetchedValue()
    )
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012  # Same: read by SQLAlchemy.


class Tenant(Base):
    """A company that shares the installation; its id is the tenant of every other row."""

    __tablename__ = "tenants"
    id: Mapped[Id]
    slug: Mapped[str]
    name: Mapped[str]
    currency: Mapped[str]
    time_zone: Mapped[str]
    status: Mapped[str] = mapped_column(default="active")
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    version: Mapped[Count] = mapped_column(server_default=FetchedValue())
    created_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())
    updated_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())


class ApiKey(Record, Base):
    """A bearer key: its prefix is shown, of its secret only the SHA-256 is kept."""

    __tablename__ = "api_keys"
    prefix: Mapped[str]
    secret_hash: Mapped[bytes]
    name: Mapped[str]
    role: Mapped[str]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class NumberCounter(Base):
    """The next human number of one kind of process, per tenant."""

    __tablename__ = "number_counters"
    tenant_id: Mapped[TenantId]
    kind: Mapped[str] = mapped_column(primary_key=True)
    next_number: Mapped[Count] = mapped_column(server_default=FetchedValue())


class Organization(Record, Base):
    """The company itself: name, address, phone."""

    __tablename__ = "organizations"
    name: Mapped[str]
    phone: Mapped[str | None]
    address: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Department(Record, Base):
    """A department; its manager is the default approver of its people."""

    __tablename__ = "departments"
    organization_id: Mapped[UUID]
    name: Mapped[str]
    manager_id: Mapped[UUID | None]


class Employee(Record, Base):
    """A person who works in a department."""

    __tablename__ = "employees"
    department_id: Mapped[UUID]
    first_name: Mapped[str]
    last_name: Mapped[str]
    email: Mapped[str]
    phone: Mapped[str | None]
    job_title: Mapped[str | None]
    hired_on: Mapped[date | None]


class Product(Record, Base):
    """What is sold. Stock lies on its variants; a plain product has one, the default."""

    __tablename__ = "products"
    sku: Mapped[str]
    name: Mapped[str]
    description: Mapped[str | None]
    price: Mapped[Price]
    status: Mapped[str] = mapped_column(default="active")


class Variant(Record, Base):
    """One thing with a SKU, and a price of its own where it differs from the product's."""

    __tablename__ = "variants"
    product_id: Mapped[UUID]
    sku: Mapped[str]
    name: Mapped[str]
    barcode: Mapped[str | None]
    price: Mapped[Price | None]
    base_unit_id: Mapped[UUID | None]
    is_default: Mapped[bool] = mapped_column(default=False)
    status: Mapped[str] = mapped_column(default="active")


class Unit(Record, Base):
    """A unit of measure beside the built-in piece."""

    __tablename__ = "units"
    code: Mapped[str]
    name: Mapped[str]
    decimals: Mapped[int] = mapped_column(SmallInteger)


class VariantUnit(Base):
    """A unit in which a variant is counted as well: ``factor`` base units, exactly."""

    __tablename__ = "variant_units"
    tenant_id: Mapped[TenantId]
    variant_id: Mapped[UUID] = mapped_column(primary_key=True)
    unit_id: Mapped[UUID] = mapped_column(primary_key=True)
    factor: Mapped[Count]
    barcode: Mapped[str | None]


class Attribute(Record, Base):
    """A field that a tenant adds to one kind of records."""

    __tablename__ = "attributes"
    kind: Mapped[str]
    key: Mapped[str]
    label: Mapped[str]
    type: Mapped[str]
    required: Mapped[bool]
    options: Mapped[list[str]]
    minimum: Mapped[str | None]
    maximum: Mapped[str | None]
    max_length: Mapped[int | None]
    pattern: Mapped[str | None]


class AttributeValue(Base):
    """What one record has in one of these fields, as text in the form of its type."""

    __tablename__ = "attribute_values"
    tenant_id: Mapped[TenantId]
    record_id: Mapped[UUID] = mapped_column(primary_key=True)
    attribute_id: Mapped[UUID] = mapped_column(primary_key=True)
    value: Mapped[str]


class Partner(Record):
    """Columns that customers and suppliers share."""

    code: Mapped[str | None]
    name: Mapped[str]
    first_name: Mapped[str | None]
    last_name: Mapped[str | None]
    email: Mapped[str | None]
    phone: Mapped[str | None]
    address: Mapped[dict[str, Any]] = mapped_column(default=dict)
    status: Mapped[str] = mapped_column(default="active")


class Customer(Partner, Base):
    """Who buys."""

    __tablename__ = "customers"


class Supplier(Partner, Base):
    """Who delivers."""

    __tablename__ = "suppliers"


class Warehouse(Record, Base):
    """A place that holds stock."""

    __tablename__ = "warehouses"
    code: Mapped[str]
    name: Mapped[str]
    address: Mapped[dict[str, Any]] = mapped_column(default=dict)
    contact_person: Mapped[str | None]
    contact_email: Mapped[str | None]
    contact_phone: Mapped[str | None]
    total_capacity: Mapped[Count | None]
    operating_hours: Mapped[dict[str, Any]] = mapped_column(default=dict)
    priority: Mapped[int] = mapped_column(default=100)
    is_default: Mapped[bool] = mapped_column(default=False)
    is_active: Mapped[bool] = mapped_column(default=True)


class InventoryLevel(Base):
    """What lies of one variant (and lot) in one warehouse. Only db/stock.py changes quantities."""

    __tablename__ = "inventory_levels"
    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    warehouse_id: Mapped[UUID]
    variant_id: Mapped[UUID]
    lot: Mapped[str | None]
    available: Mapped[Count]
    reserved: Mapped[Count]
    damaged: Mapped[Count]
    quarantine: Mapped[Count]
    in_transit: Mapped[Count]
    average_cost: Mapped[Average]
    total_value: Mapped[Value]
    in_transit_value: Mapped[Value]
    sequence: Mapped[Count]
    reorder_point: Mapped[Count | None]
    reorder_quantity: Mapped[Count | None]
    max_stock_level: Mapped[Count | None]
    bin_location: Mapped[str | None]
    aisle: Mapped[str | None]
    shelf: Mapped[str | None]
    is_low_stock: Mapped[bool | None] = mapped_column(server_default=FetchedValue())
    is_out_of_stock: Mapped[bool | None] = mapped_column(server_default=FetchedValue())
    version: Mapped[Count]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Posting(Base):
    """What one transaction added to the ledger; its position is set after the commit."""

    __tablename__ = "postings"
    id: Mapped[Count] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(server_default=FetchedValue())
    facts: Mapped[int]
    first_position: Mapped[Count | None]
    posted_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())


class StockMovement(Base):
    """One change of one level by one command: every bucket before, change and after."""

    __tablename__ = "stock_movements"
    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    posting_id: Mapped[Count]
    ordinal: Mapped[int]
    operation_id: Mapped[UUID]
    level_id: Mapped[UUID]
    sequence: Mapped[Count]
    warehouse_id: Mapped[UUID]
    variant_id: Mapped[UUID]
    kind: Mapped[str]
    available_before: Mapped[Count]
    available_change: Mapped[Count]
    available_after: Mapped[Count]
    reserved_before: Mapped[Count]
    reserved_change: Mapped[Count]
    reserved_after: Mapped[Count]
    damaged_before: Mapped[Count]
    damaged_change: Mapped[Count]
    damaged_after: Mapped[Count]
    quarantine_before: Mapped[Count]
    quarantine_change: Mapped[Count]
    quarantine_after: Mapped[Count]
    in_transit_before: Mapped[Count]
    in_transit_change: Mapped[Count]
    in_transit_after: Mapped[Count]
    unit_cost: Mapped[Average]
    value_change: Mapped[Value]
    value_after: Mapped[Value]
    in_transit_value_change: Mapped[Value]
    reference_kind: Mapped[str | None]
    reference_id: Mapped[str | None]
    reason: Mapped[str | None]
    notes: Mapped[str | None]
    created_by: Mapped[str]
    approved_by: Mapped[str | None]
    occurred_at: Mapped[datetime]
    business_date: Mapped[date]
    recorded_at: Mapped[datetime]


class Reversal(Base):
    """An operation that was taken back, and the one that did it."""

    __tablename__ = "reversals"
    tenant_id: Mapped[TenantId]
    original_id: Mapped[UUID] = mapped_column(primary_key=True)
    operation_id: Mapped[UUID]


class Event(Base):
    """A fact that is no movement, in order, per subject and for the whole ledger."""

    __tablename__ = "events"
    tenant_id: Mapped[TenantId]
    posting_id: Mapped[Count] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(server_default=FetchedValue())
    kind: Mapped[str]
    subject_kind: Mapped[str]
    subject_id: Mapped[str]
    subject_sequence: Mapped[Count]
    actor: Mapped[str]
    data: Mapped[dict[str, Any]]
    occurred_at: Mapped[datetime]
    recorded_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())


class Reservation(Base):
    """Units of a level that are promised to an owner; ``open`` is what is still held."""

    __tablename__ = "reservations"
    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    level_id: Mapped[UUID]
    owner: Mapped[str]
    line: Mapped[int]
    quantity: Mapped[Count]
    open: Mapped[Count]
    operation_id: Mapped[UUID]
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class Operation(Base):
    """A command's key, what it asked for and its answer, for as long as it may be repeated."""

    __tablename__ = "operations"
    tenant_id: Mapped[TenantId]
    source: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(server_default=FetchedValue())
    fingerprint: Mapped[bytes]
    state: Mapped[str]
    status: Mapped[int | None]
    answer: Mapped[bytes | None]
    number: Mapped[str | None]
    workflow_id: Mapped[str | None]
    claimed_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())
    created_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())


class Order(Base):
    """The state of an order process as its workflow last recorded it."""

    __tablename__ = "orders"
    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    number: Mapped[str]
    workflow_id: Mapped[str]
    customer_id: Mapped[UUID]
    reference: Mapped[str | None]
    currency: Mapped[str]
    total_amount: Mapped[Amount]
    paid_amount: Mapped[Amount]
    charges: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    policy: Mapped[str]
    payment_required: Mapped[bool]
    fulfilment: Mapped[str]
    payment: Mapped[str]
    return_status: Mapped[str] = mapped_column(default="none")
    waiting_for: Mapped[str | None]
    since: Mapped[datetime | None]
    until: Mapped[datetime | None]
    then_what: Mapped[str | None]
    actions: Mapped[list[str]]
    needs_attention: Mapped[bool] = mapped_column(default=False)
    attention: Mapped[str | None]
    refusal: Mapped[dict[str, Any] | None]
    occurred_at: Mapped[datetime]
    business_date: Mapped[date]
    closed_at: Mapped[datetime | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    version: Mapped[Count]
    created_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())
    updated_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())


class OrderLine(Base):
    """ordered = reserved + backordered + shipped + cancelled, at every moment."""

    __tablename__ = "order_lines"
    tenant_id: Mapped[TenantId]
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    variant_id: Mapped[UUID]
    warehouse_id: Mapped[UUID]
    description: Mapped[str]
    ordered: Mapped[Count]
    reserved: Mapped[Count]
    backordered: Mapped[Count]
    shipped: Mapped[Count]
    cancelled: Mapped[Count]
    returned: Mapped[Count]
    unit_price: Mapped[Price]


class Shipment(Base):
    """One parcel of an order: what left, when, with whom."""

    __tablename__ = "shipments"
    tenant_id: Mapped[TenantId]
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True)
    lines: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    carrier: Mapped[str | None]
    tracking: Mapped[str | None]
    shipped_at: Mapped[datetime]
    shipped_by: Mapped[str]


class Payment(Base):
    """Money received for an order, recorded by hand in this version."""

    __tablename__ = "payments"
    tenant_id: Mapped[TenantId]
    id: Mapped[Id]
    order_id: Mapped[UUID]
    n: Mapped[int]
    method: Mapped[str]
    amount: Mapped[Amount]
    currency: Mapped[str]
    reference: Mapped[str | None]
    received_at: Mapped[datetime]
    recorded_by: Mapped[str]


class LevelDay(Base):
    """What the movements of one business date changed of a level; kept by db/level_days.py."""

    __tablename__ = "level_days"
    tenant_id: Mapped[TenantId]
    level_id: Mapped[UUID] = mapped_column(primary_key=True)
    business_date: Mapped[date] = mapped_column(primary_key=True)
    movements: Mapped[Count]
    available: Mapped[Count]
    reserved: Mapped[Count]
    damaged: Mapped[Count]
    quarantine: Mapped[Count]
    in_transit: Mapped[Count]
    value: Mapped[Value]
    in_transit_value: Mapped[Value]


class LevelDayMark(Base):
    """Up to which sequence the movements of a level are in its days."""

    __tablename__ = "level_day_marks"
    tenant_id: Mapped[TenantId]
    level_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[Count]
