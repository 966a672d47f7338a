"""Whatever goes wrong with a release, a class goes on with the one before, and what is known of the failure is kept.

All of it without a network: the controller alone is in reach, which is the host's neighbour.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import bundles
import pytest
from conftest import Server
from deploys import (
    COMMAND,
    THOROUGH,
    assert_healthy,
    deploy,
    deploy_until,
    refused,
    roll_back,
    status,
    succeeded,
)
from lesson import Lesson
from testinfra.host import Host

testinfra_hosts = ["ssh://debian12"]


@pytest.fixture(scope="module", autouse=True)
def offline(host: Host) -> Iterator[None]:
    """The host reaches no network but the controller's."""
    route = host.check_output("ip route show default")
    host.check_output("ip route del default && ! timeout 2 bash -c '</dev/tcp/9.9.9.9/53' 2>/dev/null")
    yield
    host.check_output(f"ip route replace {route}")


@pytest.fixture(scope="module")
def lesson(server: Server, host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lesson]:
    """A class, from the first release to the last."""
    assert_healthy(server, host, bundles.BUILT)
    with Lesson(server, host, tmp_path_factory.mktemp("lesson")) as lesson:
        yield lesson


@pytest.fixture(autouse=True)
def undisturbed(lesson: Lesson) -> Iterator[None]:
    """After each test the kernel is the same one, and its variable has gone on."""
    yield
    lesson.check()


@pytest.mark.parametrize("fault", bundles.FAULTS)
def test_a_release_that_does_not_work(server: Server, host: Host, tmp_path: Path, fault: str) -> None:
    bad = bundles.variant(tmp_path / "bundle", bundles.FAULTS[fault])
    application = next(iter(bundles.FAULTS[fault]))[0]
    release = bundles.read_manifest(bad)["applications"][application]["release"]
    said = refused(deploy(server, bad))
    assert f"release {release}" in said
    assert "the host runs" in said
    assert_healthy(server, host, bundles.BUILT)
    folder = host.file(f"/var/lib/cell-monitor-release/failed/{release}")
    assert "journal.txt" in folder.listdir()
    told = status(host)
    assert release in told["bad"]
    assert told["history"][-1]["result"] == "failed"
    assert release in told["history"][-1]["why"]
    if fault == "exits at start":
        assert f"release {release} of {application} failed here at" in refused(deploy(server, bad))
        assert "does not work" in refused(deploy(server, bad, "-e", "release_force=true"))
        assert_healthy(server, host, bundles.BUILT)


def test_a_broken_wheel(server: Server, host: Host, tmp_path: Path) -> None:
    bad = bundles.harmless(tmp_path / "bundle", "broken")
    bundles.break_wheel(bad, "jupyterlab")
    pid = host.check_output("systemctl show event-server --property=MainPID")
    assert "jupyterlab of release_bundle" in refused(deploy(server, bad))
    assert_healthy(server, host, bundles.BUILT)
    assert host.check_output("systemctl show event-server --property=MainPID") == pid


def test_a_disk_that_fills_up_during_the_installation(server: Server, host: Host, tmp_path: Path) -> None:
    bad = bundles.harmless(tmp_path / "bundle", "large")
    release = bundles.read_manifest(bad)["applications"]["jupyterlab"]["release"]
    staging = f"/opt/jupyterlab/releases/.{release}"
    size = max(path.stat().st_size for path in bad.glob("jupyterlab-*.tar")) + (4 << 20)
    host.check_output(f"mkdir {staging} && mount -t tmpfs -o size={size} tmpfs {staging}")
    try:
        assert "No space left on device" in refused(deploy(server, bad))
    finally:
        host.check_output(f"umount {staging}")
    assert_healthy(server, host, bundles.BUILT)


def test_a_controller_that_is_killed_after_each_task(server: Server, host: Host, tmp_path: Path) -> None:
    """Each run is killed a stride later than the one before, until one is not."""
    other = bundles.harmless(tmp_path / "bundle", "killed")
    releases = {
        bundles.read_manifest(bundle)["applications"]["event-server"]["release"]: bundle
        for bundle in (bundles.BUILT, other)
    }
    stride = 1 if THOROUGH else 50
    tasks = random.randint(1, stride)
    print(f"killed after {tasks} tasks first")
    runs = 0
    while deploy_until(server, other, tasks):
        tasks += stride
        runs += 1
        with server.client() as client:
            assert client.get("/health").json()["release"] in releases, tasks
    assert runs * stride >= 100
    assert_healthy(server, host, other)
    told = status(host)["history"][-1]
    assert (told["verb"], told["result"]) == ("deploy", "done")


def test_back_and_forward_again(server: Server, host: Host) -> None:
    """By what the host tells of itself: the controller has no bundle of these releases."""
    other = status(host)["current"]["bundle"]
    listed = succeeded(roll_back(server, "-e", "list=true"))
    name = bundles.read_manifest(bundles.BUILT)["bundle"]
    assert re.search(rf"{name} \S+ possible", listed), listed
    assert re.search(rf"{other} \S+ current", listed), listed
    assert "release is 9.9.9; allowed are the generations that" in refused(roll_back(server, "-e", "release=9.9.9"))
    said = succeeded(roll_back(server, "-e", "why=practice"))
    assert re.search(rf"before: {other}, .*now: +{name}, .*event-server \d+\.\d s", said), said
    assert_healthy(server, host, bundles.BUILT)
    told = status(host)["history"][-1]
    assert (told["verb"], told["result"], told["why"]) == ("rollback", "done", "practice")
    assert told["who"]
    assert {"event-server", "jupyterlab"} <= set(told["seconds"])
    succeeded(roll_back(server, "-e", f"release={other}"))
    assert status(host)["current"]["bundle"] == other
    succeeded(
        roll_back(
            server, "-e", f"release={bundles.read_manifest(bundles.BUILT)['applications']['jupyterlab']['release']}"
        )
    )
    assert_healthy(server, host, bundles.BUILT)


def test_the_front_end_is_switched_without_a_restart(server: Server, host: Host, tmp_path: Path) -> None:
    pid = host.check_output("systemctl show jupyterlab --property=MainPID")
    other = bundles.front_end(tmp_path / "bundle", "new", bundles.BUILT)
    succeeded(deploy(server, other))
    assert_healthy(server, host, other)
    assert host.check_output("systemctl show jupyterlab --property=MainPID") == pid
    succeeded(roll_back(server))
    assert host.check_output("systemctl show jupyterlab --property=MainPID") == pid
    assert_healthy(server, host, bundles.BUILT)


@pytest.mark.parametrize("step", ["event-server", "jupyterlab"] if THOROUGH else ["jupyterlab"])
def test_a_step_that_is_killed_on_the_host(server: Server, host: Host, tmp_path: Path, step: str) -> None:
    """The program that switches dies in the middle; the play returns."""
    other = bundles.harmless(tmp_path / "bundle", f"killed in {step}")
    # Waits for the program to begin, and a moment more: it takes about a second.
    killer = (
        f"for i in $(seq 3000); do pid=$(pgrep --full -- '--result .* switch {step}$') && break; sleep 0.02; done; "
        "sleep 0.3; kill -KILL $pid"
    )
    host.check_output("systemd-run --quiet --collect --unit=killer bash -c %s", killer)
    assert "the host runs" in refused(deploy(server, other))
    assert_healthy(server, host, bundles.BUILT)
    assert host.check_output(f"{COMMAND} drift --thorough") == "All is as it was deployed."
