"""Who may write events and who may read them."""

import asyncio
import base64
import binascii
import hashlib
import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from event_server.config import ConfigError, Network

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def read_secrets(path: Path | None) -> dict[str, str]:
    """Reads a file of ``name:hash`` lines; no path is no names.

    Raises:
        ConfigError: the file cannot be read, or a line of it is not of that form.
    """
    if path is None:
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, digest = line.strip().partition(":")
        if not name or not digest or name in found:
            raise ConfigError(f"Line {number} of {path} has to be name:hash, with a name of its own.")
        found[name] = digest
    return found


def client_address(peer: str | None, forwarded_for: str | None, trusted_proxies: Sequence[Network]) -> _Address | None:
    """Returns the address a request came from: the nearest one that is not a proxy we trust; None if unknown.

    Args:
        peer: the address of the other end of the connection.
        forwarded_for: the X-Forwarded-For header, each proxy's client appended to it.
        trusted_proxies: whose word is taken for it.
    """
    address = _parse(peer or "")
    for hop in reversed(forwarded_for.split(",") if forwarded_for else []):
        if address is None or not _within(address, trusted_proxies):
            break
        address = _parse(hop.strip())
    return address


def is_own_origin(origin: str, host: str | None) -> bool:
    """Tells whether an Origin header names the server that the Host header does."""
    return origin.partition("://")[2] == host


def _parse(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _within(address: _Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


class Writers:
    """The holders of writer tokens, and the networks that need none."""

    def __init__(
        self, digests: dict[str, str], tokenless_networks: Sequence[Network], trusted_proxies: Sequence[Network]
    ) -> None:
        """Takes the SHA-256 digests of the tokens by name, in hexadecimal.

        Raises:
            ConfigError: a digest is not of that form.
        """
        for name, digest in digests.items():
            if len(digest) != 64 or not set(digest.lower()) <= set("0123456789abcdef"):
                raise ConfigError(f"The writer {name} needs the SHA-256 of a token as 64 hexadecimal digits.")
        self._names = {bytes.fromhex(digest): name for name, digest in digests.items()}
        self._tokenless_networks = tokenless_networks
        self._trusted_proxies = trusted_proxies

    def name_of(self, authorization: str) -> str | None:
        """Returns whose token an Authorization header carries, None if nobody's."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        # Found by digest: how long the search takes tells nothing of a token.
        return self._names.get(hashlib.sha256(token.strip().encode()).digest())

    def may_write_without_token(self, peer: str | None, forwarded_for: str | None) -> bool:
        """Tells whether a request without a token comes from a network that may do so."""
        if not self._tokenless_networks:
            return False
        address = client_address(peer, forwarded_for, self._trusted_proxies)
        return address is not None and _within(address, self._tokenless_networks)


class Instructors:
    """The people who may read, by password.

    Argon2 is slow on purpose, and a dashboard asks often: a password that was right is remembered for a while, as a
    digest that is worthless outside of this process.
    """

    def __init__(self, hashes: dict[str, str], *, remember_seconds: float = 300.0) -> None:
        """Takes the argon2id hashes by name.

        Raises:
            ConfigError: a hash is not one of argon2id.
        """
        self._hasher = PasswordHasher()
        for name, digest in hashes.items():
            try:
                known = self._hasher.check_needs_rehash(digest) in (True, False) and digest.startswith("$argon2id$")
            except InvalidHashError:
                known = False
            if not known:
                raise ConfigError(f"The instructor {name} needs an argon2id hash, $argon2id$...")
        self._hashes = hashes
        # An unknown name costs what a known one does.
        self._decoy = next(iter(hashes.values()), None) or self._hasher.hash(secrets.token_hex())
        self._remember_seconds = remember_seconds
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        self._key = secrets.token_bytes(32)
        # Each verification takes tens of megabytes.
        self._slots = asyncio.Semaphore(2)

    async def name_of(self, authorization: str) -> str | None:
        """Returns whose name and password an HTTP Basic Authorization header carries, None if nobody's."""
        credentials = _basic(authorization)
        if credentials is None:
            return None
        name, password = credentials
        digest = hashlib.blake2b(f"{name}:{password}".encode(), key=self._key).digest()
        if self._remembered.get(digest, 0.0) > time.monotonic():
            return name
        async with self._slots:
            right = await asyncio.to_thread(self._verify, name, password)
        if not right:
            return None
        self._remembered[digest] = time.monotonic() + self._remember_seconds
        while len(self._remembered) > 1000:
            self._remembered.popitem(last=False)
        return name

    def _verify(self, name: str, password: str) -> bool:
        try:
            return self._hasher.verify(self._hashes.get(name, self._decoy), password) and name in self._hashes
        except (VerificationError, InvalidHashError):
            return False


def _basic(authorization: str) -> tuple[str, str] | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (name, password) if colon else None
