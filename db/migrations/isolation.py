"""What each tenant table gets in its migration: forced row security, policy, grants, guards."""

from alembic import op

APP = "stockwright_app"
FOLLOWER = "stockwright_follower"
MAINT = "stockwright_maint"


def isolate(
    table: str, *, app: str = "SELECT, INSERT, UPDATE, DELETE", key: str = "tenant_id"
) -> None:
    """Force row security on ``table`` and grant the app role ``app``.

    ``current_setting`` is read through NULLIF: after a transaction-local setting a pooled session
    reads an empty string, which must mean "no tenant", never an error or every tenant. New rows
    take the tenant of their transaction by default.
    """
    tenant = "NULLIF(current_setting('app.tenant', true), '')::uuid"
    default = f"ALTER TABLE {table} ALTER {key} SET DEFAULT {tenant};" if key == "tenant_id" else ""
    op.execute(f"""
        {default}
        ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
        ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
        CREATE POLICY {table}_tenant_isolation ON {table}
            USING ({key} = {tenant}) WITH CHECK ({key} = {tenant});
        GRANT {app} ON {table} TO {APP};
        GRANT SELECT ON {table} TO {FOLLOWER};
        GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {MAINT};
    """)


def record(table: str) -> None:
    """Let every UPDATE of an editable record raise its version and its ``updated_at``."""
    op.execute(f"""
        CREATE TRIGGER {table}_touch BEFORE UPDATE ON {table}
            FOR EACH ROW EXECUTE FUNCTION touch_record();
    """)


def append_only(table: str) -> None:
    """Refuse UPDATE, DELETE and TRUNCATE for every role: by grant and by trigger."""
    op.execute(f"""
        CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION refuse_change();
        CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
        REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {APP}, {MAINT}, {FOLLOWER}, PUBLIC;
    """)


def definer(signature: str, roles: str) -> None:
    """Let ``roles`` call a SECURITY DEFINER function that runs as maint, and nobody else."""
    op.execute(f"""
        REVOKE ALL ON FUNCTION {signature} FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION {signature} TO {roles};
        ALTER FUNCTION {signature} OWNER TO {MAINT};
    """)
