"""Orders with their lines, shipments and payments."""

from alembic import op

from db.migrations.isolation import isolate

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ORDERS = """
CREATE TABLE orders (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    number text NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    customer_id uuid NOT NULL,
    reference text,
    currency text NOT NULL,
    total_amount numeric(24, 6) NOT NULL,
    paid_amount numeric(24, 6) NOT NULL DEFAULT 0,
    charges jsonb NOT NULL DEFAULT '[]',
    policy text NOT NULL,
    payment_required boolean NOT NULL,
    fulfilment text NOT NULL,
    payment text NOT NULL,
    return_status text NOT NULL DEFAULT 'none',
    waiting_for text,
    since timestamptz,
    until timestamptz,
    then_what text,
    actions text[] NOT NULL DEFAULT '{}',
    needs_attention boolean NOT NULL DEFAULT false,
    attention text,
    refusal jsonb,
    occurred_at timestamptz NOT NULL,
    business_date date NOT NULL,
    closed_at timestamptz,
    metadata jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT orders_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT orders_number_key UNIQUE (tenant_id, number),
    CONSTRAINT orders_workflow_key UNIQUE (tenant_id, workflow_id),
    CONSTRAINT orders_customer_fkey FOREIGN KEY (tenant_id, customer_id)
        REFERENCES customers (tenant_id, id),
    CONSTRAINT orders_total_check CHECK (total_amount >= 0),
    CONSTRAINT orders_paid_check CHECK (paid_amount >= 0),
    CONSTRAINT orders_policy_check CHECK (policy IN ('complete', 'partial', 'backorder')),
    CONSTRAINT orders_fulfilment_check CHECK (fulfilment IN (
        'placed', 'reserving', 'reserved', 'awaiting_customer', 'backordered', 'picking',
        'partially_shipped', 'shipped', 'delivered', 'closed', 'cancelled', 'expired', 'failed')),
    CONSTRAINT orders_payment_check CHECK (payment IN (
        'none', 'pending', 'authorized', 'paid', 'partially_refunded', 'refunded', 'failed',
        'unknown')),
    CONSTRAINT orders_return_check CHECK (
        return_status IN ('none', 'requested', 'partial', 'returned'))
);
CREATE INDEX orders_customer_idx ON orders (tenant_id, customer_id, id);
CREATE INDEX orders_open_idx ON orders (tenant_id, fulfilment, id) WHERE closed_at IS NULL;

CREATE TABLE order_lines (
    tenant_id uuid NOT NULL,
    order_id uuid NOT NULL,
    line integer NOT NULL,
    variant_id uuid NOT NULL,
    warehouse_id uuid NOT NULL,
    description text NOT NULL,
    ordered bigint NOT NULL,
    reserved bigint NOT NULL,
    backordered bigint NOT NULL DEFAULT 0,
    shipped bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    returned bigint NOT NULL DEFAULT 0,
    unit_price numeric(20, 6) NOT NULL,
    CONSTRAINT order_lines_pkey PRIMARY KEY (tenant_id, order_id, line),
    CONSTRAINT order_lines_order_fkey FOREIGN KEY (tenant_id, order_id)
        REFERENCES orders (tenant_id, id),
    CONSTRAINT order_lines_variant_fkey FOREIGN KEY (tenant_id, variant_id)
        REFERENCES variants (tenant_id, id),
    CONSTRAINT order_lines_warehouse_fkey FOREIGN KEY (tenant_id, warehouse_id)
        REFERENCES warehouses (tenant_id, id),
    CONSTRAINT order_lines_sum_check CHECK (
        ordered > 0 AND reserved >= 0 AND backordered >= 0 AND shipped >= 0 AND cancelled >= 0
        AND ordered = reserved + backordered + shipped + cancelled),
    CONSTRAINT order_lines_returned_check CHECK (returned BETWEEN 0 AND shipped),
    CONSTRAINT order_lines_price_check CHECK (unit_price >= 0)
);
CREATE INDEX order_lines_variant_idx ON order_lines (tenant_id, variant_id);

CREATE TABLE shipments (
    tenant_id uuid NOT NULL,
    order_id uuid NOT NULL,
    n integer NOT NULL,
    lines jsonb NOT NULL,
    carrier text,
    tracking text,
    shipped_at timestamptz NOT NULL,
    shipped_by text NOT NULL,
    CONSTRAINT shipments_pkey PRIMARY KEY (tenant_id, order_id, n),
    CONSTRAINT shipments_order_fkey FOREIGN KEY (tenant_id, order_id)
        REFERENCES orders (tenant_id, id)
);

CREATE TABLE payments (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    order_id uuid NOT NULL,
    n integer NOT NULL,
    method text NOT NULL,
    amount numeric(24, 6) NOT NULL,
    currency text NOT NULL,
    reference text,
    received_at timestamptz NOT NULL,
    recorded_by text NOT NULL,
    CONSTRAINT payments_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT payments_n_key UNIQUE (tenant_id, order_id, n),
    CONSTRAINT payments_order_fkey FOREIGN KEY (tenant_id, order_id)
        REFERENCES orders (tenant_id, id),
    CONSTRAINT payments_amount_check CHECK (amount > 0)
);
"""


def upgrade() -> None:
    op.execute(ORDERS)
    isolate("orders", app="SELECT, INSERT, UPDATE")
    isolate("order_lines", app="SELECT, INSERT, UPDATE")
    isolate("shipments", app="SELECT, INSERT")
    isolate("payments", app="SELECT, INSERT")


def downgrade() -> None:
    raise RuntimeError("Migrations only go forward: restore a backup to go back.")
