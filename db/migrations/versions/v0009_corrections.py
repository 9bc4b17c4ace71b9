"""Signed breaks of a level's chain, the retention of keys, revaluations."""

from alembic import op

from db.migrations.isolation import append_only, isolate, record

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# A level that was changed behind the ledger's back leaves a break: the next movement begins with
# other numbers than the one before it ended with. Movements stay as they are; a signed correction
# says by how much the chain breaks at a number, and the audit accepts exactly that.
SIGNED_BREAKS = """
CREATE TABLE signed_breaks (
    tenant_id uuid NOT NULL,
    level_id uuid NOT NULL,
    sequence bigint NOT NULL,
    available bigint NOT NULL,
    reserved bigint NOT NULL,
    damaged bigint NOT NULL,
    quarantine bigint NOT NULL,
    in_transit bigint NOT NULL,
    value numeric(38, 6) NOT NULL,
    correction_id uuid NOT NULL,
    signed_by text NOT NULL,
    reason text NOT NULL,
    signed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT signed_breaks_pkey PRIMARY KEY (tenant_id, level_id, sequence),
    CONSTRAINT signed_breaks_movement_fkey FOREIGN KEY (tenant_id, level_id, sequence)
        REFERENCES stock_movements (tenant_id, level_id, sequence)
);
"""

# Old keys are found by age. A btree, because the places of deleted rows are filled by new ones: the
# ranges of a BRIN index would soon all hold both. Measured on batches of 100 rows it costs an
# insert 0.8 µs of the server's time (16.3 to 17.1 µs) and 40 bytes of WAL. The answer of a claimed
# key is stored by an update, which stays heap-only: no index holds a column that it changes.
# The keys of a process are found by its end; a mark remembers up to which end they are gone.
RETENTION = """
CREATE INDEX operations_http_idx ON operations (tenant_id, created_at) WHERE source = 'http';
CREATE INDEX operations_reservation_idx ON operations (tenant_id, created_at)
    WHERE source = 'process' AND key >= 'reservation-' AND key < 'reservation.';
CREATE INDEX orders_closed_idx ON orders (tenant_id, closed_at, id) WHERE closed_at IS NOT NULL;

CREATE TABLE retention_marks (
    tenant_id uuid NOT NULL,
    kind text NOT NULL,
    closed_at timestamptz NOT NULL,
    process_id uuid NOT NULL,
    CONSTRAINT retention_marks_pkey PRIMARY KEY (tenant_id, kind),
    CONSTRAINT retention_marks_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
"""

# A receipt's cost is corrected once at a time. While the process walks over the level's later
# movements, cursor, remaining and gone are what a killed process goes on from, with all decimals.
REVALUATIONS = """
CREATE TABLE revaluations (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    number text NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    movement_id uuid NOT NULL,
    level_id uuid NOT NULL,
    quantity bigint NOT NULL,
    unit_cost_before numeric(44, 24) NOT NULL,
    unit_cost numeric(20, 6) NOT NULL,
    difference numeric(38, 6) NOT NULL,
    reason text NOT NULL,
    status text NOT NULL,
    cursor_sequence bigint NOT NULL,
    movements bigint NOT NULL DEFAULT 0,
    remaining numeric NOT NULL,
    gone jsonb NOT NULL DEFAULT '{}',
    stock_value numeric(38, 6),
    operation_id uuid,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at timestamptz,
    version bigint NOT NULL DEFAULT 1,
    CONSTRAINT revaluations_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT revaluations_number_key UNIQUE (tenant_id, number),
    CONSTRAINT revaluations_movement_fkey FOREIGN KEY (tenant_id, movement_id)
        REFERENCES stock_movements (tenant_id, id),
    CONSTRAINT revaluations_level_fkey FOREIGN KEY (tenant_id, level_id)
        REFERENCES inventory_levels (tenant_id, id),
    CONSTRAINT revaluations_status_check CHECK (status IN ('walking', 'completed')),
    CONSTRAINT revaluations_closed_check
        CHECK ((status = 'completed') = (closed_at IS NOT NULL AND stock_value IS NOT NULL)),
    CONSTRAINT revaluations_cost_check CHECK (unit_cost >= 0)
);
CREATE UNIQUE INDEX revaluations_open_key ON revaluations (tenant_id, movement_id)
    WHERE closed_at IS NULL;
CREATE INDEX revaluations_movement_idx ON revaluations (tenant_id, movement_id, closed_at);
CREATE INDEX revaluations_closed_idx ON revaluations (tenant_id, closed_at, id)
    WHERE closed_at IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(SIGNED_BREAKS)
    isolate("signed_breaks", app="SELECT")
    append_only("signed_breaks")
    op.execute(RETENTION)
    isolate("retention_marks", app="SELECT")
    op.execute(REVALUATIONS)
    isolate("revaluations", app="SELECT, INSERT, UPDATE")
    record("revaluations")


def downgrade() -> None:
    raise RuntimeError("Migrations only go forward: restore a backup to go back.")
