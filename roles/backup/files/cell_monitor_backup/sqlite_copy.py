"""Copies a database that is in use; run by its owner, because SQLite puts files of its own beside it."""

import os
import sqlite3
import sys


def main(source: str, target: str) -> None:
    """Copies the whole database as it is at one moment; writers go on."""
    os.umask(0o077)
    reading = sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=30)
    writing = sqlite3.connect(target, isolation_level=None)
    # All pages at once: a copy in steps begins anew whenever a student's event comes in between.
    reading.backup(writing)
    # One file, without a log beside it.
    writing.execute("PRAGMA journal_mode=DELETE")
    writing.close()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (sqlite3.Error, OSError) as error:
        sys.exit(f"{error}")
