"""Which store a configuration means."""

from pathlib import Path
from typing import TYPE_CHECKING

from event_server.config import Config
from event_server.store import Store
from event_server.store.schema import Schema
from event_server.store.upkeep import Upkeep

if TYPE_CHECKING:
    from event_server.store.postgresql.connecting import Database

# What is not asked for is not loaded: each driver takes its memory and its time.


def make_store(config: Config) -> Store:
    """Returns the store that a server writes to."""
    if config.database_url is not None:
        from event_server.store.postgresql.store import PostgresqlStore

        return PostgresqlStore(_database(config))
    from event_server.store.sqlite import SqliteStore

    return SqliteStore(_path(config), min_free_bytes=config.limits.min_free_bytes)


def open_upkeep(config: Config) -> Upkeep:
    """Connects an administrator to the store that is there.

    Raises:
        StoreUnavailableError: there is no store, or it cannot be opened.
        SchemaError: it is not one that this release can use.
    """
    if config.database_url is not None:
        from event_server.store.postgresql.upkeep import PostgresqlUpkeep

        return PostgresqlUpkeep(_database(config))
    from event_server.store.sqlite_upkeep import SqliteUpkeep

    return SqliteUpkeep(_path(config))


def migrate(config: Config) -> tuple[int, int]:
    """Brings the store's tables up to date, and returns the versions before and after.

    Raises:
        StoreUnavailableError: it cannot be opened.
        SchemaError: it is not one that this release can use.
    """
    if config.database_url is not None:
        from event_server.store.postgresql import upkeep

        return upkeep.migrate(_database(config))
    from event_server.store import sqlite_upkeep

    return sqlite_upkeep.migrate(_path(config))


def schema_of(config: Config) -> Schema:
    """Returns the version of the store's tables, zeros if there are none.

    Raises:
        StoreUnavailableError: it cannot be opened.
    """
    if config.database_url is not None:
        from event_server.store.postgresql import upkeep

        return upkeep.schema_of(_database(config))
    from event_server.store import sqlite_upkeep

    return sqlite_upkeep.schema_of(_path(config))


def _database(config: Config) -> "Database":
    from event_server.store.postgresql.connecting import Database

    assert config.database_url is not None  # noqa: S101
    return Database(config.database_url, config.credential("database-password"))


def _path(config: Config) -> Path:
    assert config.database_path is not None  # noqa: S101
    return config.database_path
