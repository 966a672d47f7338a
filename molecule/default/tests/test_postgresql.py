"""A database for several event servers: from the file to PostgreSQL by site.yml, and back."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import CREDENTIALS, Server, address, ansible_playbook, event, eventually, exposure
from testinfra.host import Host

testinfra_hosts = ["ssh://debian13"]

COMMAND = "/opt/event-server/current/bin/event-server"


@pytest.fixture(scope="module")
def password(host: Host, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's PostgreSQL on the host, with a database that the event server keeps its events in meanwhile."""
    password = secrets.token_urlsafe(24)
    host.check_output(
        "export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && "
        "apt-get -qq -o Dpkg::Use-Pty=0 install --yes --no-install-recommends postgresql >/dev/null"
    )
    psql(host, "postgres", f"CREATE ROLE events LOGIN PASSWORD '{password}'")
    psql(host, "postgres", "CREATE DATABASE events OWNER events")
    variables = tmp_path_factory.mktemp("variables") / "postgresql.json"
    variables.write_text(
        json.dumps(
            {
                "event_server_database_url": "postgresql://events@127.0.0.1/events",
                "event_server_database_password": password,
            }
        )
    )
    deploy(server, variables)
    yield password
    deploy(server)
    assert not host.service("prometheus-postgres-exporter").is_running
    host.check_output("systemctl disable --now --quiet postgresql")


def deploy(server: Server, variables: Path | None = None) -> None:
    """Run site.yml on the host."""
    run = ansible_playbook("site.yml", "--limit", server.name, *(["-e", f"@{variables}"] if variables else []))
    assert run.returncode == 0, run.stdout


def psql(host: Host, database: str, statement: str) -> str:
    """Ask the database."""
    command = "setpriv --reuid=postgres --regid=postgres --init-groups psql -XAtq -d %s -c %s"
    return str(host.check_output(command, database, statement))


def post(server: Server, email: str) -> tuple[int, bool]:
    """Post an event through the proxy; returns the status, and whether the client is told to come back."""
    with server.client(headers={"Authorization": f"Bearer {server.token}"}) as client:
        answer = client.post("/api/v1/events", json=[event(email)])
        return answer.status_code, "retry-after" in answer.headers


@pytest.mark.usefixtures("password")
def test_events_are_in_the_database(server: Server, host: Host) -> None:
    email = address("postgresql")
    assert post(server, email) == (202, False)
    assert psql(host, "events", f"SELECT count(*) FROM events WHERE email_address = '{email}'") == "1"  # noqa: S608
    student = server.student(email)
    assert student is not None
    assert student["cellExecutions"] == 1
    checks = json.loads(host.check_output(f"{COMMAND} check --json"))
    assert checks["ok"], checks
    host.run_test("systemctl start event-server-prune.service")


def test_the_password_is_for_the_service_alone(host: Host, password: str) -> None:
    file = host.file("/etc/event-server/database-password")
    assert (file.user, file.group, file.mode) == ("root", "root", 0o600)
    visible = host.check_output(
        "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ /etc/event-server/config.toml 2>/dev/null; "
        "journalctl --no-pager -u event-server -u cell-monitor-release"
    )
    assert password not in visible


@pytest.mark.usefixtures("password")
def test_a_database_that_is_away_comes_back(server: Server, host: Host) -> None:
    host.check_output("systemctl stop postgresql@*")
    try:
        assert post(server, address("away")) == (503, True)
        with server.client() as client:
            assert client.get("/health").status_code == 503
        assert figures(server)["pg_up"] == "0"
    finally:
        host.check_output("systemctl start postgresql")
    eventually(lambda: post(server, address("back"))[0], lambda status: status == 202)
    assert figures(server)["pg_up"] == "1"


@pytest.mark.usefixtures("password")
def test_the_monitoring_sees_it(server: Server, host: Host) -> None:
    assert exposure(host, "prometheus-postgres-exporter.service") <= 1.5
    told = eventually(lambda: figures(server), lambda told: told["pg_up"] == "1")
    assert float(told["pg_database_size_bytes"]) > 1_000_000
    assert float(told["pg_settings_max_connections"]) >= float(told["pg_stat_database_numbackends"]) > 0


def figures(server: Server) -> dict[str, str]:
    """What Prometheus is told of the database through the proxy."""
    login = "prometheus", (CREDENTIALS / "monitoring_password").read_text().strip()
    with server.client(auth=login) as client:
        answer = client.get("/monitoring/postgresql")
    answer.raise_for_status()
    found = re.findall(r'(?m)^(\w+)(?:{[^}]*datname="events"[^}]*}|{[^d}]*})? (\S+)$', answer.text)
    return dict(found)


@pytest.mark.usefixtures("password")
def test_a_database_that_the_release_cannot_read_is_not_switched_to(host: Host) -> None:
    shown = json.loads(host.check_output(f"{COMMAND} schema --json"))
    assert shown["usable"]
    psql(host, "events", "UPDATE schema_version SET readable_from = 99, version = 99")
    try:
        run = host.run(f"{COMMAND} schema --json")
        assert (run.rc, json.loads(run.stdout)["usable"]) == (1, False)
    finally:
        version, readable = shown["store"]["version"], shown["store"]["readableFrom"]
        psql(host, "events", f"UPDATE schema_version SET readable_from = {readable}, version = {version}")  # noqa: S608
