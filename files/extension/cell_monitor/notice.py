"""What the administrator wants everybody in JupyterLab to know, such as an incident and how long it lasts."""

import hashlib
import json
import logging
import stat
import time
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MAX_FILE_BYTES = 16 * 2**10
MAX_MESSAGE_LENGTH = 1000
SEVERITIES = ("info", "warning")
# A file that was written this recently may be changed again without a new time of change.
SETTLING_SECONDS = 2.0


@dataclass(frozen=True)
class Notice:
    """A notice.

    Attributes:
        message: plain text.
        until: when it stops being of interest, None where it does not.
        severity: one of `SEVERITIES`.
    """

    message: str
    until: datetime | None
    severity: str

    def answer(self) -> dict[str, str | None]:
        """The notice as browsers get it; the id is another when the text or the end is."""
        until = None if self.until is None else self.until.isoformat()
        digest = hashlib.sha256(json.dumps([self.message, until]).encode()).hexdigest()
        return {"id": digest[:16], "message": self.message, "until": until, "severity": self.severity}


class NoticeFile:
    """A file that holds a notice, is empty, or is not there; it is read when it has changed."""

    def __init__(self, path: Path | None, log: logging.Logger | Any) -> None:
        """Takes the file, None for no notices at all, and where to tell that it holds nonsense."""
        self._path = path
        self._log = log
        self._read: tuple[int, ...] | None = None
        self._told: tuple[int, ...] | None = None
        self._notice: Notice | None = None

    def current(self) -> Notice | None:
        """The notice of the moment. A file that holds none that could be shown counts as empty, and is logged once."""
        if self._path is None:
            return None
        version: tuple[int, ...] = ()
        try:
            status = self._path.stat()
            version = (status.st_ino, status.st_size, status.st_mtime_ns)
            if version != self._read:
                self._notice = _load(self._path, status.st_mode)
                self._read = version if time.time() - status.st_mtime > SETTLING_SECONDS else None
        except FileNotFoundError:
            self._notice = self._read = None
        except (OSError, ValueError) as error:
            self._notice = self._read = None
            if version != self._told:
                self._log.warning("Cell Monitor: the notice in %s is not shown: %s", self._path, error)
            self._told = version
        notice = self._notice
        return None if notice is None or (notice.until and notice.until <= datetime.now(UTC)) else notice


def _load(path: Path, mode: int) -> Notice | None:
    # Opening a pipe would wait for somebody to write into it.
    if not stat.S_ISREG(mode):
        raise ValueError("it is not a file")
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it has more than {MAX_FILE_BYTES} bytes")
    return _parse(content) if content.strip() else None


def _parse(content: bytes) -> Notice:
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(fields, dict):
        raise ValueError("it is not a JSON object")
    message, severity = fields.get("message"), fields.get("severity", SEVERITIES[0])
    if not isinstance(message, str) or not _plain(message):
        raise ValueError("its message is not a text with content")
    if len(message) > MAX_MESSAGE_LENGTH:
        raise ValueError(f"its message has more than {MAX_MESSAGE_LENGTH} characters")
    if severity not in SEVERITIES:
        raise ValueError(f"its severity is {severity!r}, not one of {', '.join(SEVERITIES)}")
    return Notice(_plain(message), _until(fields.get("until")), severity)


def _plain(text: str) -> str:
    """The text without control characters, which have no business in a notice, but with its lines."""
    return "".join(
        character for character in text if character == "\n" or unicodedata.category(character) not in ("Cc", "Cs")
    ).strip()


def _until(value: object) -> datetime | None:
    if value in (None, ""):
        return None
    try:
        until = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        until = None
    if until is None or until.tzinfo is None:
        raise ValueError(f"its until is {value!r}, not a time such as 2026-11-24T10:30:00+09:00")
    return until
