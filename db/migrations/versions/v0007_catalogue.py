"""Units of measure, custom attributes, and no goods in what was taken out of use."""

from alembic import op

from db.migrations.isolation import isolate, record

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Pieces are built in: they are the base unit of every variant that names no other.
UNITS = """
CREATE TABLE units (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    code text NOT NULL,
    name text NOT NULL,
    decimals smallint NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT units_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT units_code_key UNIQUE (tenant_id, code),
    CONSTRAINT units_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT units_code_check CHECK (code <> 'piece'),
    CONSTRAINT units_decimals_check CHECK (decimals BETWEEN 0 AND 6)
);

ALTER TABLE variants
    ADD base_unit_id uuid,
    ADD CONSTRAINT variants_base_unit_fkey FOREIGN KEY (tenant_id, base_unit_id)
        REFERENCES units (tenant_id, id);
CREATE INDEX variants_base_unit_idx ON variants (tenant_id, base_unit_id)
    WHERE base_unit_id IS NOT NULL;

CREATE TABLE variant_units (
    tenant_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    unit_id uuid NOT NULL,
    factor bigint NOT NULL,
    barcode text,
    CONSTRAINT variant_units_pkey PRIMARY KEY (tenant_id, variant_id, unit_id),
    CONSTRAINT variant_units_barcode_key UNIQUE (tenant_id, barcode),
    CONSTRAINT variant_units_variant_fkey FOREIGN KEY (tenant_id, variant_id)
        REFERENCES variants (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT variant_units_unit_fkey FOREIGN KEY (tenant_id, unit_id)
        REFERENCES units (tenant_id, id),
    CONSTRAINT variant_units_factor_check CHECK (factor > 0)
);
CREATE INDEX variant_units_unit_idx ON variant_units (tenant_id, unit_id);
"""

# A barcode names one thing: a variant, or one of its packages. Each table keeps its own barcodes
# apart; these triggers keep the two tables apart, one writer of a barcode at a time.
BARCODES = """
CREATE FUNCTION guard_barcode() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE taken boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(
        hashtextextended('stockwright.barcode/' || NEW.tenant_id || '/' || NEW.barcode, 0));
    IF TG_TABLE_NAME = 'variants' THEN
        SELECT EXISTS (SELECT FROM variant_units u
                        WHERE u.tenant_id = NEW.tenant_id AND u.barcode = NEW.barcode) INTO taken;
    ELSE
        SELECT EXISTS (SELECT FROM variants v
                        WHERE v.tenant_id = NEW.tenant_id AND v.barcode = NEW.barcode) INTO taken;
    END IF;
    IF taken THEN
        RAISE EXCEPTION 'the barcode is taken'
            USING ERRCODE = 'unique_violation', CONSTRAINT = TG_TABLE_NAME || '_barcode_key';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER variants_barcode_guard BEFORE INSERT OR UPDATE OF barcode ON variants
    FOR EACH ROW WHEN (NEW.barcode IS NOT NULL) EXECUTE FUNCTION guard_barcode();
CREATE TRIGGER variant_units_barcode_guard BEFORE INSERT OR UPDATE OF barcode ON variant_units
    FOR EACH ROW WHEN (NEW.barcode IS NOT NULL) EXECUTE FUNCTION guard_barcode();
"""

# Values lie in rows of their own, as text in one form a type: equality of text may use an index
# under row security, where the containment of JSON may not. A value's record is of the kind that
# its attribute names; who deletes the record deletes its values, under the record's lock.
ATTRIBUTES = """
CREATE TABLE attributes (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    kind text NOT NULL,
    key text NOT NULL,
    label text NOT NULL,
    type text NOT NULL,
    required boolean NOT NULL,
    options text[] NOT NULL,
    minimum text,
    maximum text,
    max_length integer,
    pattern text,
    metadata jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT attributes_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT attributes_key_key UNIQUE (tenant_id, kind, key),
    CONSTRAINT attributes_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT attributes_kind_check
        CHECK (kind IN ('product', 'variant', 'customer', 'supplier', 'warehouse')),
    CONSTRAINT attributes_type_check
        CHECK (type IN ('text', 'integer', 'decimal', 'boolean', 'date', 'choice')),
    CONSTRAINT attributes_options_check CHECK ((type = 'choice') = (cardinality(options) > 0))
);

CREATE TABLE attribute_values (
    tenant_id uuid NOT NULL,
    record_id uuid NOT NULL,
    attribute_id uuid NOT NULL,
    value text COLLATE "C" NOT NULL,
    CONSTRAINT attribute_values_pkey PRIMARY KEY (tenant_id, record_id, attribute_id),
    CONSTRAINT attribute_values_attribute_fkey FOREIGN KEY (tenant_id, attribute_id)
        REFERENCES attributes (tenant_id, id)
);
CREATE INDEX attribute_values_search_idx
    ON attribute_values (tenant_id, attribute_id, value, record_id);
"""

# What is disabled or inactive has no goods. Who takes it out of use locks its levels and looks;
# a writer that read "active" before that, and then waited for the lock, finds out here: only the
# change of an empty level into a filled one can matter, and each statement of a function sees what
# was committed before it. The writer takes the error for a lost race and decides the batch anew.
LEVELS = """
CREATE FUNCTION guard_filled_level() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM warehouses w WHERE w.tenant_id = NEW.tenant_id
                  AND w.id = NEW.warehouse_id AND w.is_active)
       AND EXISTS (SELECT FROM variants v WHERE v.tenant_id = NEW.tenant_id
                      AND v.id = NEW.variant_id AND v.status = 'active') THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'goods came into what was taken out of use meanwhile'
        USING ERRCODE = 'serialization_failure', CONSTRAINT = 'inventory_levels_in_use_check';
END $$;
CREATE TRIGGER inventory_levels_filled AFTER UPDATE ON inventory_levels
    FOR EACH ROW
    WHEN (OLD.available + OLD.reserved + OLD.damaged + OLD.quarantine + OLD.in_transit = 0
      AND NEW.available + NEW.reserved + NEW.damaged + NEW.quarantine + NEW.in_transit > 0)
    EXECUTE FUNCTION guard_filled_level();
"""

INDEXES = """
CREATE INDEX warehouses_priority_idx ON warehouses (tenant_id, priority, id);
CREATE INDEX order_lines_warehouse_idx ON order_lines (tenant_id, warehouse_id);
"""


def upgrade() -> None:
    op.execute(UNITS)
    op.execute(BARCODES)
    op.execute(ATTRIBUTES)
    op.execute(LEVELS)
    op.execute(INDEXES)
    for table in ("units", "attributes"):
        isolate(table)
        record(table)
    isolate("variant_units")
    isolate("attribute_values")


def downgrade() -> None:
    raise RuntimeError("Migrations only go forward: restore a backup to go back.")
