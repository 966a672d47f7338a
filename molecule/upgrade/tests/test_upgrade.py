"""From an earlier version to this one and back while a class is taught, and what becomes of the earlier releases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import bundles
import pytest
from conftest import Server, address, event
from deploys import assert_healthy, deploy, deployed, roll_back, succeeded
from lesson import Lesson
from testinfra.host import Host

testinfra_hosts = ["ssh://debian13"]

# Has worked with the earlier version.
STUDENT = address("earlier")


@pytest.fixture(scope="module")
def earlier(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The earlier version, which the host runs."""
    bundle = deployed(server, bundles.older(tmp_path_factory.mktemp("earlier") / "bundle"))
    server.store(event(STUDENT))
    return bundle


@pytest.fixture(scope="module")
def lesson(server: Server, host: Host, earlier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lesson]:
    """A class, whose notebook has begun with the earlier version."""
    assert_healthy(server, host, earlier)
    with Lesson(server, host, tmp_path_factory.mktemp("lesson")) as lesson:
        yield lesson


def assert_goes_on(server: Server, lesson: Lesson) -> None:
    """The class goes on, and what was done before is still known."""
    lesson.check()
    told = server.student(STUDENT)
    assert told is not None
    assert told["cellExecutions"] == 1


def test_up_to_this_version(server: Server, host: Host, lesson: Lesson) -> None:
    succeeded(deploy(server, bundles.BUILT))
    assert_healthy(server, host, bundles.BUILT)
    assert_goes_on(server, lesson)


def test_down_again(server: Server, host: Host, lesson: Lesson, earlier: Path) -> None:
    succeeded(roll_back(server, "-e", f"release={bundles.read_manifest(earlier)['bundle']}"))
    assert_healthy(server, host, earlier)
    assert_goes_on(server, lesson)


def test_what_is_old_goes_but_for_what_the_class_uses(
    server: Server, host: Host, lesson: Lesson, earlier: Path, tmp_path: Path
) -> None:
    succeeded(roll_back(server, "-e", f"release={bundles.read_manifest(bundles.BUILT)['bundle']}"))
    later = bundles.harmless(tmp_path / "bundle", "later")
    succeeded(deploy(server, later, "-e", '{"release_keep": 2}'))
    gone = bundles.read_manifest(earlier)["applications"]
    assert gone["event-server"]["release"] not in host.file("/opt/event-server/releases").listdir()
    assert bundles.read_manifest(earlier)["bundle"] not in host.check_output("cell-monitor-release list")
    # A kernel of the notebook runs from it.
    assert gone["kernel"]["release"] in host.file("/opt/jupyter-kernel/releases").listdir()
    assert_goes_on(server, lesson)
