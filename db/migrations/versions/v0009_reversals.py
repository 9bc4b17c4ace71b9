"""Which operation took which one back; and one movement a level and operation, for certain."""

from alembic import op

from db.migrations.isolation import append_only, isolate

revision = "0009"
down_revision = "0004"
branch_labels = None
depends_on = None

# The unique index finds the movements of an operation, and lets no operation move a level twice.
REVERSALS = """
CREATE UNIQUE INDEX stock_movements_operation_key
    ON stock_movements (tenant_id, operation_id, level_id);

CREATE TABLE reversals (
    tenant_id uuid NOT NULL,
    original_id uuid NOT NULL,
    operation_id uuid NOT NULL,
    CONSTRAINT reversals_pkey PRIMARY KEY (tenant_id, original_id),
    CONSTRAINT reversals_operation_key UNIQUE (tenant_id, operation_id),
    CONSTRAINT reversals_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT reversals_itself_check CHECK (original_id <> operation_id)
);
"""


def upgrade() -> None:
    op.execute(REVERSALS)
    isolate("reversals", app="SELECT, INSERT")
    append_only("reversals")


def downgrade() -> None:
    raise RuntimeError("Migrations only go forward: restore a backup to go back.")
