"""Two database roles: an owner that migrates, and an application role that may not change what is final.

`final(table)` is the migration operation that makes a table's rows final for everybody; `grant` gives the application role its rights
after a migration and takes UPDATE and DELETE on final tables from it.
"""

from __future__ import annotations

from django.conf import settings
from django.db import connections
from django.db.migrations import RunSQL
from psycopg import sql

TRIGGER = "rows_are_final"


def final(table: str) -> RunSQL:
    """Rows of `table` can be added and never changed or removed. Undoing the migration lifts it."""
    return RunSQL(
        f"""
        CREATE OR REPLACE FUNCTION holdfast_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'rows of % are final', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation'; END $$;
        CREATE TRIGGER {TRIGGER} BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION holdfast_refuse_change();
        """,
        f"DROP TRIGGER {TRIGGER} ON {table};",
    )


def grant(using: str) -> None:
    """Nothing to do where one role is both (tests, a first look at the code): the trigger still keeps rows final."""
    connection = connections[using]
    role = settings.DATABASE_APP_ROLE
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user = %s OR NOT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", [role, role])
        row = cursor.fetchone()
        if row is None or row[0]:
            return
        name = sql.Identifier(role)
        for statement in (
            "GRANT USAGE ON SCHEMA public TO {}",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}",
            "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}",
            "REVOKE INSERT, UPDATE, DELETE ON TABLE django_migrations FROM {}",
        ):
            cursor.execute(sql.SQL(statement).format(name).as_string(cursor.cursor))
        cursor.execute("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = %s", [TRIGGER])
        for (table,) in cursor.fetchall():
            cursor.execute(sql.SQL("REVOKE UPDATE, DELETE ON TABLE {} FROM {}").format(sql.SQL(table), name).as_string(cursor.cursor))
