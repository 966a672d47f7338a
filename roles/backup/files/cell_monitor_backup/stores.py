"""The event server's store, whichever database keeps it."""

from pathlib import Path
from typing import Any

from cell_monitor_backup import postgresql, sqlite
from cell_monitor_backup.config import Config, store_of
from cell_monitor_backup.errors import BackupError
from cell_monitor_backup.postgresql import PostgresqlStore
from cell_monitor_backup.sqlite import SqliteStore

Store = SqliteStore | PostgresqlStore

_USER = "event-server"
_INSPECT = {SqliteStore.kind: sqlite.inspect, PostgresqlStore.kind: postgresql.inspect}


def open_store(config: Config) -> Store | None:
    """Returns the store that the event server uses; None where no event server runs.

    Raises:
        BackupError: its configuration cannot be read.
    """
    settings = store_of(config)
    if not settings or config.event_server is None:
        return None
    if url := settings.get("database_url"):
        return PostgresqlStore(url, config.event_server.with_name("database-password"), config.work, _USER)
    if path := settings.get("database_path"):
        return SqliteStore(Path(path))
    raise BackupError(f"{config.event_server} names no store.")


def inspect(kind: str, copy: Path) -> dict[str, Any]:
    """Reads a whole copy of a store; returns its schema, and the number of rows of each table.

    Raises:
        DamageError: it is damaged.
    """
    return _INSPECT[kind](copy)
