"""What is seen of an incident, what is written down, and which playbook an alert calls for."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from cell_monitor_incident import (
    certificate,
    cli,
    connectivity,
    crash_loop,
    disk_full,
    host,
    incident,
    intrusion,
    memory_leak,
    slow_class,
    status,
)
from cell_monitor_release import systemd
from loopback import Request, serve

PROJECT = Path(__file__).parents[2]
OPENSSL = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
OPENSSL += ["-days", "9", "-subj", "/CN=a"]
PLAYBOOKS = PROJECT / "playbooks" / "incidents"
ROLES = PROJECT / "roles"
ROLE_NAMES = ("incident", "monitoring", "web_proxy")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for records, and metrics beside it."""
    monkeypatch.setattr(incident.expose, "__defaults__", (incident.FOLDER, tmp_path / "metrics" / "incidents.prom"))
    return tmp_path / "incidents"


class TestAgreement:
    def test_each_alert_has_a_playbook_that_its_page_names(self) -> None:
        pages = {page.stem: page.read_text(encoding="utf-8") for page in (PROJECT / "docs" / "runbooks").glob("*.md")}
        assert set(status.PLAYBOOKS) == set(pages)
        for alert, playbook in status.PLAYBOOKS.items():
            assert (PROJECT / playbook).exists()
            command = f"`ansible-playbook -i inventories/<name> {playbook}`"
            assert f"**Playbook.** {command}" in pages[alert], alert
            assert f"**プレイブック** {command}" in pages[alert], alert

    def test_each_playbook_names_its_alerts(self) -> None:
        books = {path.stem: path.read_text(encoding="utf-8") for path in PLAYBOOKS.glob("*.yml")}
        assert set(books) == set(incident.SEVERITIES)
        for kind, text in books.items():
            named = re.match(r"# Alerts: (.*)\.\n", text)
            assert named, kind
            wanted = {alert for alert, book in status.PLAYBOOKS.items() if book == f"playbooks/incidents/{kind}.yml"}
            if wanted:
                assert set(named[1].split(", ")) == wanted, kind
            else:
                assert named[1].startswith("none; ")

    def test_a_host_sees_what_its_alerts_see(self) -> None:
        roles = {name: yaml.safe_load((ROLES / name / "defaults/main.yml").read_text()) for name in ROLE_NAMES}
        found = {}
        for name, value in roles["incident"].items():
            if told := re.fullmatch(r"{{ (\w+) \| default\((\S+)\) }}", str(value)):
                role = max((role for role in ROLE_NAMES if told[1].startswith(role)), key=len)
                assert float(told[2]) == roles[role][told[1]], name
                found[name.removeprefix("incident_")] = float(told[2])
        assert found == {name: cli.OPTIONS[name] for name in found}
        others = {name: roles["incident"][f"incident_{name}"] for name in set(cli.OPTIONS) - set(found)}
        assert others == {name: cli.OPTIONS[name] for name in others}

    def test_each_playbook_handles_its_own_kind(self) -> None:
        for path in PLAYBOOKS.glob("*.yml"):
            tasks = [
                task for play in yaml.safe_load(path.read_text(encoding="utf-8")) for task in play.get("tasks", [])
            ]
            kinds = {task["vars"]["incident_kind"] for task in tasks if "incident_kind" in task.get("vars", {})}
            assert kinds == {path.stem}


