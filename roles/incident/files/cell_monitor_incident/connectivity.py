"""Events do not reach the event server."""

import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cell_monitor_release import health, systemd
from cell_monitor_release.state import State

from cell_monitor_incident.incident import Incident, IncidentError, Json

_CONFIG = Path("/etc/jupyterlab/jupyter_server_config.json")
_SECONDS = 5
_LOOK_SECONDS = 1


class BrokenError(Exception):
    """A hop does not work; the text says what of it."""


class Way:
    """The way from this host's JupyterLab to the event server, hop by hop.

    Args:
        config: JupyterLab's, as the role writes it.
    """

    def __init__(self, config: Json) -> None:
        settings = config["CellMonitor"]
        self.url: str = settings["event_server_url"]
        self._ca_file: str | None = settings.get("ca_file") or None
        self._token_file = Path(settings["token_file"])
        address = urlsplit(self.url)
        self._host = address.hostname or ""
        self._tls = address.scheme == "https"
        self._port = address.port or (443 if self._tls else 80)
        self.is_here = self._host in ("127.0.0.1", "::1", "localhost")
        server = config.get("ServerApp", {})
        self._jupyterlab = f"http://{server.get('ip', '127.0.0.1')}:{server.get('port', 8888)}/cell-monitor/health"
        self._addresses: list[str] = []

    def hops(self) -> list[tuple[str, Callable[[], str]]]:
        """Returns the hops, in the order in which an event takes them; each says how it is, or raises `BrokenError`."""
        hops: list[tuple[str, Callable[[], str]]] = [
            ("spool", self.spool),
            ("name", self._name),
            ("route", self._route),
        ]
        if self.is_here:
            hops.append(("event server's units", self._units))
        hops.append(("port", self._connect))
        if self._tls:
            hops.append(("TLS", self._handshake))
        # Of another host's proxy only that it passes on is seen from here; of this one's, its configuration too.
        if not self.is_here or Path("/usr/sbin/nginx").exists():
            hops.append(("proxy", self._proxy))
        return [*hops, ("event server and its store", self._health), ("token", self._token)]

    def spool(self) -> str:
        """How many events wait."""
        told = self.waiting()
        if told is None:
            raise BrokenError("JupyterLab does not answer: run playbooks/incidents/service_crash_loop.yml")
        if not told["accepting"]:
            raise BrokenError(f"it takes no events, {told['depth']} wait")
        return f"{told['depth']} events wait"

    def waiting(self) -> Json | None:
        """What the spool tells of itself, None if JupyterLab does not answer."""
        _, answer = health.ask(self._jupyterlab)
        return answer["spool"] if isinstance(answer, dict) and "spool" in answer else None

    def _name(self) -> str:
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise BrokenError(f"{self._host} has no address: {error}") from error
        self._addresses = sorted({str(one[4][0]) for one in found})
        return f"{self._host} is {', '.join(self._addresses)}"

    def _route(self) -> str:
        for address in self._addresses:
            done = systemd.run(["ip", "route", "get", address], _SECONDS)
            if done.returncode == 0:
                return done.stdout.split("\n", 1)[0].strip()
            if done.returncode == 127:
                return "the host has no ip(8) to ask"
        raise BrokenError(f"there is no route to {', '.join(self._addresses)}")

    def _units(self) -> str:
        for unit in ("event-server.socket", "event-server.service"):
            service = systemd.show(unit)
            if service.loaded and not service.active:
                raise BrokenError(f"{unit} is {service.state}: run playbooks/incidents/service_crash_loop.yml")
        return "they run"

    def _connect(self) -> str:
        try:
            socket.create_connection((self._host, self._port), _SECONDS).close()
        except OSError as error:
            raise BrokenError(f"port {self._port} of {self._host} does not open: {error}") from error
        return f"port {self._port} opens"

    def _handshake(self) -> str:
        try:
            with (
                socket.create_connection((self._host, self._port), _SECONDS) as plain,
                self._context().wrap_socket(plain, server_hostname=self._host) as secure,
            ):
                return f"{secure.version()}, the certificate is good"
        except (OSError, ssl.SSLError) as error:
            told = getattr(error, "verify_message", "") or error
            raise BrokenError(f"{told}: run playbooks/incidents/certificate_expired.yml") from error

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._ca_file)

    def _proxy(self) -> str:
        if Path("/usr/sbin/nginx").exists():
            done = systemd.run(["/usr/sbin/nginx", "-t", "-q"], 30)
            if done.returncode:
                raise BrokenError(f"nginx refuses its configuration: {done.stderr.strip().splitlines()[-1]}")
            if not systemd.show("nginx.service").active:
                raise BrokenError("nginx does not run: run playbooks/incidents/service_crash_loop.yml")
            return "nginx runs, and takes its configuration"
        status, _ = self._ask("/health")
        if status in (502, 504):
            raise BrokenError(f"it answers {status}: it does not reach the event server")
        return "it passes on"

    def _health(self) -> str:
        status, answer = self._ask("/health")
        if status != 200:
            raise BrokenError(f"{answer[:200] or 'it does not answer'} ({status})")
        return "it is healthy, and can store"

    def _token(self) -> str:
        status, answer = self._ask(urlsplit(self.url).path, b"[]")
        if status == 401:
            raise BrokenError("it is refused: run playbooks/rotate_tokens.yml")
        if status != 202:
            raise BrokenError(f"an empty delivery is answered {status}: {answer[:200]}")
        return "it is taken"

    def _ask(self, path: str, body: bytes | None = None) -> tuple[int, str]:
        address = urlsplit(self.url)
        request = urllib.request.Request(f"{address.scheme}://{address.netloc}{path}", data=body)  # noqa: S310
        if body is not None:
            request.add_header("Authorization", f"Bearer {self._token_file.read_text(encoding='utf-8').strip()}")
            request.add_header("Content-Type", "application/json")
        handlers: list[Any] = [urllib.request.ProxyHandler({})]
        if self._tls:
            handlers.append(urllib.request.HTTPSHandler(context=self._context()))
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=10) as answer:
                return answer.status, answer.read(1 << 16).decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.code, error.read(1 << 16).decode(errors="replace")
        except OSError as error:
            return 0, str(error)


