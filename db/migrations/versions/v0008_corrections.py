"""Signed breaks of a level's chain, the retention of keys, revaluations."""

from alembic import op

from db.migrations.isolation import append_only, isolate

revision = "0008"
down_revision = "0009"
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


def upgrade() -> None:
    op.execute(SIGNED_BREAKS)
    isolate("signed_breaks", app="SELECT")
    append_only("signed_breaks")


def downgrade() -> None:
    raise RuntimeError("Migrations only go forward: restore a backup to go back.")
