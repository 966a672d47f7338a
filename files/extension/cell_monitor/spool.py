"""The events that are on their way to the event server, kept on disk until it has them."""

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

Event = dict[str, Any]

DEFAULT_MAX_AGE_SECONDS = 30 * 24 * 3600
# Refused events are kept for somebody to look at: no more of them, no larger a part of the spool's bytes.
MAX_REJECTED_EVENTS = 10_000
MAX_REASON_LENGTH = 500
REJECTED_SHARE = 1 / 16
# SQLite needs room to delete, too: a spool that takes the last of a disk could never be emptied again.
MIN_FREE_BYTES = 32 * 2**20
# At a time: requests that wait for the disk do not wait long.
MAX_EXPIRED_EVENTS = 1000

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
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO counters SELECT 'rejected', COUNT(*) FROM rejected;
CREATE TABLE IF NOT EXISTS probe (id INTEGER PRIMARY KEY CHECK (id = 0), written REAL NOT NULL);
"""
# Answered requests have to survive a power cut: FULL syncs the log at each commit. An exclusive lock is held from the
# first read to the end of the process, whichever way that comes, so that two servers cannot drain the same spool.
_PRAGMAS = ("PRAGMA locking_mode=EXCLUSIVE", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL")

_FILL = "SELECT COUNT(*), COALESCE(SUM(LENGTH(CAST(body AS BLOB))), 0) FROM"
_LAST = "SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'events'"
_INSERT = "INSERT OR IGNORE INTO events (event_id, received, body) VALUES (?, ?, ?)"
_REJECT = "INSERT OR REPLACE INTO rejected SELECT seq, event_id, received, ?, ?, body FROM events WHERE seq = ?"
_DELETE = "DELETE FROM {} WHERE seq = ? RETURNING LENGTH(CAST(body AS BLOB))"
_OLDEST = "SELECT received FROM events ORDER BY seq LIMIT 1"
_OLDEST_REJECTED = "SELECT seq, rejected FROM rejected ORDER BY seq LIMIT 1"
_EXPIRED = "SELECT seq FROM (SELECT seq, received FROM events ORDER BY seq LIMIT ?) WHERE received < ?"
_COUNT = "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"

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


class Added(NamedTuple):
    """What became of events that were handed over.

    Attributes:
        new: those that were not in the spool already.
        last: the place of the event that came last of all.
    """

    new: list[Event]
    last: int


class Depth(NamedTuple):
    """How full the spool is, and what it has counted since it was created.

    Attributes:
        events: how many events wait.
        size: their size in bytes.
        oldest: when the one that waits longest arrived, in seconds since 1970.
        rejected: how many events the event server has refused for good.
        dropped: how many events became too old before the event server took them.
        browser_dropped: how many events browsers had no room for, and never sent.
    """

    events: int
    size: int
    oldest: float | None
    rejected: int
    dropped: int
    browser_dropped: int


@dataclass
class _Fill:
    """How many rows a table has, and the bytes of their events."""

    events: int
    size: int

    def __add__(self, other: "_Fill") -> "_Fill":
        return _Fill(self.events + other.events, self.size + other.size)

    def __sub__(self, other: "_Fill") -> "_Fill":
        return _Fill(self.events - other.events, self.size - other.size)


class Spool:
    """An ordered, bounded set of events in one SQLite file; not safe for use by several threads at once."""

    def __init__(self, folder: Path, max_bytes: int, max_age_seconds: float = DEFAULT_MAX_AGE_SECONDS) -> None:
        """Opens or creates the spool in a folder that only its owner can read.

        Args:
            folder: where it lies.
            max_bytes: the largest total of the events that wait, in bytes of JSON.
            max_age_seconds: how long an event may wait, see `expire`, or be kept after it was refused.

        Raises:
            SpoolLockedError: another process has the folder open.
            SpoolError: the folder or the file cannot be used.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_age = max_age_seconds
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
            self._waiting = _Fill(*self._db.execute(f"{_FILL} events").fetchone())
            self._rejected = _Fill(*self._db.execute(f"{_FILL} rejected").fetchone())
            self._last = int(self._db.execute(_LAST).fetchone()[0])
        except sqlite3.Error as error:
            self._db.close()
            raise self._failure(error) from error

    def close(self) -> None:
        """Lets another process have the folder."""
        self._db.close()

    def add(self, events: Iterable[Event], browser_dropped: int = 0) -> Added:
        """Keeps all of the events or none; those that wait already are left as they are.

        Args:
            events: what to keep.
            browser_dropped: how many events their sender has had to drop, to be counted with them.

        Returns:
            What was new. When this returns it is on disk.

        Raises:
            SpoolFullError: there is no room for them.
            SpoolError: they could not be written.
        """
        self._check_disk()
        now = time.time()
        last = self._last
        new: list[Event] = []
        added = _Fill(0, 0)
        with self._transaction():
            for event in events:
                body = _encode(event)
                cursor = self._db.execute(_INSERT, (str(event["eventId"]), now, body))
                if cursor.rowcount:
                    new.append(event)
                    added += _Fill(1, len(body.encode()))
                    last = cursor.lastrowid or last
            if added.events and self._waiting.size + added.size > self._max_bytes:
                raise self._full()
            if browser_dropped:
                self._db.execute(_COUNT, ("browser_dropped", browser_dropped))
        self._waiting += added
        self._last = last
        return Added(new, last)

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
        with self._transaction():
            waiting, kept = self._waiting, self._rejected
            for seq, reason in rejected:
                self._db.execute(_REJECT, (now, reason[:MAX_REASON_LENGTH], seq))
                moved = self._delete("events", [seq])
                waiting, kept = waiting - moved, kept + moved
                self._db.execute(_COUNT, ("rejected", moved.events))
            waiting -= self._delete("events", delivered)
            kept -= self._trim(kept, now)
        self._waiting, self._rejected = waiting, kept

    def expire(self) -> int:
        """Drops events that have waited too long, the oldest first, and refused ones that were kept as long.

        Returns:
            How many events that waited were dropped, at most `MAX_EXPIRED_EVENTS`: then there may be more.

        Raises:
            SpoolError: nothing could be dropped.
        """
        now = time.time()
        with self._transaction():
            rows = self._db.execute(_EXPIRED, (MAX_EXPIRED_EVENTS, now - self._max_age)).fetchall()
            dropped = self._delete("events", [seq for (seq,) in rows])
            if dropped.events:
                self._db.execute(_COUNT, ("dropped", dropped.events))
            trimmed = self._trim(self._rejected, now)
        self._waiting -= dropped
        self._rejected -= trimmed
        return dropped.events

    def depth(self) -> Depth:
        """How full the spool is.

        Raises:
            SpoolError: it cannot be read.
        """
        try:
            oldest = self._db.execute(_OLDEST).fetchone()
            counters = dict(self._db.execute("SELECT name, value FROM counters").fetchall())
        except sqlite3.Error as error:
            raise self._failure(error) from error
        return Depth(
            self._waiting.events,
            self._waiting.size,
            oldest[0] if oldest else None,
            *(counters.get(name, 0) for name in ("rejected", "dropped", "browser_dropped")),
        )

    def probe(self) -> None:
        """Writes to the disk as `add` does.

        Raises:
            SpoolError: an event could not be taken now.
        """
        if self._waiting.size >= self._max_bytes:
            raise self._full()
        self._check_disk()
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO probe VALUES (0, ?)", (time.time(),))

    def _check_disk(self) -> None:
        try:
            free = shutil.disk_usage(self._folder).free
            if free < MIN_FREE_BYTES:
                # The file does not shrink; what it has no use for is filled first.
                free += self._pragma("freelist_count") * self._pragma("page_size")
        except OSError as error:
            raise SpoolError(f"{self._folder} cannot be used: {error.strerror}") from error
        except sqlite3.Error as error:
            raise self._failure(error) from error
        if free < MIN_FREE_BYTES:
            raise SpoolFullError(f"the disk of {self._folder} has {free} bytes left: {MIN_FREE_BYTES} stay free")

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    def _full(self) -> SpoolFullError:
        return SpoolFullError(f"the spool holds {self._waiting.size} of {self._max_bytes} bytes")

    def _delete(self, table: Literal["events", "rejected"], places: Iterable[int]) -> _Fill:
        removed = _Fill(0, 0)
        for seq in places:
            for (size,) in self._db.execute(_DELETE.format(table), (seq,)).fetchall():
                removed += _Fill(1, size)
        return removed

    def _trim(self, kept: _Fill, now: float) -> _Fill:
        """Deletes the oldest of the refused events until the others are within the bounds."""
        removed = _Fill(0, 0)
        while oldest := self._db.execute(_OLDEST_REJECTED).fetchone():
            seq, rejected = oldest
            left = kept - removed
            fits = left.events <= MAX_REJECTED_EVENTS and left.size <= REJECTED_SHARE * self._max_bytes
            if fits and rejected >= now - self._max_age:
                break
            removed += self._delete("rejected", [seq])
        return removed

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
