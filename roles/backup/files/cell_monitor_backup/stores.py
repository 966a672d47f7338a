"""The event server's store, whichever database keeps it."""

from pathlib import Path

from cell_monitor_backup.config import Config, store_of
from cell_monitor_backup.sqlite import SqliteStore

Store = SqliteStore


def open_store(config: Config) -> Store | None:
    """Returns the store that the event server uses; None where no event server runs.

    Raises:
        BackupError: its configuration cannot be read.
    """
    settings = store_of(config)
    if not settings:
        return None
    return SqliteStore(Path(settings["database_path"]))
