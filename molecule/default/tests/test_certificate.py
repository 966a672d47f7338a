"""A certificate of the administrator's own, from files on the controller."""

from __future__ import annotations

import json
import ssl
import subprocess
from pathlib import Path

from conftest import Server, ansible_playbook

testinfra_hosts = ["ssh://debian13"]


def served(server: Server) -> str:
    """The certificate that a browser is shown."""
    return ssl.get_server_certificate((server.address, 443)).strip()


def test_the_proxy_shows_the_certificate_of_the_files(server: Server, tmp_path: Path) -> None:
    certificate, key = tmp_path / "own.crt", tmp_path / "own.key"
    subject = ["-subj", "/CN=own", "-addext", f"subjectAltName=IP:{server.address}"]
    command = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "30", *subject]
    subprocess.run(
        [*command, "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    before = served(server)
    files = {
        "web_proxy_tls_source": "files",
        "web_proxy_tls_certificate": str(certificate),
        "web_proxy_tls_key": str(key),
    }
    try:
        run = ansible_playbook("site.yml", "--limit", server.name, "--extra-vars", json.dumps(files))
        assert run.returncode == 0, run.stdout
        assert served(server) == certificate.read_text().strip()
        assert key.read_text() not in run.stdout
    finally:
        ansible_playbook("site.yml", "--limit", server.name)
    assert served(server) == before
