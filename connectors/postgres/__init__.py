"""Contains roles of one PostgreSQL cluster. What it needs to be allowed: README.md."""

from connectors.postgres.connector import PostgresConnector

__all__ = ["PostgresConnector"]
