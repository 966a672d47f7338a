"""What is watched follows from the inventory, wherever the proxies, the monitoring and the database are."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[2]
TEMPLATES = PROJECT / "roles" / "monitoring" / "templates"
PLAY = {
    "hosts": "watching",
    "connection": "local",
    "gather_facts": False,
    "tasks": [
        {"ansible.builtin.include_role": {"name": "monitoring", "tasks_from": "preflight", "public": True}},
        {
            "ansible.builtin.copy": {
                "content": "{{ lookup('template', item.of) if item.of is string else item.of.told | to_json }}",
                "dest": "{{ told }}/{{ inventory_hostname }}.{{ item.name }}",
            },
            "loop": [
                {"name": "prometheus.yml", "of": str(TEMPLATES / "prometheus.yml.j2")},
                {"name": "nginx.conf", "of": str(TEMPLATES / "nginx-locations.conf.j2")},
                {"name": "runs.json", "of": {"told": "{{ __monitoring_runs }}"}},
                {"name": "unit.json", "of": {"told": "{{ __monitoring_postgresql_unit }}"}},
            ],
        },
    ],
}
NOTHING_BEHIND = {"web_proxy_jupyterlab_upstream": "", "web_proxy_event_server_upstreams": []}


def look(
    folder: Path, hosts: dict[str, Any], groups: dict[str, list[str]], **variables: Any
) -> subprocess.CompletedProcess[str]:
    """Render on each host of a group or more what the role writes, into ``folder / "told"``."""
    inventory = folder / "inventories" / "classroom"
    (inventory / "group_vars" / "all").mkdir(parents=True)
    for name in ("credentials", "monitoring"):
        (inventory / "group_vars" / "all" / f"{name}.yml").symlink_to(
            PROJECT / "inventories" / "common" / f"{name}.yml"
        )
    everything: dict[str, Any] = {"all": {"hosts": hosts}, "watching": {"hosts": dict.fromkeys(hosts)}}
    everything |= {group: {"hosts": dict.fromkeys(names)} for group, names in groups.items()}
    (inventory / "hosts.json").write_text(json.dumps(everything))
    (inventory / "group_vars" / "all" / "main.json").write_text(
        json.dumps({"web_proxy_server_names": ["{{ inventory_hostname }}.example.jp"], **variables})
    )
    (folder / "told").mkdir()
    play = folder / "play.json"
    play.write_text(json.dumps([PLAY]))
    command = ["ansible-playbook", "-i", str(inventory), "-e", f"told={folder / 'told'}", str(play)]
    return subprocess.run(command, cwd=PROJECT, check=False, capture_output=True, text=True)


def jobs(folder: Path, host: str) -> dict[str, list[tuple[str, str]]]:
    """The jobs of a host's Prometheus: each with the instance and the address of what it asks."""
    path = folder / "told" / f"{host}.prometheus.yml"
    checked = subprocess.run(
        ["promtool", "check", "config", "--syntax-only", path], check=False, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
    found = {}
    for job in yaml.safe_load(path.read_text())["scrape_configs"]:
        found[job["job_name"]] = [
            (static["labels"]["instance"], address) for static in job["static_configs"] for address in static["targets"]
        ]
    return found


def test_a_class_on_several_hosts(tmp_path: Path) -> None:
    hosts = {
        "front": {
            "web_proxy_jupyterlab_upstream": "lab:8888",
            "web_proxy_event_server_upstreams": ["e1:8000", "e2:8000"],
        },
        "lab": {"web_proxy_event_server_upstreams": []},
        "e1": {"web_proxy_jupyterlab_upstream": ""},
        "e2": {"web_proxy_jupyterlab_upstream": "", "web_proxy_https_port": 8443},
        "watch": NOTHING_BEHIND | {"web_proxy_server_names": ["2001:db8::1"]},
    }
    groups = {
        "proxies": list(hosts),
        "event_servers": ["e1", "e2"],
        "jupyterlab_hosts": ["lab"],
        "monitoring": ["watch"],
    }
    database = "postgresql://class%40events@192.0.2.5/events?application_name=e"
    done = look(tmp_path, hosts, groups, event_server_database_url=database, event_server_database_password="p")
    assert done.returncode == 0, done.stdout + done.stderr

    found = jobs(tmp_path, "watch")
    assert found["node"] == [("watch", "127.0.0.1:9100")]
    elsewhere = [(name, f"{name}.example.jp:{8443 if name == 'e2' else 443}") for name in ("front", "lab", "e1", "e2")]
    assert sorted(found["node elsewhere"]) == sorted(elsewhere)
    assert found["event-server elsewhere"] == found["postgresql elsewhere"]
    assert [name for name, _ in found["postgresql elsewhere"]] == ["e1", "e2"]
    assert found["event-server"] == found["jupyterlab"] == []
    assert found["jupyterlab elsewhere"] == found["cell-monitor elsewhere"] == [("lab", "lab.example.jp:443")]
    assert found["probe jupyterlab"] == [
        ("front", "https://front.example.jp:443/login"),
        ("lab", "https://lab.example.jp:443/login"),
    ]
    assert found["probe event-server"] == [
        ("front", "https://front.example.jp:443/health"),
        ("e1", "https://e1.example.jp:443/health"),
        ("e2", "https://e2.example.jp:8443/health"),
    ]
    assert len(found["probe certificate"]) == len(hosts)
    assert ("watch", "[2001:db8::1]:443") in found["probe certificate"]

    told = tmp_path / "told"
    answers = {host: (told / f"{host}.nginx.conf").read_text() for host in hosts}
    assert [host for host in hosts if "/monitoring/postgresql" in answers[host]] == ["e1", "e2"]
    assert [host for host in hosts if "/monitoring/cell-monitor" in answers[host]] == ["lab"]
    assert [host for host in hosts if "/status/" in answers[host]] == ["watch"]
    assert "prometheus-postgres-exporter" in json.loads((told / "e1.runs.json").read_text())
    assert "prometheus-postgres-exporter" not in json.loads((told / "lab.runs.json").read_text())
    unit = json.loads((told / "e1.unit.json").read_text())
    assert unit[0] == "User=prometheus"
    options = "application_name=e&sslmode=require&connect_timeout=2"
    assert unit[1] == f'Environment="DATA_SOURCE_URI=192.0.2.5/events?{options}"'
    assert unit[2] == 'Environment="DATA_SOURCE_USER=class@events"'
    assert unit[3].startswith("LoadCredential=")


def test_how_the_exporter_finds_the_database(tmp_path: Path) -> None:
    hosts = {
        "here": {"event_server_database_url": "postgresql://e@127.0.0.1:5433/events"},
        "tls": {
            "event_server_database_url": "postgresql://e@db.example.jp/events?sslmode=verify-full&connect_timeout=9"
        },
        "socket": {"event_server_database_url": "postgresql:///events?host=%2Frun%2Fpostgresql"},
    }
    groups = {group: list(hosts) for group in ("proxies", "event_servers", "jupyterlab_hosts")}
    done = look(tmp_path, hosts, groups | {"monitoring": ["here"]})
    assert done.returncode == 0, done.stdout + done.stderr
    told = {host: json.loads((tmp_path / "told" / f"{host}.unit.json").read_text()) for host in hosts}
    short = "sslmode=disable&connect_timeout=2"
    assert told["here"][:2] == ["User=prometheus", f'Environment="DATA_SOURCE_URI=127.0.0.1:5433/events?{short}"']
    assert told["tls"][1].endswith('=db.example.jp/events?sslmode=verify-full&connect_timeout=9"')
    assert told["socket"] == [
        "User=event-server",
        f'Environment="DATA_SOURCE_URI=/events?host=%%2Frun%%2Fpostgresql&{short}"',
        'Environment="DATA_SOURCE_USER="',
    ]
    assert jobs(tmp_path, "here")["postgresql"] == [("here", "127.0.0.1:9187")]


def test_a_host_without_a_proxy_is_refused(tmp_path: Path) -> None:
    groups = {"proxies": ["class1"], "event_servers": ["class1"], "jupyterlab_hosts": ["class1", "class2"]}
    done = look(tmp_path, {"class1": {}, "class2": {}}, groups | {"monitoring": ["class1"]})
    assert done.returncode != 0
    assert "monitoring_targets names class2 without a proxy" in done.stdout
