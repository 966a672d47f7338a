"""Instructors' sessions: signed tokens that a browser keeps as a cookie.

A session ends when it was not used for its lifetime, when its instructor logs out, gets another password or is
removed. The key is a file, so sessions outlive the process, and servers with the same key know each other's. Which ones
were logged out is kept in the store, as long as they would have lasted.
"""

import base64
import binascii
import hashlib
import hmac
import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

LIFETIME_SECONDS = 12 * 3600
DEVICE_LIFETIME_SECONDS = 180 * 86400
_KEY_BYTES = 32

_log = logging.getLogger(__name__)


class Session(msgspec.Struct, frozen=True, array_like=True):
    """What a token says: whose it is, its id, and when it ends, in seconds since 1970."""

    name: str
    id: str
    ends_at: int


def read_key(path: Path | None) -> bytes:
    """Returns the key of a file that its owner alone can read, made if it is not there.

    Where that is not possible, or there is no path, sessions end with the process.
    """
    if path is None:
        _log.warning("no session key is given; logins will not outlive this process, nor count on another server")
        return secrets.token_bytes(_KEY_BYTES)
    try:
        if not path.exists():
            _create_key(path)
        key = path.read_bytes()
        if len(key) == _KEY_BYTES:
            return key
        _log.warning("%s is not a key of %d bytes; logins will not outlive this process", path, _KEY_BYTES)
    except OSError as error:
        _log.warning("%s cannot be used; logins will not outlive this process: %s", path, error)
    return secrets.token_bytes(_KEY_BYTES)


def _create_key(path: Path) -> None:
    """Makes the key whole or not at all; of several processes the first one's counts."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()


class Sessions:
    """The sessions of the instructors in a password file. Not for several threads."""

    def __init__(self, key: bytes, hashes: Mapping[str, str], *, clock: Callable[[], float] = time.time) -> None:
        """Takes the key that signs, and the password hashes by name."""
        self._key = key
        self._hashes = hashes
        self._clock = clock
        self._ended: dict[str, int] = {}

    def begin(self, name: str) -> str:
        """Returns the token of a new session."""
        return self._token("session", Session(name, secrets.token_urlsafe(12), self._ends_at(LIFETIME_SECONDS)))

    def find(self, token: str) -> Session | None:
        """Returns the session of a token, None if it has ended or never was one."""
        session = self._read("session", token)
        return None if session is None or session.id in self._ended else session

    def prolong(self, session: Session) -> str:
        """Returns a token with which the session lasts for its whole lifetime from now on."""
        return self._token("session", Session(session.name, session.id, self._ends_at(LIFETIME_SECONDS)))

    def end(self, session: Session) -> int:
        """Ends a session for all of its tokens, and returns the longest that any of them can last."""
        ends_at = self._ends_at(LIFETIME_SECONDS)
        self.forget({session.id: ends_at})
        return ends_at

    def forget(self, ended: Mapping[str, int]) -> None:
        """Takes sessions for ended, by id, until times in seconds since 1970."""
        now = self._clock()
        both = {**self._ended, **ended}
        self._ended = {id_: until for id_, until in both.items() if until > now}

    def know_device(self, name: str) -> str:
        """Returns a token that tells that an instructor has logged in with this browser."""
        return self._token("device", Session(name, secrets.token_urlsafe(12), self._ends_at(DEVICE_LIFETIME_SECONDS)))

    def device(self, name: str, token: str) -> str | None:
        """Returns the id of a browser with which this instructor has logged in, None for any other."""
        known = self._read("device", token)
        return known.id if known is not None and known.name == name else None

    def _ends_at(self, seconds: int) -> int:
        return int(self._clock()) + seconds

    def _token(self, purpose: str, session: Session) -> str:
        content = msgspec.json.encode(session)
        return f"{_encode(content)}.{_encode(self._signature(purpose, session.name, content))}"

    def _read(self, purpose: str, token: str) -> Session | None:
        encoded, _, signature = token.partition(".")
        try:
            content = _decode(encoded)
            session = msgspec.json.decode(content, type=Session)
            signed = hmac.compare_digest(_decode(signature), self._signature(purpose, session.name, content))
        except (ValueError, binascii.Error, msgspec.DecodeError):
            return None
        return session if signed and session.name in self._hashes and session.ends_at > self._clock() else None

    def _signature(self, purpose: str, name: str, content: bytes) -> bytes:
        # The hash is part of it: what was signed for one password is worth nothing under the next.
        signed = b"\0".join([purpose.encode(), self._hashes.get(name, "").encode(), content])
        return hmac.digest(self._key, signed, hashlib.sha256)


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
