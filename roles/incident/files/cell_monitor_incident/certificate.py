"""The proxy's certificate has ended, or soon will."""

import hashlib
import re
import socket
import ssl
import subprocess
import time
from pathlib import Path

from cell_monitor_release import systemd

from cell_monitor_incident.incident import Incident, Json

FILE = Path("/etc/nginx/cell-monitor.pem")
_DAYS = 30


def begin(incident: Incident, options: Json) -> None:
    """Says what nginx serves and until when; the playbook renews it."""
    served = _served(int(options["https_port"]))
    if served is None:
        incident.see("nginx serves no certificate: run playbooks/incidents/service_crash_loop.yml first.", wrong=True)
        return
    pem = ssl.DER_cert_to_PEM_cert(served)
    days = days_left(pem)
    until = f"it ends in {days:.0f} days" if days >= 0 else f"it ended {-days:.0f} days ago"
    incident.see(f"nginx serves a certificate for {names(pem)}; {until}.", wrong=days < _DAYS)
    installed = _first(FILE.read_text(encoding="ascii"))
    if installed and _digest(installed) != _digest(pem):
        incident.see(f"{FILE} holds another one, which nginx has not read.", wrong=True)
    synchronised = systemd.run(["timedatectl", "show", "--property=NTPSynchronized", "--value"]).stdout.strip()
    if incident.wrong and synchronised == "no":
        incident.see("the host's clock is not synchronised: see whether it is right.")
    if incident.wrong:
        incident.keep("served.pem", pem)


def _served(port: int) -> bytes | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            return secure.getpeercert(binary_form=True)
    except OSError:
        return None


def days_left(pem: str) -> float:
    """How many days a certificate is still good; less than 0 if it is not."""
    told = _openssl(pem, "-enddate")
    found = re.search(r"notAfter=(.*)", told)
    return (ssl.cert_time_to_seconds(found[1]) - time.time()) / 86400 if found else -1


def names(pem: str) -> str:
    """For which names and addresses a certificate is."""
    found = re.findall(r"(?:DNS|IP Address):([^,\s]+)", _openssl(pem, "-ext", "subjectAltName"))
    return ", ".join(found) or "nobody"


def _openssl(pem: str, *what: str) -> str:
    command = ["/usr/bin/openssl", "x509", "-noout", *what]
    return subprocess.run(command, input=pem, check=False, capture_output=True, text=True).stdout  # noqa: S603


def _first(text: str) -> str:
    found = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", text, re.DOTALL)
    return found[0] if found else ""


def _digest(pem: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def end(incident: Incident, options: Json) -> None:
    """A certificate that has ended is not brought back."""
    served = _served(int(options["https_port"]))
    days = days_left(ssl.DER_cert_to_PEM_cert(served)) if served else -1
    incident.see(f"the certificate is good for {days:.0f} days; the one before is not brought back.")
