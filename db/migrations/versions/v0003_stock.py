"""Warehouses, levels, the ledger of movements, reservations, operations, events."""

from alembic import op

from db.migrations.isolation import APP, FOLLOWER, MAINT, append_only, definer, isolate, record

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

WAREHOUSES = """
CREATE TABLE warehouses (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    code text NOT NULL,
    name text NOT NULL,
    address jsonb NOT NULL DEFAULT '{}',
    contact_person text,
    contact_email text,
    contact_phone text,
    total_capacity bigint,
    operating_hours jsonb NOT NULL DEFAULT '{}',
    priority integer NOT NULL DEFAULT 100,
    is_default boolean NOT NULL DEFAULT false,
    is_active boolean NOT NULL DEFAULT true,
    metadata jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT warehouses_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT warehouses_code_key UNIQUE (tenant_id, code),
    CONSTRAINT warehouses_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT warehouses_capacity_check CHECK (total_capacity > 0),
    CONSTRAINT warehouses_default_active_check CHECK (is_active OR NOT is_default)
);
CREATE UNIQUE INDEX warehouses_default_key ON warehouses (tenant_id) WHERE is_default;
"""

# The value of a level is its average cost times what is on hand, to the millionth. The average
# has 24 decimals, so that it stays the same over any number of issues while the total is exact.
LEVELS = """
CREATE TABLE inventory_levels (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    warehouse_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    lot text,
    available bigint NOT NULL DEFAULT 0,
    reserved bigint NOT NULL DEFAULT 0,
    damaged bigint NOT NULL DEFAULT 0,
    quarantine bigint NOT NULL DEFAULT 0,
    in_transit bigint NOT NULL DEFAULT 0,
    average_cost numeric(44, 24) NOT NULL DEFAULT 0,
    total_value numeric(38, 6) NOT NULL DEFAULT 0,
    in_transit_value numeric(38, 6) NOT NULL DEFAULT 0,
    sequence bigint NOT NULL DEFAULT 0,
    reorder_point bigint,
    reorder_quantity bigint,
    max_stock_level bigint,
    bin_location text,
    aisle text,
    shelf text,
    is_low_stock boolean GENERATED ALWAYS AS (coalesce(available <= reorder_point, false)) VIRTUAL,
    is_out_of_stock boolean GENERATED ALWAYS AS (available = 0) VIRTUAL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT inventory_levels_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT inventory_levels_identity_key
        UNIQUE NULLS NOT DISTINCT (tenant_id, warehouse_id, variant_id, lot),
    CONSTRAINT inventory_levels_warehouse_fkey FOREIGN KEY (tenant_id, warehouse_id)
        REFERENCES warehouses (tenant_id, id),
    CONSTRAINT inventory_levels_variant_fkey FOREIGN KEY (tenant_id, variant_id)
        REFERENCES variants (tenant_id, id),
    CONSTRAINT inventory_levels_available_check CHECK (available >= 0),
    CONSTRAINT inventory_levels_reserved_check CHECK (reserved >= 0),
    CONSTRAINT inventory_levels_damaged_check CHECK (damaged >= 0),
    CONSTRAINT inventory_levels_quarantine_check CHECK (quarantine >= 0),
    CONSTRAINT inventory_levels_in_transit_check CHECK (in_transit >= 0),
    CONSTRAINT inventory_levels_in_transit_value_check
        CHECK (in_transit_value >= 0 AND (in_transit > 0 OR in_transit_value = 0)),
    CONSTRAINT inventory_levels_average_check CHECK (average_cost >= 0),
    CONSTRAINT inventory_levels_value_check
        CHECK (total_value
            = round(average_cost * (available + reserved + damaged + quarantine), 6)),
    CONSTRAINT inventory_levels_reorder_check
        CHECK (reorder_point >= 0 AND reorder_quantity > 0 AND max_stock_level >= 0)
) WITH (fillfactor = 50);
CREATE INDEX inventory_levels_variant_idx ON inventory_levels (tenant_id, variant_id);
"""

