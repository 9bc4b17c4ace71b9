"""Tenants, their organization and people, API keys, number counters."""

from alembic import op

from db.migrations.isolation import APP, definer, isolate, record

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FUNCTIONS = """
CREATE FUNCTION touch_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END $$;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: correct it by a new row', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_TABLE_NAME || '_append_only';
END $$;
"""

TENANTS = """
CREATE TABLE tenants (
    id uuid NOT NULL DEFAULT uuidv7(),
    slug text NOT NULL,
    name text NOT NULL,
    currency text NOT NULL,
    time_zone text NOT NULL,
    status text NOT NULL DEFAULT 'active',
    metadata jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenants_pkey PRIMARY KEY (id),
    CONSTRAINT tenants_slug_key UNIQUE (slug),
    CONSTRAINT tenants_slug_check CHECK (slug ~ '^[a-z][a-z0-9]{1,30}$'),
    CONSTRAINT tenants_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT tenants_status_check CHECK (status IN ('active', 'suspended'))
);

CREATE TABLE api_keys (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    prefix text NOT NULL,
    secret_hash bytea NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    metadata jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT api_keys_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT api_keys_prefix_key UNIQUE (prefix),
    CONSTRAINT api_keys_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE TABLE number_counters (
    tenant_id uuid NOT NULL,
    kind text NOT NULL,
    next_number bigint NOT NULL DEFAULT 1001,
    CONSTRAINT number_counters_pkey PRIMARY KEY (tenant_id, kind),
    CONSTRAINT number_counters_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
"""

ORGANIZATION = """
CREATE TABLE organizations (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    name text NOT NULL,
    phone text,
    address jsonb NOT NULL DEFAULT '{}',
    metadata jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT organizations_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT organizations_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE TABLE departments (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    organization_id uuid NOT NULL,
    name text NOT NULL,
    manager_id uuid,
    metadata jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT departments_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT departments_name_key UNIQUE (tenant_id, organization_id, name),
    CONSTRAINT departments_organization_fkey FOREIGN KEY (tenant_id, organization_id)
        REFERENCES organizations (tenant_id, id)
);

CREATE TABLE employees (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    department_id uuid NOT NULL,
    first_name text NOT NULL,
    last_name text NOT NULL,
    email text NOT NULL,
    phone text,
    job_title text,
    hired_on date,
    metadata jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT employees_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT employees_email_key UNIQUE (tenant_id, email),
    CONSTRAINT employees_department_fkey FOREIGN KEY (tenant_id, department_id)
        REFERENCES departments (tenant_id, id)
);
ALTER TABLE departments ADD CONSTRAINT departments_manager_fkey
    FOREIGN KEY (tenant_id, manager_id) REFERENCES employees (tenant_id, id);
"""

# The key is looked up before a tenant is known; only this function may look across tenants.
FIND_KEY = """
CREATE FUNCTION find_api_key(wanted text)
RETURNS TABLE (tenant_id uuid, tenant_slug text, tenant_status text, currency text,
               time_zone text, id uuid, name text, role text, secret_hash bytea,
               expires_at timestamptz, revoked_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT k.tenant_id, t.slug, t.status, t.currency, t.time_zone, k.id, k.name, k.role,
           k.secret_hash, k.expires_at, k.revoked_at
      FROM api_keys k JOIN tenants t ON t.id = k.tenant_id WHERE k.prefix = wanted
$$;
"""


def upgrade() -> None:
    op.execute(FUNCTIONS)
    op.execute(TENANTS)
    op.execute(ORGANIZATION)
    isolate("tenants", app="SELECT", key="id")
    for table in ("api_keys", "organizations", "departments", "employees"):
        isolate(table)
        record(table)
    record("tenants")
    isolate("number_counters", app="SELECT, INSERT, UPDATE")
    op.execute(FIND_KEY)
    definer("find_api_key(text)", APP)


def downgrade() -> None:
    raise RuntimeError("Migrations only go forward: restore a backup to go back.")
