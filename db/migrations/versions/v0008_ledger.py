"""Which operation took which one back; references of the ledger checked a statement at a time."""

from alembic import op

from db.migrations.isolation import append_only, isolate

revision = "0008"
down_revision = "0007"
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

# A foreign key looks up its row for every row that is inserted: of a batch of 500 movements of one
# level, 500 times the same. These triggers look up each row that is referred to once a statement.
# They are stricter, too: the warehouse and variant of a movement must be those of its level. The
# constraints stay as what they say, not enforced; what they forbade to delete is guarded below.
REFERENCES = """
CREATE FUNCTION check_movements() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT tenant_id, level_id, warehouse_id, variant_id FROM added) a
         WHERE (SELECT l.id FROM inventory_levels l
                 WHERE l.tenant_id = a.tenant_id AND l.id = a.level_id
                   AND l.warehouse_id = a.warehouse_id AND l.variant_id = a.variant_id) IS NULL)
    THEN
        RAISE EXCEPTION 'a movement names no level of its tenant, warehouse and variant'
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'stock_movements_level_fkey';
    END IF;
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT tenant_id, posting_id FROM added) a
         WHERE (SELECT p.id FROM postings p
                 WHERE p.tenant_id = a.tenant_id AND p.id = a.posting_id) IS NULL)
    THEN
        RAISE EXCEPTION 'a movement names no posting of its tenant'
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'stock_movements_posting_fkey';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION check_reservations() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT tenant_id, level_id FROM added) a
         WHERE (SELECT l.id FROM inventory_levels l
                 WHERE l.tenant_id = a.tenant_id AND l.id = a.level_id) IS NULL)
    THEN
        RAISE EXCEPTION 'a reservation names no level of its tenant'
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'reservations_level_fkey';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION check_operations() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT tenant_id FROM added) a
         WHERE (SELECT t.id FROM tenants t WHERE t.id = a.tenant_id) IS NULL)
    THEN
        RAISE EXCEPTION 'an operation names no tenant'
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'operations_tenant_fkey';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER stock_movements_references AFTER INSERT ON stock_movements
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_movements();
CREATE TRIGGER reservations_references AFTER INSERT ON reservations
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_reservations();
CREATE TRIGGER reservations_stay BEFORE UPDATE OF tenant_id, level_id ON reservations
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER operations_references AFTER INSERT ON operations
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_operations();

ALTER TABLE stock_movements ALTER CONSTRAINT stock_movements_level_fkey NOT ENFORCED;
ALTER TABLE stock_movements ALTER CONSTRAINT stock_movements_posting_fkey NOT ENFORCED;
ALTER TABLE reservations ALTER CONSTRAINT reservations_level_fkey NOT ENFORCED;
ALTER TABLE operations ALTER CONSTRAINT operations_tenant_fkey NOT ENFORCED;

CREATE FUNCTION refuse_level_with_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.tenant_id, OLD.id) IS NOT DISTINCT FROM (NEW.tenant_id, NEW.id) THEN
        RETURN NEW;
    END IF;
    IF OLD.sequence > 0 THEN
        RAISE EXCEPTION 'a level that was ever moved keeps its row'
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'stock_movements_level_fkey';
    END IF;
    RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER inventory_levels_history BEFORE DELETE OR UPDATE OF tenant_id, id
    ON inventory_levels FOR EACH ROW EXECUTE FUNCTION refuse_level_with_history();

-- Locks levels in the order of their ids, and fails unless each is as it was foreseen. OFFSET 0
-- keeps the look-ups from becoming a scan of all levels.
CREATE FUNCTION lock_as_foreseen(
    tenant uuid, ids uuid[], available bigint[], reserved bigint[], damaged bigint[],
    quarantine bigint[], in_transit bigint[], sequence bigint[], average_cost numeric[],
    total_value numeric[], variant_active boolean[], warehouse_active boolean[])
RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM FROM inventory_levels WHERE tenant_id = tenant AND id = ANY(ids)
      ORDER BY id FOR NO KEY UPDATE;
    IF cardinality(ids) <> (
        SELECT count(*)
          FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
               AS e (id, available, reserved, damaged, quarantine, in_transit, sequence,
                     average_cost, total_value, variant_active, warehouse_active)
         CROSS JOIN LATERAL (
             SELECT * FROM inventory_levels WHERE tenant_id = $1 AND id = e.id OFFSET 0) l
         CROSS JOIN LATERAL (
             SELECT status = 'active' AS active FROM variants
              WHERE tenant_id = $1 AND id = l.variant_id OFFSET 0) v
         CROSS JOIN LATERAL (
             SELECT is_active AS active FROM warehouses
              WHERE tenant_id = $1 AND id = l.warehouse_id OFFSET 0) w
         WHERE l.available = e.available AND l.reserved = e.reserved AND l.damaged = e.damaged
           AND l.quarantine = e.quarantine AND l.in_transit = e.in_transit
           AND l.sequence = e.sequence AND l.average_cost = e.average_cost
           AND l.total_value = e.total_value AND v.active = e.variant_active
           AND w.active = e.warehouse_active)
    THEN
        RAISE EXCEPTION 'a level is not as it was foreseen' USING ERRCODE = 'serialization_failure';
    END IF;
END $$;

-- A sum in the type of its column: the usual one goes by numeric, at ten times the cost.
CREATE AGGREGATE total(bigint) (SFUNC = int8pl, STYPE = bigint, INITCOND = '0');
"""


def upgrade() -> None:
    op.execute(REVERSALS)
    op.execute(REFERENCES)
    isolate("reversals", app="SELECT, INSERT")
    append_only("reversals")


def downgrade() -> None:
    raise RuntimeError("Migrations only go forward: restore a backup to go back.")