OPERATIONS = """
CREATE TABLE operations (
    tenant_id uuid NOT NULL,
    source text NOT NULL,
    key text COLLATE "C" NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    fingerprint bytea NOT NULL,
    state text NOT NULL,
    status smallint,
    answer bytea,
    number text,
    workflow_id text,
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT operations_pkey PRIMARY KEY (tenant_id, source, key),
    CONSTRAINT operations_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT operations_source_check CHECK (source IN ('http', 'process')),
    CONSTRAINT operations_key_check CHECK (length(key) BETWEEN 1 AND 255),
    CONSTRAINT operations_state_check CHECK (state IN ('claimed', 'done', 'void')),
    CONSTRAINT operations_done_check CHECK (state <> 'done' OR status IS NOT NULL)
);
"""

# A posting is what one transaction adds to the ledger. Its facts (movements and events) carry its
# id and an ordinal; the position of a fact is first_position + ordinal - 1.
LEDGER = """
CREATE TABLE postings (
    id bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id uuid NOT NULL,
    facts integer NOT NULL,
    first_position bigint,
    posted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT postings_pkey PRIMARY KEY (id),
    CONSTRAINT postings_tenant_id_key UNIQUE (tenant_id, id),
    CONSTRAINT postings_position_key UNIQUE (first_position),
    CONSTRAINT postings_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT postings_facts_check CHECK (facts > 0)
);
CREATE INDEX postings_unnumbered_idx ON postings (id) WHERE first_position IS NULL;

CREATE TABLE stock_movements (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    posting_id bigint NOT NULL,
    ordinal integer NOT NULL,
    operation_id uuid NOT NULL,
    level_id uuid NOT NULL,
    sequence bigint NOT NULL,
    warehouse_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    kind text NOT NULL,
    available_before bigint NOT NULL,
    available_change bigint NOT NULL,
    available_after bigint NOT NULL,
    reserved_before bigint NOT NULL,
    reserved_change bigint NOT NULL,
    reserved_after bigint NOT NULL,
    damaged_before bigint NOT NULL,
    damaged_change bigint NOT NULL,
    damaged_after bigint NOT NULL,
    quarantine_before bigint NOT NULL,
    quarantine_change bigint NOT NULL,
    quarantine_after bigint NOT NULL,
    in_transit_before bigint NOT NULL,
    in_transit_change bigint NOT NULL,
    in_transit_after bigint NOT NULL,
    unit_cost numeric(44, 24) NOT NULL,
    value_change numeric(38, 6) NOT NULL,
    value_after numeric(38, 6) NOT NULL,
    in_transit_value_change numeric(38, 6) NOT NULL DEFAULT 0,
    reference_kind text,
    reference_id text,
    reason text,
    notes text,
    created_by text NOT NULL,
    approved_by text,
    occurred_at timestamptz NOT NULL,
    business_date date NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT stock_movements_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT stock_movements_place_key UNIQUE (posting_id, ordinal),
    CONSTRAINT stock_movements_sequence_key UNIQUE (tenant_id, level_id, sequence),
    CONSTRAINT stock_movements_posting_fkey FOREIGN KEY (tenant_id, posting_id)
        REFERENCES postings (tenant_id, id),
    CONSTRAINT stock_movements_level_fkey FOREIGN KEY (tenant_id, level_id)
        REFERENCES inventory_levels (tenant_id, id),
    CONSTRAINT stock_movements_available_check
        CHECK (available_before + available_change = available_after AND available_after >= 0),
    CONSTRAINT stock_movements_reserved_check
        CHECK (reserved_before + reserved_change = reserved_after AND reserved_after >= 0),
    CONSTRAINT stock_movements_damaged_check
        CHECK (damaged_before + damaged_change = damaged_after AND damaged_after >= 0),
    CONSTRAINT stock_movements_quarantine_check
        CHECK (quarantine_before + quarantine_change = quarantine_after AND quarantine_after >= 0),
    CONSTRAINT stock_movements_in_transit_check
        CHECK (in_transit_before + in_transit_change = in_transit_after AND in_transit_after >= 0),
    CONSTRAINT stock_movements_sequence_check CHECK (sequence > 0)
);

CREATE TABLE events (
    tenant_id uuid NOT NULL,
    posting_id bigint NOT NULL,
    ordinal integer NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    kind text NOT NULL,
    subject_kind text NOT NULL,
    subject_id text NOT NULL,
    subject_sequence bigint NOT NULL,
    actor text NOT NULL,
    data jsonb NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT events_pkey PRIMARY KEY (tenant_id, posting_id, ordinal),
    CONSTRAINT events_subject_key UNIQUE (tenant_id, subject_kind, subject_id, subject_sequence),
    CONSTRAINT events_posting_fkey FOREIGN KEY (tenant_id, posting_id)
        REFERENCES postings (tenant_id, id)
);

CREATE TABLE reservations (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    level_id uuid NOT NULL,
    owner text COLLATE "C" NOT NULL,
    line integer NOT NULL,
    quantity bigint NOT NULL,
    open bigint NOT NULL,
    operation_id uuid NOT NULL,
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT reservations_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT reservations_level_fkey FOREIGN KEY (tenant_id, level_id)
        REFERENCES inventory_levels (tenant_id, id),
    CONSTRAINT reservations_open_check CHECK (open BETWEEN 0 AND quantity),
    CONSTRAINT reservations_quantity_check CHECK (quantity > 0)
) WITH (fillfactor = 80);
CREATE INDEX reservations_owner_idx ON reservations (tenant_id, owner) WHERE open > 0;
CREATE INDEX reservations_level_idx ON reservations (tenant_id, level_id) WHERE open > 0;

CREATE TABLE follower_cursors (
    name text NOT NULL,
    position bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT follower_cursors_pkey PRIMARY KEY (name)
);
"""