class TestRecord:
    def test_nothing_wrong_leaves_nothing(self, folder: Path) -> None:
        looked = incident.Incident("disk_full", folder=folder)
        looked.see("no disk is full.")
        assert not looked.save()
        assert incident.records(folder) == []

    def test_a_second_run_that_does_nothing_changes_nothing(self, folder: Path) -> None:
        first = incident.Incident("disk_full", "taro@desk", folder=folder)
        first.see("/ is 95% full.", wrong=True)
        first.do("removed packages: 2 MB.")
        assert first.save()
        (before,) = incident.records(folder)
        second = incident.Incident("disk_full", "taro@desk", folder=folder)
        second.see("/ is 94% full.", wrong=True)
        assert not second.save()
        assert incident.records(folder) == [before]
        assert (before["who"], before["severity"], before["state"]) == ("taro@desk", "high", "open")
        assert [one["what"] for one in before["done"]] == ["removed packages: 2 MB."]

    def test_check_mode_says_what_it_would_do_and_does_not(self, folder: Path) -> None:
        done: list[str] = []
        looked = incident.Incident("memory_leak", check=True, folder=folder)
        looked.see("it leaks.", wrong=True)
        looked.do("restarted it.", lambda: done.append("restarted"))
        looked.keep("journal.txt", "a line")
        assert looked.save()
        assert (done, looked.done, folder.exists()) == ([], ["restarted it."], False)

    def test_the_end_closes_it_and_the_next_is_another(self, folder: Path, tmp_path: Path) -> None:
        begun = incident.Incident("slow_class", folder=folder)
        begun.do("bounded it.")
        begun.undo["bounded"] = ["a.service"]
        begun.save()
        metrics = (tmp_path / "metrics" / "incidents.prom").read_text(encoding="utf-8")
        assert 'cell_monitor_incident_open{kind="slow_class"} 1.000' in metrics
        assert metrics.count("# TYPE") == 1
        ended = incident.Incident("slow_class", folder=folder)
        assert ended.undo == {"bounded": ["a.service"]}
        ended.do("took it back.")
        assert ended.save(over=True)
        assert not incident.Incident("slow_class", folder=folder).was_open
        (told,) = incident.records(folder)
        assert told["state"] == "over"
        assert told["ended"]
        metrics = (tmp_path / "metrics" / "incidents.prom").read_text(encoding="utf-8")
        assert 'cell_monitor_incident_open{kind="slow_class"} 0.000' in metrics

    def test_what_a_playbook_notes_is_noted_once(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        begun = incident.Incident("suspected_intrusion", folder=folder)
        begun.see("somebody is there.", wrong=True)
        begun.save()
        arguments = ["--folder", str(folder), "--json", "note", "suspected_intrusion", "rotated", "rotated all."]
        assert cli.main(arguments) == 0
        assert json.loads(capsys.readouterr().out)["changed"]
        assert cli.main(arguments) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["changed"], told["steps"]) == (False, ["rotated"])

    def test_the_end_is_written_down_when_the_last_thing_is_taken_back(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(cli._HANDLERS, "slow_class", (lambda *_: None, lambda told, _: told.do("took it back.")))
        begun = incident.Incident("slow_class", folder=folder)
        begun.do("limited something")
        begun.save()
        command = ["--folder", str(folder), "--json"]
        for _ in range(2):
            assert cli.main([*command, "end", "slow_class", "--keep-open"]) == 0
            assert json.loads(capsys.readouterr().out)["state"] == "open"
        assert cli.main([*command, "note", "slow_class", "notice", "took the notice back.", "--close"]) == 0
        assert json.loads(capsys.readouterr().out)["state"] == "over"
        (record,) = incident.records(folder)
        assert [one["what"] for one in record["done"]][-2:] == ["took it back.", "took the notice back."]

    def test_the_end_of_what_is_not_open(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["--folder", str(folder), "end", "memory_leak"]) == 0
        assert capsys.readouterr().out == "seen: no incident of the kind memory_leak is open.\n"

    def test_secrets_of_the_evidence_are_for_root_alone(self, folder: Path) -> None:
        begun = incident.Incident("memory_leak", folder=folder)
        begun.keep("journal.txt", "a line\n")
        begun.see("it leaks.", wrong=True)
        begun.save()
        assert [path.stat().st_mode & 0o077 for path in [folder, *folder.rglob("*")]] == [0, 0, 0, 0]


class TestHost:
    @pytest.mark.parametrize(
        ("cgroup", "unit"),
        [
            ("0::/jupyter.slice/jupyter-kernels.slice/jupyter-kernel@a-1.service\n", "jupyter-kernel@a-1.service"),
            ("5:memory:/other.service\n1:name=systemd:/system.slice/nginx.service\n0::/\n", "nginx.service"),
            ("0::/user.slice/user-0.slice/session-1.scope\n", "session-1.scope"),
            ("0::/\n", ""),
        ],
    )
    def test_the_unit_of_a_process(self, tmp_path: Path, cgroup: str, unit: str) -> None:
        process = tmp_path / "12"
        process.mkdir()
        (process / "smaps_rollup").write_text("Rss:  900 kB\nPss:                 700 kB\n")
        (process / "stat").write_text("12 (a b) c) S 1 1 1 0 -1 0 1 2 3 4 200 50 0 0 20 0 1 0 9 9 9")
        (process / "comm").write_text("a b) c\n")
        (process / "cgroup").write_text(cgroup)
        (process / "io").write_text("rchar: 5\nwrite_bytes: 4096\n")
        (tmp_path / "13").mkdir()
        (found,) = host.processes(tmp_path)
        assert (found.unit, found.memory, found.written) == (unit, 700 * 1024, 4096)
        assert found.cpu == pytest.approx(2.5)

    def test_the_processes_of_this_machine(self) -> None:
        found = {process.pid: process for process in host.processes()}
        assert found
        assert all(process.memory >= 0 for process in found.values())

    def test_disks_each_once(self, tmp_path: Path) -> None:
        mounts = tmp_path / "mounts"
        mounts.write_text(
            f"/dev/sda1 {tmp_path} ext4 rw 0 0\n/dev/sda1 {tmp_path.parent} ext4 rw 0 0\nproc /proc proc rw 0 0\n"
        )
        (disk,) = host.disks(mounts)
        assert disk.path == str(tmp_path)
        assert 0 < disk.used <= 1

    @pytest.mark.parametrize(("size", "text"), [(12, "12 B"), (1_500_000, "2 MB"), (2_340_000_000, "2.3 GB")])
    def test_a_size_for_people(self, size: float, text: str) -> None:
        assert host.readable(size) == text

    def test_the_largest_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(disk_full, "_LARGE", 8192)
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "large").write_bytes(b"x" * 20000)
        (tmp_path / "a" / "small").write_bytes(b"x")
        device = tmp_path.stat().st_dev
        assert [path.name for _, path in disk_full.largest([tmp_path], [device])] == ["large"]
        assert disk_full.largest([tmp_path], []) == []


