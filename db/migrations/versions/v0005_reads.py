"""Indexes of the reads, and the sums of each day that stock as of a date is made of."""

from alembic import op

from db.migrations.isolation import FOLLOWER, isolate

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# A level's row is updated by every batch, and stays cheap only while no indexed column of it
# changes. So nothing here indexes a quantity, a value or updated_at: filters and sorts by those
# read the tenant's levels (decision 0009). CASE instead of coalesce, which under row security is
# never a condition of an index.
LEVELS = """
CREATE INDEX inventory_levels_warehouse_idx ON inventory_levels (tenant_id, warehouse_id, id);
CREATE INDEX inventory_levels_place_idx ON inventory_levels (
    tenant_id, warehouse_id, (CASE WHEN aisle IS NULL THEN '' ELSE aisle END),
    (CASE WHEN shelf IS NULL THEN '' ELSE shelf END),
    (CASE WHEN bin_location IS NULL THEN '' ELSE bin_location END), id);
CREATE INDEX inventory_levels_bin_idx ON inventory_levels (tenant_id, bin_location)
    WHERE bin_location IS NOT NULL;
"""

# Each index of the ledger is paid by every movement, so there is one for each question that
# nothing else bounds, and no more:
#   variant, warehouse: their movements, newest or oldest first; a page must not sort a history;
#   operation: what one command did; ids of operations grow, so its end of the index stays hot;
#   reference: what an order or document moved; movements without one cost nothing;
#   occurred: lists by time, and by business date, which is at most a day off (the check below);
#   transit: nothing but the few movements that change the value on the way.
# By level the key (tenant, level, sequence) serves. Kind and actor only narrow another filter.
MOVEMENTS = """
CREATE INDEX stock_movements_variant_idx ON stock_movements (tenant_id, variant_id, id);
CREATE INDEX stock_movements_warehouse_idx ON stock_movements (tenant_id, warehouse_id, id);
CREATE INDEX stock_movements_reference_idx ON stock_movements (tenant_id, reference_id, id)
    WHERE reference_id IS NOT NULL;
CREATE INDEX stock_movements_occurred_idx ON stock_movements (tenant_id, occurred_at, id);
CREATE INDEX stock_movements_transit_idx ON stock_movements (tenant_id, level_id, sequence)
    INCLUDE (in_transit_value_change) WHERE in_transit_value_change <> 0;
ALTER TABLE stock_movements ADD CONSTRAINT stock_movements_business_date_check
    CHECK (business_date - CAST(occurred_at AT TIME ZONE 'UTC' AS date) BETWEEN -1 AND 1);
"""

# Holds that are over stay as history, and the open ones are the newest: without an index of their
# own a page of them, oldest first, would read through all that are over.
RESERVATIONS = """
CREATE INDEX reservations_open_idx ON reservations (tenant_id, id) WHERE open > 0;
"""

ORDERS = """
CREATE INDEX orders_fulfilment_idx ON orders (tenant_id, fulfilment, id);
CREATE INDEX orders_reference_idx ON orders (tenant_id, reference) WHERE reference IS NOT NULL;
"""

# One row a level and business date: what the movements of that date changed. The mark of a level
# says up to which sequence its movements are in its days; the rest is read from the ledger itself.
DAYS = """
CREATE TABLE level_days (
    tenant_id uuid NOT NULL,
    level_id uuid NOT NULL,
    business_date date NOT NULL,
    movements bigint NOT NULL,
    available bigint NOT NULL,
    reserved bigint NOT NULL,
    damaged bigint NOT NULL,
    quarantine bigint NOT NULL,
    in_transit bigint NOT NULL,
    value numeric(38, 6) NOT NULL,
    in_transit_value numeric(38, 6) NOT NULL,
    CONSTRAINT level_days_pkey PRIMARY KEY (tenant_id, level_id, business_date),
    CONSTRAINT level_days_level_fkey FOREIGN KEY (tenant_id, level_id)
        REFERENCES inventory_levels (tenant_id, id),
    CONSTRAINT level_days_movements_check CHECK (movements > 0)
) WITH (fillfactor = 80);

CREATE TABLE level_day_marks (
    tenant_id uuid NOT NULL,
    level_id uuid NOT NULL,
    sequence bigint NOT NULL,
    CONSTRAINT level_day_marks_pkey PRIMARY KEY (tenant_id, level_id),
    CONSTRAINT level_day_marks_level_fkey FOREIGN KEY (tenant_id, level_id)
        REFERENCES inventory_levels (tenant_id, id),
    CONSTRAINT level_day_marks_sequence_check CHECK (sequence > 0)
) WITH (fillfactor = 50);
"""


def upgrade() -> None:
    op.execute(LEVELS)
    op.execute(MOVEMENTS)
    op.execute(RESERVATIONS)
    op.execute(ORDERS)
    op.execute(DAYS)
    for table in ("level_days", "level_day_marks"):
        isolate(table, app="SELECT")
        op.execute(f"GRANT INSERT, UPDATE ON {table} TO {FOLLOWER}")


def downgrade() -> None:
    raise RuntimeError("Migrations only go forward: restore a backup to go back.")
