"""The events that are on their way to the event server, kept on disk until it has them."""

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

Event = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id TEXT NOT NULL UNIQUE,
  received REAL NOT NULL,
  body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS rejected (
  seq INTEGER PRIMARY KEY,
  event_id TEXT NOT NULL,
  received REAL NOT NULL,
  rejected REAL NOT NULL,
  reason TEXT NOT NULL,
  body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS probe (id INTEGER PRIMARY KEY CHECK (id = 0), written REAL NOT NULL);
"""
# Answered requests have to survive a power cut: FULL syncs the log at each commit. An exclusive lock is held from the
# first read to the end of the process, whichever way that comes, so that two servers cannot drain the same spool.
_PRAGMAS = ("PRAGMA locking_mode=EXCLUSIVE", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL")

_SIZE = "SELECT COALESCE(SUM(LENGTH(CAST(body AS BLOB))), 0) FROM events"
_INSERT = "INSERT OR IGNORE INTO events (event_id, received, body) VALUES (?, ?, ?)"
_REJECT = "INSERT OR REPLACE INTO rejected SELECT seq, event_id, received, ?, ?, body FROM events WHERE seq = ?"
_DELETE = "DELETE FROM events WHERE seq = ? RETURNING LENGTH(CAST(body AS BLOB))"

_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class SpoolError(Exception):
    """The spool cannot take or give events now; the message says why."""


class SpoolLockedError(SpoolError):
    """Another process uses the folder."""


class SpoolFullError(SpoolError):
    """The spool holds as much as it may."""


class Entry(NamedTuple):
    """An event as it lies in the spool.

    Attributes:
        seq: its place, rising in the order of arrival.
        body: its JSON text.
    """

    seq: int
    body: str


class Depth(NamedTuple):
    """How full the spool is.

    Attributes:
        events: how many events wait.
        size: their size in bytes.
        oldest: when the one that waits longest arrived, in seconds since 1970.
        rejected: how many events the event server has refused for good.
    """

    events: int
    size: int
    oldest: float | None
    rejected: int


class Spool:
    """An ordered, bounded set of events in one SQLite file; not safe for use by several threads at once."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Opens or creates the spool in a folder that only its owner can read.

        Args:
            folder: where it lies.
            max_bytes: the largest total of the events that wait, in bytes of JSON.

        Raises:
            SpoolLockedError: another process has the folder open.
            SpoolError: the folder or the file cannot be used.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        path = folder / "spool.sqlite3"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # SQLite would create it readable for everybody; its log takes the mode of the file.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            _sync_folder(folder)
        except OSError as error:
            raise SpoolError(f"{folder} cannot be used: {error.strerror}") from error
        self._db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            for pragma in _PRAGMAS:
                self._db.execute(pragma)
            self._db.executescript(_SCHEMA)
            self._size = int(self._db.execute(_SIZE).fetchone()[0])
        except sqlite3.Error as error:
            self._db.close()
            raise self._failure(error) from error

    def close(self) -> None:
        """Lets another process have the folder."""
        self._db.close()

    def add(self, events: Iterable[Event]) -> int:
        """Keeps all of the events or none; those that wait already are left as they are.

        Returns:
            How many were new. When this returns they are on disk.

        Raises:
            SpoolFullError: there is no room for them.
            SpoolError: they could not be written.
        """
        now = time.time()
        rows = [(str(event["eventId"]), now, _encode(event)) for event in events]
        new = added = 0
        with self._transaction():
            for row in rows:
                if self._db.execute(_INSERT, row).rowcount:
                    new += 1
                    added += len(row[2].encode())
            if self._size + added > self._max_bytes:
                raise self._full()
        self._size += added
        return new

    def peek(self, count: int, max_bytes: int) -> list[Entry]:
        """The events that wait longest, at least one where there is any."""
        entries: list[Entry] = []
        size = 0
        try:
            for seq, body in self._db.execute("SELECT seq, body FROM events ORDER BY seq LIMIT ?", (count,)):
                size += len(body.encode())
                if entries and size > max_bytes:
                    break
                entries.append(Entry(seq, body))
        except sqlite3.Error as error:
            raise self._failure(error) from error
        return entries

    def settle(self, delivered: Sequence[int], rejected: Sequence[tuple[int, str]] = ()) -> None:
        """Forgets the events that the event server has, and puts aside those that it never will.

        Args:
            delivered: the places of the events that it has.
            rejected: the places of the others, each with its reason.
        """
        now = time.time()
        removed = 0
        with self._transaction():
            self._db.executemany(_REJECT, [(now, reason, seq) for seq, reason in rejected])
            for seq in (*delivered, *(seq for seq, _ in rejected)):
                for (size,) in self._db.execute(_DELETE, (seq,)).fetchall():
                    removed += size
        self._size -= removed

    def depth(self) -> Depth:
        """How full the spool is."""
        try:
            events, oldest = self._db.execute("SELECT COUNT(*), MIN(received) FROM events").fetchone()
            (rejected,) = self._db.execute("SELECT COUNT(*) FROM rejected").fetchone()
        except sqlite3.Error as error:
            raise self._failure(error) from error
        return Depth(events, self._size, oldest, rejected)

    def probe(self) -> None:
        """Writes to the disk as `add` does.

        Raises:
            SpoolError: an event could not be taken now.
        """
        if self._size >= self._max_bytes:
            raise self._full()
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO probe VALUES (0, ?)", (time.time(),))

    def _full(self) -> SpoolFullError:
        return SpoolFullError(f"the spool holds {self._size} of {self._max_bytes} bytes")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                # After a commit there is nothing left, and a full disk ends the transaction by itself.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def _failure(self, error: sqlite3.Error) -> SpoolError:
        if getattr(error, "sqlite_errorcode", None) in _LOCKED:
            return SpoolLockedError(f"another process collects events in {self._folder}")
        return SpoolError(f"the spool in {self._folder} failed: {error}")


def _encode(event: Event) -> str:
    # A lone surrogate, which half an emoji leaves behind, cannot be stored as UTF-8: such text stays escaped.
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(event, separators=(",", ":"))
    return text


def _sync_folder(folder: Path) -> None:
    """Puts the names of the folder's files on disk; only POSIX can, and only there is it needed."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
