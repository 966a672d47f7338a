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

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from fastapi import HTTPException, Request, WebSocketException
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection
from starlette.status import WS_1008_POLICY_VIOLATION

from event_server.config import ConfigError, Network
from event_server.throttle import Throttle, TooManyAttemptsError
from event_server.tokens import Tokens

SESSION_COOKIE = "event_server_session"

# Where oauth2-proxy and its like name whom they have let in.
_USER_HEADER = "x-forwarded-user"

# Logins beyond these would wait longer than anyone does.
_MAX_WAITING = 64

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


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
        self, tokens: Tokens, tokenless_networks: Sequence[Network], trusted_proxies: Sequence[Network]
    ) -> None:
        self._tokens = tokens
        self._tokenless_networks = tokenless_networks
        self._trusted_proxies = trusted_proxies

    def name_of(self, authorization: str) -> str | None:
        """Returns whose token an Authorization header carries, None if nobody's."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        return self._tokens.name_of(token.strip())

    def may_write_without_token(self, peer: str | None, forwarded_for: str | None) -> bool:
        """Tells whether a request without a token comes from a network that may do so."""
        if not self._tokenless_networks:
            return False
        address = client_address(peer, forwarded_for, self._trusted_proxies)
        return address is not None and _within(address, self._tokenless_networks)


class Instructors:
    """The people who may read, by password.

    Argon2 is slow on purpose, and a script asks often: a password that was right is remembered for a while, as a digest
    that is worthless outside of this process. Wrong ones are limited by address and by name. Who has logged in with
    a browser before is limited by that browser alone, so that nobody can lock an instructor out from elsewhere.
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
        self.hashes = hashes
        # An unknown name costs what a known one does.
        self._decoy = next(iter(hashes.values()), None) or self._hasher.hash(secrets.token_hex())
        self._remember_seconds = remember_seconds
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        self._key = secrets.token_bytes(32)
        # Each verification takes tens of megabytes.
        self._slots = asyncio.Semaphore(2)
        self._waiting = 0
        self._by_address = Throttle(10, 6)
        self._by_name = Throttle(10, 30)

    async def name_of(self, authorization: str, address: str = "") -> str | None:
        """Returns whose name and password an HTTP Basic Authorization header carries, None if nobody's.

        Raises:
            TooManyAttemptsError: too many passwords were wrong.
        """
        credentials = _basic(authorization)
        if credentials is None:
            return None
        name, password = credentials
        digest = hashlib.blake2b(f"{name}:{password}".encode(), key=self._key).digest()
        if self._remembered.get(digest, 0.0) > time.monotonic():
            return name
        if not await self.verify(name, password, address):
            return None
        self._remembered[digest] = time.monotonic() + self._remember_seconds
        while len(self._remembered) > 1000:
            self._remembered.popitem(last=False)
        return name

    async def verify(self, name: str, password: str, address: str, device: str | None = None) -> bool:
        """Tells whether a password is the one of an instructor.

        Args:
            name: the instructor's.
            password: what was typed.
            address: where from, in a form that one client cannot vary.
            device: the id of a browser with which this instructor has logged in before.

        Raises:
            TooManyAttemptsError: too many passwords were wrong.
        """
        if self._waiting >= _MAX_WAITING:
            raise TooManyAttemptsError(1)
        limits = (
            [(self._by_address, ("device", device))]
            if device
            else [(self._by_address, ("address", address)), (self._by_name, hashlib.sha256(name.encode()).digest())]
        )
        for throttle, key in limits:
            throttle.take(key)
        self._waiting += 1
        try:
            async with self._slots:
                right = await asyncio.to_thread(self._verify, name, password)
        finally:
            self._waiting -= 1
        if right:
            for throttle, key in limits:
                throttle.give_back(key)
        return right

    def _verify(self, name: str, password: str) -> bool:
        try:
            return self._hasher.verify(self.hashes.get(name, self._decoy), password) and name in self.hashes
        except (VerificationError, InvalidHashError):
            return False


class InstructorLogin(SecurityBase):
    """A dependency that lets instructors pass, by session, by a proxy's word, or by HTTP Basic.

       FastAPI's own knows ASCII passwords only.
    It serves requests and websockets.
    """

    def __init__(self) -> None:
        self.model = HTTPBase(scheme="basic", description="Browsers send the session's cookie instead.")
        self.scheme_name = "instructor"

    async def __call__(self, connection: HTTPConnection) -> str:
        """Returns the name of the instructor who asks; anyone else is answered 401, or 429 after many tries.

        A websocket of anyone else is refused before it is accepted, which its client sees as 403.
        """
        state = connection.app.state
        session = state.sessions.find(connection.cookies.get(SESSION_COOKIE, ""))
        if session is not None:
            return str(session.name)
        if (by_proxy := name_by_proxy(connection)) is not None:
            return by_proxy
        authorization = connection.headers.get("authorization", "")
        try:
            name: str | None = await state.instructors.name_of(authorization, throttled_address(connection))
        except TooManyAttemptsError as error:
            raise _refusal(connection, 429, str(error), {"Retry-After": str(error.retry_after)}) from None
        if name is None:
            # A page shows its own login, not the browser's.
            by_page = connection.headers.get("sec-fetch-mode", "navigate") != "navigate"
            challenge = "Session" if by_page else "Basic"
            raise _refusal(
                connection,
                401,
                "an instructor's login is needed",
                {"WWW-Authenticate": f'{challenge} realm="Cell Monitor", charset="UTF-8"'},
            )
        return name


instructor = InstructorLogin()


def _refusal(connection: HTTPConnection, status: int, detail: str, headers: dict[str, str]) -> Exception:
    if connection.scope["type"] == "websocket":
        return WebSocketException(WS_1008_POLICY_VIOLATION, detail)
    return HTTPException(status, detail, headers)


def own_page_or_program(request: Request) -> None:
    """A dependency that refuses what a page of another site sends with the login that the browser remembers.

    Browsers say where a POST comes from. What says nothing has to be of a type that no form can send.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and origin is None:
        allowed = request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
    else:
        allowed = site in (None, "same-origin") and (
            origin is None or is_own_origin(origin, request.headers.get("host"))
        )
    if not allowed:
        raise HTTPException(403, "send it from the dashboard's own page, or as application/json")


def name_by_proxy(connection: HTTPConnection) -> str | None:
    """Returns whom a proxy that knows the instructors has let in, None if there is no such proxy."""
    peer = _parse(connection.client.host) if connection.client else None
    if peer is None or not _within(peer, connection.app.state.config.login_proxies):
        return None
    return connection.headers.get(_USER_HEADER, "").strip() or None


def throttled_address(connection: HTTPConnection) -> str:
    """Returns where a connection comes from, as far as one client cannot choose it."""
    peer = connection.client.host if connection.client else None
    trusted = connection.app.state.config.trusted_proxies
    address = client_address(peer, connection.headers.get("x-forwarded-for"), trusted)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def is_secure(connection: HTTPConnection) -> bool:
    """Tells whether a browser has reached the server, or a proxy that is trusted, by TLS."""
    peer = _parse(connection.client.host) if connection.client else None
    if peer is not None and _within(peer, connection.app.state.config.trusted_proxies):
        return connection.headers.get("x-forwarded-proto", connection.url.scheme) in ("https", "wss")
    return connection.url.scheme in ("https", "wss")


def _basic(authorization: str) -> tuple[str, str] | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (name, password) if colon else None