def way() -> Way:
    """Reads where events go.

    Raises:
        IncidentError: this host collects none.
    """
    try:
        return Way(json.loads(_CONFIG.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError) as error:
        raise IncidentError(f"{_CONFIG} does not say where events go: this host collects none.") from error


def begin(incident: Incident, _: Json) -> None:
    """Says in one sentence where the way breaks. Events wait here meanwhile, as always."""
    here = way()
    lines = []
    for name, look in here.hops():
        try:
            told = look()
        except BrokenError as broken:
            incident.see(f"it breaks at the {name}: {broken}.", wrong=True)
            break
        lines.append(f"{name}: {told}")
    if not incident.wrong:
        incident.see(f"events reach {here.url}: {'; '.join(lines)}.")
        return
    incident.see(f"before it, all is well: {'; '.join(lines) or 'nothing is'}.")
    units = ["jupyterlab.service", "event-server.service", "nginx.service"]
    incident.keep("journal.txt", systemd.journal(units, time.time() - 900))
    state = State()
    for line in state.history()[-1:]:
        incident.see(f"the last change was a {line['verb']} at {line['when']} by {line['who']} ({line['result']}).")
    if not incident.was_open:
        incident.do("left events to the spool, which sends them by itself when the way is whole.")
    incident.left.append(
        "mend that hop; then run this playbook with -e incident_state=absent, which waits until all was sent."
    )


def end(incident: Incident, options: Json) -> None:
    """Waits until the spool is empty.

    Raises:
        IncidentError: the way is not whole, or the spool does not empty in time.
    """
    here = way()
    for name, look in here.hops():
        try:
            look()
        except BrokenError as broken:
            raise IncidentError(f"it still breaks at the {name}: {broken}.") from broken
    began = time.monotonic()
    first = left = (here.waiting() or {}).get("depth") or 0
    while left and not incident.check:
        if time.monotonic() - began > options["drain_seconds"]:
            raise IncidentError(f"{left} of {first} events still wait after {options['drain_seconds']:g} s.")
        time.sleep(_LOOK_SECONDS)
        left = (here.waiting() or {}).get("depth") or 0
    incident.see(f"{first} events waited; the spool was empty after {time.monotonic() - began:.0f} s.")
    incident.do("ended the offline mode.")
