"""The writers' tokens: a file of digests, read again when it has changed."""

import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

from event_server.config import ConfigError
from event_server.secret_files import read_lines

LOOK_SECONDS = 1.0

_log = logging.getLogger(__name__)


def read_tokens(path: Path | None) -> dict[bytes, str]:
    """Reads a file of ``name:digest`` lines, SHA-256 in hexadecimal; no path is no tokens.

    A name may have several tokens, as it does while one takes another's place.

    Returns:
        the names by digest.

    Raises:
        ConfigError: the file cannot be read, or a line of it is not of that form.
    """
    found: dict[bytes, str] = {}
    for name, digest in read_lines(path):
        if len(digest) != 64 or not set(digest.lower()) <= set("0123456789abcdef"):
            raise ConfigError(f"The writer {name} needs the SHA-256 of a token as 64 hexadecimal digits.")
        found[bytes.fromhex(digest)] = name
    return found


class Tokens:
    """Whose a token is. What a changed file says counts within a second, so that no token needs a restart."""

    def __init__(self, path: Path | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Reads the file.

        Raises:
            ConfigError: it cannot be used.
        """
        self._path = path
        self._clock = clock
        self._version = _version(path)
        self._names = read_tokens(path)
        self._next_look = clock() + LOOK_SECONDS
        self._trouble = ""

    def name_of(self, token: str) -> str | None:
        """Returns the name of the writer who has a token, None if nobody has it."""
        if self._clock() >= self._next_look:
            self._look()
        # Found by digest: how long the search takes tells nothing of a token.
        return self._names.get(hashlib.sha256(token.encode()).digest())

    def _look(self) -> None:
        self._next_look = self._clock() + LOOK_SECONDS
        version = _version(self._path)
        if version == self._version:
            return
        try:
            self._names = read_tokens(self._path)
        except ConfigError as error:
            # A mistake must not lock out a class.
            if str(error) != self._trouble:
                _log.warning("the writers stay as they were: %s", error)
            self._trouble = str(error)
            return
        self._version, self._trouble = version, ""
        _log.info("the writers were read again: %d tokens", len(self._names))


def _version(path: Path | None) -> tuple[int, int, int] | None:
    try:
        status = path.stat() if path else None
    except OSError:
        return None
    return status and (status.st_ino, status.st_mtime_ns, status.st_size)