# Positions are given after the commit, by one sequencer at a time, in the order of posting ids.
# A posting takes its id after its locks, so of two postings on one level the later has the larger
# id, and whoever sees the later sees the earlier: the order of positions never contradicts a level.
SEQUENCER = """
CREATE FUNCTION guard_posting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.first_position IS NULL AND NEW.first_position IS NOT NULL
       AND (OLD.id, OLD.tenant_id, OLD.facts, OLD.posted_at)
         = (NEW.id, NEW.tenant_id, NEW.facts, NEW.posted_at) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'postings is append-only: only a missing position may be set'
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'postings_append_only';
END $$;
CREATE TRIGGER postings_append_only BEFORE UPDATE OR DELETE ON postings
    FOR EACH ROW EXECUTE FUNCTION guard_posting();
CREATE TRIGGER postings_no_truncate BEFORE TRUNCATE ON postings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION assign_positions(at_most integer DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE head bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'assign_positions needs read committed, to see new commits';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('stockwright.sequencer', 0));
    SELECT coalesce(max(first_position), 0) INTO head
      FROM postings WHERE first_position IS NOT NULL;
    IF head > 0 THEN
        SELECT first_position + facts - 1 INTO head FROM postings WHERE first_position = head;
    END IF;
    WITH waiting AS (
        SELECT id, facts FROM postings WHERE first_position IS NULL ORDER BY id LIMIT at_most
    ), placed AS (
        SELECT id, facts, sum(facts) OVER (ORDER BY id) - facts AS skipped FROM waiting
    ), numbered AS (
        UPDATE postings p SET first_position = head + 1 + placed.skipped
          FROM placed WHERE p.id = placed.id
        RETURNING p.facts
    )
    SELECT head + coalesce(sum(facts), 0) INTO head FROM numbered;
    RETURN head;
END $$;
"""


def upgrade() -> None:
    op.execute(WAREHOUSES)
    op.execute(LEVELS)
    op.execute(OPERATIONS)
    op.execute(LEDGER)
    isolate("warehouses")
    record("warehouses")
    isolate("inventory_levels", app="SELECT, INSERT, UPDATE")
    isolate("operations", app="SELECT, INSERT, UPDATE")
    isolate("postings", app="SELECT, INSERT")
    op.execute(f"REVOKE DELETE ON postings FROM {MAINT}")
    isolate("stock_movements", app="SELECT, INSERT")
    isolate("events", app="SELECT, INSERT")
    isolate("reservations", app="SELECT, INSERT, UPDATE")
    append_only("stock_movements")
    append_only("events")
    op.execute(SEQUENCER)
    definer("assign_positions(integer)", f"{APP}, {FOLLOWER}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON follower_cursors TO {FOLLOWER}, {MAINT}")


def downgrade() -> None:
    raise RuntimeError("Migrations only go forward: restore a backup to go back.")