class TestMemory:
    def test_a_service_is_restarted_and_then_limited(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        done: list[Any] = []
        self._host(monkeypatch, done, {"jupyterlab.service": [6, 6], "jupyter-kernel@a.service": [9, 9]})
        looked = incident.Incident("memory_leak", folder=folder)
        memory_leak.begin(looked, {"memory_bytes": 5_000_000, "watch_seconds": 0})
        assert done == [
            ("restart", "jupyterlab.service"),
            ("limit", "jupyterlab.service", {"MemoryHigh": "5000000", "MemoryMax": "10000000"}),
        ]
        assert looked.undo == {"limited": ["jupyterlab.service"]}

    def test_a_kernel_that_grows_is_limited_alone(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        done: list[Any] = []
        kernels = {"jupyter-kernel@a.service": [9, 9], "jupyter-kernel@b.service": [8, 10]}
        self._host(monkeypatch, done, kernels)
        looked = incident.Incident("memory_leak", folder=folder)
        memory_leak.begin(looked, {"memory_bytes": 5_000_000, "watch_seconds": 0})
        assert done == [("limit", "jupyter-kernel@b.service", {"MemoryMax": "12500000"})]

    def test_what_is_limited_already_is_left(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        done: list[Any] = []
        self._host(monkeypatch, done, {"jupyterlab.service": [6, 6]})
        looked = incident.Incident("memory_leak", folder=folder)
        looked.undo["limited"] = ["jupyterlab.service"]
        memory_leak.begin(looked, {"memory_bytes": 5_000_000, "watch_seconds": 0})
        assert done == []
        assert looked.seen == ["jupyterlab.service takes 6 MB; it is limited already."]

    def test_nothing_leaks(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        done: list[Any] = []
        self._host(monkeypatch, done, {"jupyterlab.service": [4, 4]})
        looked = incident.Incident("memory_leak", folder=folder)
        memory_leak.begin(looked, {"memory_bytes": 5_000_000, "watch_seconds": 0})
        assert (done, looked.wrong) == ([], False)

    @staticmethod
    def _host(monkeypatch: pytest.MonkeyPatch, done: list[Any], units: dict[str, list[int]]) -> None:
        looks = iter([0, *[1] * 99])

        def processes() -> list[host.Process]:
            at = next(looks)
            return [host.Process(0, "python3", unit, size[at] * 1_000_000, 0, 0) for unit, size in units.items()]

        monkeypatch.setattr(host, "processes", processes)
        monkeypatch.setattr(host, "limit", lambda unit, **limits: done.append(("limit", unit, limits)))
        monkeypatch.setattr(memory_leak, "_KERNEL_UNIT", Path(__file__))
        monkeypatch.setattr(systemd, "systemctl", lambda *given: done.append(given))
        monkeypatch.setattr(systemd, "show", lambda _: SimpleNamespace(active=True))
        monkeypatch.setattr(systemd, "journal", lambda *_: "")


class TestCrashLoop:
    @pytest.mark.parametrize(
        ("service", "sentence"),
        [
            ({"state": "active", "restarts": 0}, None),
            ({"state": "active", "restarts": 7, "started": 0}, None),
            ({"state": "active", "restarts": 3, "started": 10_000}, "a.service was restarted 3 times, the last time "),
            ({"state": "failed", "restarts": 5}, "a.service was given up after 5 restarts: exit-code."),
            ({"state": "inactive", "restarts": 0}, "a.service does not run (inactive; it was restarted 0 times)."),
        ],
    )
    def test_what_is_wrong_with_a_service(
        self, monkeypatch: pytest.MonkeyPatch, service: dict[str, Any], sentence: str | None
    ) -> None:
        fields: dict[str, Any] = {
            "loaded": True,
            "result": "exit-code",
            "pid": 1,
            "needs_reload": False,
            "enabled": True,
        }
        rest: dict[str, Any] = {"started": 10_000, "changed": 0, "entered": 0, "pending": False}
        monkeypatch.setattr(systemd, "show", lambda _: systemd.Service(**fields | rest | service))
        monkeypatch.setattr(time, "time", lambda: 10_020.0)
        told = crash_loop.trouble("a.service")
        assert told is None if sentence is None else told and told.startswith(sentence)


class TestSlowClass:
    def look(self, monkeypatch: pytest.MonkeyPatch, folder: Path, now: dict[str, Any]) -> tuple[incident.Incident, Any]:
        counters: dict[str, Any] = {"busy": 0.0, "waiting": 0.0, "idle": 0.0, "cpu": {}, "written": {}, "dropped": 0}
        moments = iter([slow_class.Moment(**counters), slow_class.Moment(**counters | now)])
        done: list[Any] = []
        monkeypatch.setattr(slow_class.Moment, "now", lambda: next(moments))
        monkeypatch.setattr(slow_class, "_answers", dict)
        monkeypatch.setattr(host, "limit", lambda unit, **limits: done.append((unit, *limits)))
        looked = incident.Incident("slow_class", folder=folder)
        slow_class.begin(looked, {"watch_seconds": 0.01})
        return looked, done

    def test_a_kernel_that_has_the_processors(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        cpu = {"jupyter-kernel@a.service": 3.0, "jupyterlab.service": 0.5}
        looked, done = self.look(monkeypatch, folder, {"busy": 9.5, "idle": 0.5, "cpu": cpu})
        assert done == [("jupyter-kernel@a.service", "CPUQuota")]
        assert looked.seen[0].startswith(
            "the processors are what is slow: 95% busy; of them use jupyter-kernel@a.service"
        )

    def test_many_kernels_are_not_one(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        cpu = {f"jupyter-kernel@{name}.service": 1.0 for name in "abc"}
        looked, done = self.look(monkeypatch, folder, {"busy": 9.5, "idle": 0.5, "cpu": cpu})
        assert (done, looked.wrong) == ([], True)
        assert looked.left == ["it is not one student: fewer of them on this host, or a larger one."]

    def test_the_disk(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        written = {"cell-monitor-backup.service": 1_000_000}
        looked, done = self.look(monkeypatch, folder, {"waiting": 5, "idle": 5, "written": written})
        assert done == []
        assert looked.seen[0].startswith("the disk is what is slow: the processors wait for it 50% of the time; cell-")

    def test_the_network(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        looked, _ = self.look(monkeypatch, folder, {"idle": 9, "dropped": 12})
        assert looked.seen[0] == "the network is what is slow: it lost 12 packets."

    def test_nothing(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        looked, _ = self.look(monkeypatch, folder, {"idle": 9})
        assert not looked.wrong

    def test_this_machine(self) -> None:
        moment = slow_class.Moment.now()
        assert moment.busy > 0
        assert sum(moment.cpu.values()) > 0


def test_what_was_changed_since(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    assert [line.split(" ", 1)[1] for line in intrusion.changed([str(tmp_path)], time.time() - 60)] == [
        str(tmp_path / "new")
    ]
    assert intrusion.changed([str(tmp_path)], time.time() + 60) == []


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, Any]]]:
    """JupyterLab and the event server at one address, and what they answer."""
    says: dict[str, Any] = {
        "health": 200,
        "events": 202,
        "spool": {"accepting": True, "depth": 0, "oldest_age_seconds": None},
    }

    def answer(request: Request) -> tuple[int, bytes]:
        if request.method == "POST":
            return says["events"] if request.headers["Authorization"] == "Bearer token" else 401, b"{}"
        healthy = json.dumps({"spool": says["spool"]}).encode()
        return 200 if "cell-monitor" in request.path else says["health"], healthy

    with serve(answer) as address:
        yield f"{address}/api/v1/events", says


class TestConnectivity:
    def look(self, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> incident.Incident:
        configuration = folder.with_name("configuration")
        configuration.mkdir()
        (configuration / "token").write_text("token")
        address = {"ip": "127.0.0.1", "port": int(url.split(":")[2].split("/")[0])}
        given = {
            "CellMonitor": {"event_server_url": url, "token_file": str(configuration / "token")},
            "ServerApp": address,
        }
        (configuration / "config.json").write_text(json.dumps(given))
        monkeypatch.setattr(connectivity, "_CONFIG", configuration / "config.json")
        monkeypatch.setattr(connectivity.Way, "_units", lambda _: "they run")
        monkeypatch.setattr(connectivity.Way, "_route", lambda _: "a route")
        monkeypatch.setattr(connectivity.Way, "_proxy", lambda _: "it passes on")
        looked = incident.Incident("server_connectivity", folder=folder)
        connectivity.begin(looked, {})
        return looked

    def test_all_is_well(self, server: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        looked = self.look(server[0], folder, monkeypatch)
        assert not looked.wrong
        assert looked.seen[0].startswith("events reach http://127.0.0.1:")

    @pytest.mark.parametrize(
        ("fault", "sentence"),
        [
            ({"health": 503}, "it breaks at the event server and its store: "),
            ({"events": 401}, "it breaks at the token: it is refused: run playbooks/rotate_tokens.yml."),
            ({"events": 500}, "it breaks at the token: an empty delivery is answered 500"),
            ({"spool": {"accepting": False, "depth": 7}}, "it breaks at the spool: it takes no events, 7 wait."),
        ],
    )
    def test_where_it_breaks(
        self, server: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], sentence: str
    ) -> None:
        url, says = server
        says.update(fault)
        looked = self.look(url, folder, monkeypatch)
        assert looked.wrong
        assert looked.seen[0].startswith(sentence)

    def test_a_port_that_does_not_open(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connectivity.Way, "waiting", lambda _: {"accepting": True, "depth": 3})
        looked = self.look("http://127.0.0.1:1/api/v1/events", folder, monkeypatch)
        assert looked.seen[0].startswith("it breaks at the port: port 1 of 127.0.0.1 does not open: ")

    def test_the_end_waits_until_the_spool_is_empty(
        self, server: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url, says = server
        looked = self.look(url, folder, monkeypatch)
        monkeypatch.setattr(connectivity, "_LOOK_SECONDS", 0.01)
        says["spool"] = {"accepting": True, "depth": 5}
        with pytest.raises(incident.IncidentError, match="5 of 5 events still wait"):
            connectivity.end(looked, {"drain_seconds": 0.05})
        empty = {"spool": {"accepting": True, "depth": 0}}
        threading.Timer(0.1, lambda: says.update(empty)).start()
        connectivity.end(looked, {"drain_seconds": 10})
        assert looked.seen[-1].startswith("5 events waited;")


class TestCertificate:
    def test_how_long_it_is_good_and_for_whom(self, tmp_path: Path) -> None:
        file = tmp_path / "cert.pem"
        subprocess.run(
            [*OPENSSL, "-keyout", "/dev/null", "-out", file, "-addext", "subjectAltName=DNS:class1,IP:192.0.2.1"],
            check=True,
            capture_output=True,
        )
        pem = file.read_text()
        assert certificate.days_left(pem) == pytest.approx(9, abs=0.01)
        assert certificate.names(pem) == "class1, 192.0.2.1"
        assert certificate.days_left("no certificate") == -1


ALERT: dict[str, Any] = {
    "labels": {"alertname": "DiskFull", "instance": "class1", "severity": "warning"},
    "annotations": {"summary": "/ on class1 is 95 % full."},
    "state": "firing",
    "activeAt": "2026-04-01T01:30:00.123456789Z",
}


class TestStatus:
    def test_an_alert(self) -> None:
        finding = status._finding(ALERT, "class1")
        assert (finding.alert, finding.since, finding.instance) == ("DiskFull", 1775007000, "")
        assert finding.playbook == "playbooks/incidents/disk_full.yml"
        assert status._finding(ALERT, "class2").instance == "class1"

    def test_what_it_says_first(self) -> None:
        finding = {"alert": "DiskFull", "sentence": "/ is full.", "since": time.time() - 300, "instance": ""}
        told: dict[str, Any] = {
            "findings": [finding | {"playbook": "playbooks/incidents/disk_full.yml"}],
            "watched": True,
            "drift": [],
            "changes": ["2026-04-01 09:00 deploy of 1.2.0 by me: done"],
            "open": [],
        }
        lines = status.text(told).splitlines()
        assert lines[0] == "wrong: 1"
        assert "DiskFull since " in lines[1]
        assert "(5 min)" in lines[1]
        assert lines[2] == "    run playbooks/incidents/disk_full.yml"
        assert lines[3] == "  changed last: 2026-04-01 09:00 deploy of 1.2.0 by me: done"
        assert status.text(told | {"findings": []}).startswith("all is well")
