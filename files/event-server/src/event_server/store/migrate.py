"""Brings a database's tables up to date, with Alembic: all steps in one transaction, by one process at a time."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig

from event_server.store.schema import READABLE_FROM, SCHEMA_VERSION, Schema, check_schema

# Held until the transaction ends; of the same family as the lock of those who append.
_LOCK = "SELECT pg_advisory_xact_lock(1667591276, 2)"
_SCRIPTS = Path(__file__).with_name("migrations")


def migrate_sqlite(path: Path, timeout: float) -> tuple[int, int]:
    """Takes the steps that a file lacks, and returns the versions before and after.

    Args:
        path: the file.
        timeout: how many seconds to wait for whoever else writes to it.

    Raises:
        SchemaError: a later release has made tables that this one cannot use.
        sqlite3.Error: the database refuses; it is as it was before.
    """

    def connect() -> sqlite3.Connection:
        # Python's driver would begin a transaction late, and leave out what makes tables.
        return sqlite3.connect(path, timeout=timeout, isolation_level=None)

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.NullPool)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return _migrate(engine)


def migrate_postgresql(connect: Callable[[], Any]) -> tuple[int, int]:
    """Does so for the database that a function connects to; of several at once the first one does it."""

    def connect_for_a_transaction() -> Any:
        connection = connect()
        connection.autocommit = False
        return connection

    engine = sa.create_engine("postgresql+psycopg://", creator=connect_for_a_transaction, poolclass=sa.NullPool)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(_LOCK))
    return _migrate(engine)


def _migrate(engine: sa.Engine) -> tuple[int, int]:
    try:
        with engine.begin() as connection:
            found = _schema(connection)
            if not check_schema(found):
                _take_steps(connection, found)
            return found.version, max(found.version, SCHEMA_VERSION)
    except sa.exc.DBAPIError as error:
        raise (error.orig or error) from None


def _take_steps(connection: sa.Connection, found: Schema) -> None:
    scripts = AlembicConfig()
    scripts.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    scripts.attributes["connection"] = connection
    if found.version and not sa.inspect(connection).has_table("alembic_version"):
        # Made by a release that knew the same first steps, and not Alembic.
        command.stamp(scripts, str(found.version))
    command.upgrade(scripts, str(SCHEMA_VERSION))
    table = sa.table("schema_version", sa.column("version"), sa.column("readable_from"))
    connection.execute(sa.delete(table))
    connection.execute(sa.insert(table).values(version=SCHEMA_VERSION, readable_from=READABLE_FROM))


def _schema(connection: sa.Connection) -> Schema:
    if not sa.inspect(connection).has_table("schema_version"):
        return Schema(0, 0)
    row = connection.exec_driver_sql("SELECT version, readable_from FROM schema_version").one()
    return Schema(row.version, row.readable_from)
