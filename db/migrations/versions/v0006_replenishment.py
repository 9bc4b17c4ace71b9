"""Stock alerts, demand per day, suppliers of variants, reorder proposals."""

from alembic import op

from db.migrations.isolation import isolate

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Neither column of this index is one that a movement changes: the writer's updates of a level stay
# heap-only, which an index on a quantity would end.
LEVELS = """
ALTER TABLE inventory_levels ADD CONSTRAINT inventory_levels_max_check
    CHECK (max_stock_level >= reorder_point);
CREATE INDEX inventory_levels_planned_idx ON inventory_levels (tenant_id, id)
    WHERE reorder_point IS NOT NULL;
"""

ALERTS = """
CREATE TABLE stock_alerts (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    level_id uuid NOT NULL,
    warehouse_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    type text NOT NULL,
    severity text NOT NULL,
    status text NOT NULL,
    current_quantity bigint NOT NULL,
    reorder_point bigint,
    max_stock_level bigint,
    recommended_order_quantity bigint,
    occurrences integer NOT NULL DEFAULT 1,
    opened_at timestamptz NOT NULL,
    acknowledged_at timestamptz,
    acknowledged_by text,
    snoozed_until timestamptz,
    notified_at timestamptz,
    resolved_at timestamptz,
    resolved_by text,
    sequence bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT stock_alerts_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT stock_alerts_level_fkey FOREIGN KEY (tenant_id, level_id)
        REFERENCES inventory_levels (tenant_id, id),
    CONSTRAINT stock_alerts_type_check
        CHECK (type IN ('LOW_STOCK', 'OUT_OF_STOCK', 'REORDER_NEEDED', 'OVERSTOCK')),
    CONSTRAINT stock_alerts_severity_check CHECK (severity IN ('INFO', 'WARNING', 'CRITICAL')),
    CONSTRAINT stock_alerts_status_check
        CHECK (status IN ('created', 'acknowledged', 'snoozed', 'resolved')),
    CONSTRAINT stock_alerts_resolved_check
        CHECK ((status = 'resolved') = (resolved_at IS NOT NULL)),
    CONSTRAINT stock_alerts_acknowledged_check
        CHECK (status NOT IN ('acknowledged', 'snoozed') OR acknowledged_at IS NOT NULL),
    CONSTRAINT stock_alerts_snoozed_check CHECK (status <> 'snoozed' OR snoozed_until IS NOT NULL),
    CONSTRAINT stock_alerts_occurrences_check CHECK (occurrences > 0)
);
CREATE UNIQUE INDEX stock_alerts_open_key ON stock_alerts (tenant_id, level_id, type)
    WHERE status <> 'resolved';
CREATE INDEX stock_alerts_level_idx ON stock_alerts (tenant_id, level_id, resolved_at);
CREATE INDEX stock_alerts_open_idx ON stock_alerts (tenant_id, id) WHERE status <> 'resolved';
CREATE INDEX stock_alerts_variant_idx ON stock_alerts (tenant_id, variant_id, id);
CREATE INDEX stock_alerts_warehouse_idx ON stock_alerts (tenant_id, warehouse_id, id);
CREATE INDEX stock_alerts_type_idx ON stock_alerts (tenant_id, type, id);
CREATE INDEX stock_alerts_severity_idx ON stock_alerts (tenant_id, severity, id);
CREATE INDEX stock_alerts_snoozed_idx ON stock_alerts (snoozed_until) WHERE status = 'snoozed';
"""

# How far the alerts of one tenant have followed the ledger: moved in the transaction of the effect
# by the app role, which may not touch follower_cursors.
KEEPING = """
CREATE TABLE alert_cursors (
    tenant_id uuid NOT NULL,
    position bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT alert_cursors_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT alert_cursors_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE TABLE level_demand (
    tenant_id uuid NOT NULL,
    level_id uuid NOT NULL,
    day date NOT NULL,
    units bigint NOT NULL,
    CONSTRAINT level_demand_pkey PRIMARY KEY (tenant_id, level_id, day),
    CONSTRAINT level_demand_level_fkey FOREIGN KEY (tenant_id, level_id)
        REFERENCES inventory_levels (tenant_id, id),
    CONSTRAINT level_demand_units_check CHECK (units > 0)
);
"""

