"""Each fault is caused for real; the administrator hears of it in time, and hears when it is over."""

from __future__ import annotations

import email
import email.policy
import ipaddress
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import httpx
import pytest
from certificates import expire
from conftest import CREDENTIALS, Server, address, ansible_playbook, event
from testinfra.host import Host

# A tenth of the time that an administrator's rules take.
FACTOR = 0.1
INTERVAL = 5
# What passes until an alert's cause is seen, its rate has risen or fallen, and its notification is sent.
SLACK = 3 * INTERVAL + 300 * FACTOR + 120 * FACTOR + 15


@dataclass
class Heard:
    """What the receivers were told, with the time in seconds of the monotonic clock."""

    told: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    watchdog: list[float] = field(default_factory=list)
    slack: list[dict[str, Any]] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)

    def of(self, alert: str, instance: str, status: str, since: float) -> tuple[float, dict[str, Any]] | None:
        """The first notification of an alert after a time."""
        for when, content in list(self.told):
            labels = content["labels"]
            if (
                when >= since
                and content["status"] == status
                and labels["alertname"] == alert
                and labels.get("instance") == instance
            ):
                return when, content
        return None


@pytest.fixture(scope="module")
def receiver(server: Server) -> Iterator[tuple[Heard, str, str]]:
    """A webhook and a mail server on this machine's end of the hosts' network, and their addresses."""
    heard = Heard()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/watchdog":
                heard.watchdog.append(time.monotonic())
            elif self.path == "/slack":
                heard.slack.append(content)
            else:
                heard.told += [(time.monotonic(), alert) for alert in content["alerts"]]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class MailHandler(StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 mail\r\n")
            for line in self.rfile:
                verb = line[:4].upper()
                if verb == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = iter(self.rfile.readline, b".\r\n")
                    text = b"".join(one.removeprefix(b".") for one in lines)
                    heard.mails.append(email.message_from_bytes(text, policy=email.policy.default))
                self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 mail\r\n")
                if verb == b"QUIT":
                    return

    here = str(ipaddress.ip_network(f"{server.address}/24", strict=False)[1])
    with ThreadingHTTPServer((here, 0), Handler) as web, ThreadingTCPServer((here, 0), MailHandler) as mail:
        for listening in (web, mail):
            threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield heard, f"http://{here}:{web.server_port}", f"{here}:{mail.server_address[1]}"
        for listening in (web, mail):
            listening.shutdown()


@dataclass(frozen=True)
class Fault:
    """How something is broken and mended, as commands on the host, and after how many seconds its alert is due."""

    alert: str
    seconds: float
    cause: str
    mend: str = ""
    meanwhile: str = ""


AT_WORK = [
    # The first, because a start of JupyterLab mends what the others break.
    Fault(
        "MemoryHigh",
        300,
        "mkdir --parents /run/hog /run/systemd/system/jupyterlab.service.d"
        " && echo 'kept = bytearray(b\"x\") * 600_000_000' >/run/hog/sitecustomize.py"
        " && printf '[Service]\\nEnvironment=PYTHONPATH=/run/hog\\n' >/run/systemd/system/jupyterlab.service.d/hog.conf"
        " && systemctl daemon-reload && systemctl restart jupyterlab",
        "rm --recursive /run/hog /run/systemd/system/jupyterlab.service.d"
        " && systemctl daemon-reload && systemctl restart jupyterlab",
    ),
    Fault(
        "KernelKilledForMemory",
        0,
        "systemd-run --quiet --wait --collect --slice jupyter-kernels.slice --property MemoryMax=50M"
        " python3 -c 'b\"x\" * (200 << 20)' || true",
    ),
    Fault(
        "ResponseSlow",
        120,
        # Somebody else holds the store's lock for 3 s at a time.
        "systemd-run --quiet --unit slow-store --uid event-server python3 -c '"
        "import sqlite3, time\n"
        'store = sqlite3.connect("/var/lib/event-server/events.sqlite3", timeout=60, isolation_level=None)\n'
        "while True:\n"
        '    store.execute("BEGIN IMMEDIATE"); time.sleep(3); store.execute("ROLLBACK"); time.sleep(0.1)\n'
        "'",
        "systemctl stop slow-store",
        meanwhile="post",
    ),
    Fault(
        "ErrorsMany",
        120,
        "chmod 000 /var/lib/jupyterlab/notebooks",
        "chmod 700 /var/lib/jupyterlab/notebooks",
        meanwhile="browse",
    ),
    Fault(
        "DiskFull",
        300,
        "fallocate --length $(df --block-size=1M --output=size,avail / | awk 'NR == 2 {print int($2 - 0.06 * $1)}')M"
        " /var/filler",
        "rm /var/filler",
    ),
    Fault(
        "UnitFailed",
        120,
        "systemd-run --quiet --unit homework --on-active 1 --timer-property AccuracySec=1s false",
        "systemctl reset-failed homework.service",
    ),
]
DOWN = [
    Fault("JupyterLabDown", 60, "systemctl stop jupyterlab", "systemctl start jupyterlab"),
    Fault("CertificateInvalid", 60, "", "mv /root/good.pem /etc/nginx/cell-monitor.pem && systemctl reload nginx"),
]
BACKUP = Fault(
    "BackupOld", 600 + 360, "systemctl stop cell-monitor-backup.timer", "systemctl start cell-monitor-backup.service"
)
FAULTS = [*AT_WORK, *DOWN, BACKUP]


@dataclass(frozen=True)
class Story:
    """When which alert came and went, in seconds after its cause and its mending, and what it said."""

    came: dict[str, float] = field(default_factory=dict)
    went: dict[str, float] = field(default_factory=dict)
    said: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Alerts that something else on this machine may have caused too.
    blurred: set[str] = field(default_factory=set)

    def needs(self, fault: Fault) -> None:
        """Skip a test of an alert that need not be the fault's."""
        if fault.alert in self.blurred:
            pytest.skip("something else on this machine was killed for its memory")


def kills() -> int:
    """What the kernel has killed for memory: it counts for the machine, whose hosts are containers."""
    found = re.search(r"^oom_kill (\d+)$", Path("/proc/vmstat").read_text(), re.MULTILINE)
    assert found
    return int(found[1])


@pytest.fixture(scope="module")
def story(server: Server, host: Host, receiver: tuple[Heard, str, str]) -> Story:
    """Break everything, side by side, and mend it again."""
    heard, url, mail = receiver
    everything = ["proxy", "event_server", "jupyterlab"]
    absent = str(ipaddress.ip_address(server.address) + 100)
    settings = {
        "monitoring_time_factor": FACTOR,
        "monitoring_scrape_interval": INTERVAL,
        "monitoring_class_hours": [],
        "monitoring_webhook_urls": [f"{url}/alerts"],
        "monitoring_watchdog_url": f"{url}/watchdog",
        "monitoring_slack_url": f"{url}/slack",
        "monitoring_slack_channel": "#servers",
        "monitoring_mail_to": ["admin@example.jp", "office@example.jp"],
        "monitoring_mail_from": "class@example.jp",
        "monitoring_mail_server": mail,
        "monitoring_mail_tls": False,
        "monitoring_backup_age_hours": 360 * FACTOR / 3600,
        "monitoring_targets": [
            {"name": server.name, "address": server.address, "has": everything},
            {"name": "absent", "address": absent, "has": everything},
        ],
    }
    killed = kills()
    host.check_output("systemctl start cell-monitor-backup.service")
    done = ansible_playbook("playbooks/monitoring.yml", "--limit", server.name, "--extra-vars", json.dumps(settings))
    assert done.returncode == 0, done.stdout
    told = Story()

    def wait(faults: list[Fault], status: str, since: dict[str, float], seconds: dict[str, float]) -> None:
        for fault in faults:
            limit = since[fault.alert] + SLACK + (fault.seconds * FACTOR if status == "firing" else 600 * FACTOR)
            while not (found := heard.of(fault.alert, server.name, status, since[fault.alert])):
                if time.monotonic() > limit:
                    break
                time.sleep(0.2)
            if found:
                seconds[fault.alert] = round(found[0] - since[fault.alert], 1)
                told.said.setdefault(fault.alert, found[1])

    def cause(faults: list[Fault]) -> dict[str, float]:
        since = {}
        for fault in faults:
            since[fault.alert] = time.monotonic()
            if fault.alert == "CertificateInvalid":
                expire(server, host)
            else:
                host.check_output(fault.cause.replace("%", "%%"))
        return since

    def mend(faults: list[Fault], caused: dict[str, float]) -> dict[str, float]:
        since = dict(caused)
        for fault in faults:
            # What passes by itself may be over before the others are mended.
            if fault.mend:
                since[fault.alert] = time.monotonic()
                host.check_output(fault.mend)
        return since

    backup = cause([BACKUP])
    with ExitStack() as stack:
        for fault in AT_WORK:
            if fault.meanwhile:
                stack.enter_context(repeated({"post": post, "browse": browse}[fault.meanwhile], server))
        at_work = cause(AT_WORK)
        wait(AT_WORK, "firing", at_work, told.came)
        wait(AT_WORK, "resolved", mend(AT_WORK, at_work), told.went)
    if kills() > killed + 1:
        told.blurred.add("KernelKilledForMemory")
    down = cause(DOWN)
    wait(DOWN, "firing", down, told.came)
    wait([BACKUP], "firing", backup, told.came)
    both = [*DOWN, BACKUP]
    wait(both, "resolved", mend(both, down | backup), told.went)
    return told


def post(server: Server) -> None:
    """What students' JupyterLab does."""
    with server.client(headers={"Authorization": f"Bearer {server.token}"}) as client:
        client.post("/api/v1/events", json=[event(address("alerts"))])


def browse(server: Server) -> None:
    """A student who looks at the files."""
    with server.jupyter() as client:
        for _ in range(5):
            client.get("/api/contents")
            time.sleep(0.5)


@contextmanager
def repeated(work: Callable[[Server], None], server: Server) -> Iterator[None]:
    """Does something over and over, by a few at once."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            try:
                work(server)
            # Nobody can log in while JupyterLab is started.
            except (httpx.HTTPError, KeyError, AssertionError):
                time.sleep(0.5)
            time.sleep(0.1)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    yield
    over.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.alert)
def test_the_administrator_hears_of_it_in_time(story: Story, fault: Fault) -> None:
    story.needs(fault)
    assert fault.alert in story.came, f"only {story.came}"
    print(f"{fault.alert}: {story.came[fault.alert]} s after its cause")
    assert story.came[fault.alert] <= fault.seconds * FACTOR + SLACK


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.alert)
def test_and_when_it_is_over(story: Story, fault: Fault) -> None:
    story.needs(fault)
    assert fault.alert in story.went, f"only {story.went}"
    print(f"{fault.alert}: over {story.went[fault.alert]} s after it was mended")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.alert)
def test_it_says_what_students_notice_and_where_to_read_on(story: Story, server: Server, fault: Fault) -> None:
    story.needs(fault)
    said = story.said[fault.alert]["annotations"]
    assert server.name in said["summary"]
    assert server.name in said["summary_ja"]
    assert "error expanding" not in str(said)
    password = (CREDENTIALS / "administrator_password").read_text().strip()
    with server.client(auth=("administrator", password)) as client:
        page = client.get(said["runbook_url"])
    assert page.status_code == 200
    assert page.text.startswith(f"# {fault.alert}\n")
    assert said["description"] in page.text
    assert said["description_ja"] in page.text


def test_mail_and_slack_say_so_too(story: Story, receiver: tuple[Heard, str, str]) -> None:
    heard = receiver[0]
    said = story.said["JupyterLabDown"]["annotations"]
    mails = {str(mail["Subject"]).strip(): mail for mail in heard.mails}
    assert {f"[発生] {said['summary_ja']}", f"[解消] {said['summary_ja']}"} <= set(mails)
    mail = mails[f"[発生] {said['summary_ja']}"]
    assert (mail["From"], mail["To"]) == ("class@example.jp", "admin@example.jp, office@example.jp")
    body = mail.get_body(("plain",))
    assert body is not None
    messages = {one["attachments"][0]["title"].strip(): one for one in heard.slack}
    message = messages[f"[発生] {said['summary_ja']}"]
    assert message["channel"] == "#servers"
    for text in (body.get_content(), message["attachments"][0]["text"]):
        assert all(said[name] in text for name in ("summary", "description_ja", "description", "runbook_url"))


@pytest.mark.usefixtures("story")
def test_addresses_of_receivers_are_in_no_log(host: Host, receiver: tuple[Heard, str, str]) -> None:
    found = host.run("journalctl --no-pager --output cat | grep --fixed-strings --count -e %s", receiver[1])
    assert found.stdout.strip() == "0"


@pytest.mark.usefixtures("story")
def test_a_host_that_is_down_says_so_once(receiver: tuple[Heard, str, str]) -> None:
    heard = receiver[0]
    assert {alert["labels"]["alertname"] for _, alert in heard.told if alert["labels"].get("instance") == "absent"} == {
        "HostDown"
    }


@pytest.mark.usefixtures("story")
def test_the_dead_mans_switch_is_held(receiver: tuple[Heard, str, str]) -> None:
    heard = receiver[0]
    assert len(heard.watchdog) >= 3
    assert max(after - before for before, after in zip(heard.watchdog, heard.watchdog[1:], strict=False)) < 60
