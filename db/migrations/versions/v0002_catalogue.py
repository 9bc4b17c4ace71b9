"""Products, variants, customers, suppliers."""

from alembic import op

from db.migrations.isolation import isolate, record

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CATALOGUE = """
CREATE TABLE products (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    sku text NOT NULL,
    name text NOT NULL,
    description text,
    price numeric(20, 6) NOT NULL,
    status text NOT NULL DEFAULT 'active',
    metadata jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT products_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT products_sku_key UNIQUE (tenant_id, sku),
    CONSTRAINT products_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT products_price_check CHECK (price >= 0),
    CONSTRAINT products_status_check CHECK (status IN ('active', 'disabled'))
);

CREATE TABLE variants (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    product_id uuid NOT NULL,
    sku text NOT NULL,
    name text NOT NULL,
    barcode text,
    price numeric(20, 6),
    is_default boolean NOT NULL DEFAULT false,
    status text NOT NULL DEFAULT 'active',
    metadata jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT variants_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT variants_sku_key UNIQUE (tenant_id, sku),
    CONSTRAINT variants_barcode_key UNIQUE (tenant_id, barcode),
    CONSTRAINT variants_product_fkey FOREIGN KEY (tenant_id, product_id)
        REFERENCES products (tenant_id, id),
    CONSTRAINT variants_price_check CHECK (price >= 0),
    CONSTRAINT variants_status_check CHECK (status IN ('active', 'disabled'))
);
CREATE INDEX variants_product_idx ON variants (tenant_id, product_id);
CREATE UNIQUE INDEX variants_default_key ON variants (tenant_id, product_id) WHERE is_default;
"""

PARTNERS = """
CREATE TABLE {table} (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    code text,
    name text NOT NULL,
    first_name text,
    last_name text,
    email text,
    phone text,
    address jsonb NOT NULL DEFAULT '{{}}',
    status text NOT NULL DEFAULT 'active',
    metadata jsonb NOT NULL DEFAULT '{{}}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT {table}_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT {table}_code_key UNIQUE (tenant_id, code),
    CONSTRAINT {table}_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT {table}_status_check CHECK (status IN ('active', 'disabled'))
);
"""


def upgrade() -> None:
    op.execute(CATALOGUE)
    op.execute(PARTNERS.format(table="customers"))
    op.execute(PARTNERS.format(table="suppliers"))
    for table in ("products", "variants", "customers", "suppliers"):
        isolate(table)
        record(table)


def downgrade() -> None:
    raise RuntimeError("Migrations only go forward: restore a backup to go back.")