PROPOSALS = """
CREATE TABLE variant_suppliers (
    tenant_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    supplier_id uuid NOT NULL,
    is_preferred boolean NOT NULL DEFAULT false,
    lead_time_days integer NOT NULL DEFAULT 0,
    minimum_quantity bigint NOT NULL DEFAULT 1,
    pack_size bigint NOT NULL DEFAULT 1,
    CONSTRAINT variant_suppliers_pkey PRIMARY KEY (tenant_id, variant_id, supplier_id),
    CONSTRAINT variant_suppliers_variant_fkey FOREIGN KEY (tenant_id, variant_id)
        REFERENCES variants (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT variant_suppliers_supplier_fkey FOREIGN KEY (tenant_id, supplier_id)
        REFERENCES suppliers (tenant_id, id),
    CONSTRAINT variant_suppliers_numbers_check
        CHECK (lead_time_days >= 0 AND minimum_quantity > 0 AND pack_size > 0)
);
CREATE UNIQUE INDEX variant_suppliers_preferred_key ON variant_suppliers (tenant_id, variant_id)
    WHERE is_preferred;
CREATE INDEX variant_suppliers_supplier_idx ON variant_suppliers (tenant_id, supplier_id);

CREATE TABLE reorder_proposals (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    supplier_id uuid,
    status text NOT NULL DEFAULT 'draft',
    line_count integer NOT NULL DEFAULT 0,
    total_quantity numeric(30) NOT NULL DEFAULT 0,
    calculated_at timestamptz NOT NULL,
    dismissed_at timestamptz,
    dismissed_by text,
    dismissed_reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT reorder_proposals_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT reorder_proposals_supplier_fkey FOREIGN KEY (tenant_id, supplier_id)
        REFERENCES suppliers (tenant_id, id),
    CONSTRAINT reorder_proposals_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT reorder_proposals_status_check
        CHECK (status IN ('draft', 'dismissed', 'ordered')),
    CONSTRAINT reorder_proposals_dismissed_check
        CHECK ((status = 'dismissed') = (dismissed_at IS NOT NULL))
);
CREATE UNIQUE INDEX reorder_proposals_draft_key ON reorder_proposals (tenant_id, supplier_id)
    NULLS NOT DISTINCT WHERE status = 'draft';
CREATE INDEX reorder_proposals_dismissed_idx ON reorder_proposals (tenant_id, dismissed_at)
    WHERE status = 'dismissed';
CREATE INDEX reorder_proposals_supplier_idx ON reorder_proposals (tenant_id, supplier_id, id);

CREATE TABLE reorder_lines (
    tenant_id uuid NOT NULL,
    proposal_id uuid NOT NULL,
    level_id uuid NOT NULL,
    warehouse_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    lot text,
    available bigint NOT NULL,
    in_transit bigint NOT NULL,
    incoming bigint NOT NULL,
    projected bigint NOT NULL,
    reorder_point bigint NOT NULL,
    reorder_quantity bigint,
    max_stock_level bigint,
    demand_units bigint NOT NULL,
    demand_days integer NOT NULL,
    lead_time_days integer NOT NULL,
    target bigint NOT NULL,
    minimum_quantity bigint NOT NULL,
    pack_size bigint NOT NULL,
    quantity bigint NOT NULL,
    CONSTRAINT reorder_lines_pkey PRIMARY KEY (tenant_id, proposal_id, level_id),
    CONSTRAINT reorder_lines_proposal_fkey FOREIGN KEY (tenant_id, proposal_id)
        REFERENCES reorder_proposals (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT reorder_lines_level_fkey FOREIGN KEY (tenant_id, level_id)
        REFERENCES inventory_levels (tenant_id, id),
    CONSTRAINT reorder_lines_projected_check
        CHECK (projected = available + in_transit + incoming),
    CONSTRAINT reorder_lines_quantity_check CHECK (quantity > 0 AND quantity % pack_size = 0)
);
"""


def upgrade() -> None:
    op.execute(LEVELS)
    op.execute(ALERTS)
    op.execute(KEEPING)
    op.execute(PROPOSALS)
    isolate("stock_alerts", app="SELECT, INSERT, UPDATE")
    isolate("alert_cursors", app="SELECT, INSERT, UPDATE")
    isolate("level_demand", app="SELECT, INSERT, UPDATE")
    for table in ("variant_suppliers", "reorder_proposals", "reorder_lines"):
        isolate(table)


def downgrade() -> None:
    raise RuntimeError("Migrations only go forward: restore a backup to go back.")
