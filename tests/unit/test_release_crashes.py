"""The program is killed before each of its effects in turn: the host serves one whole release, and goes on."""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from cell_monitor_release import rollback, systemd
from release_host import Host

BEFORE, AFTER = ("A", "a"), ("B", "b")


def dies_at(step: int, action: Callable[[], object]) -> bool:
    """Does something in a process that is killed before its n-th effect; returns whether there were so many."""
    child = os.fork()
    if child == 0:
        _arm(step)
        action()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def _arm(steps: int) -> None:
    left = steps

    def counted(effect: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return effect(*arguments, **options)

        return run

    for name in ("replace", "unlink", "symlink_to"):
        setattr(Path, name, counted(getattr(Path, name)))
    ask, act = systemd.run, counted(systemd.run)

    def run(argv: Sequence[str], seconds: float = 0) -> CompletedProcess[str]:
        return (ask if "show" in argv else act)(argv, seconds)

    systemd.run = run


def repeat(host: Host, action: Callable[[], object]) -> tuple[str, str]:
    """The administrator does the same again."""
    action()
    return host.runs()


def lose_power(host: Host, _: Callable[[], object]) -> tuple[str, str]:
    """The host starts again."""
    host.reboot()
    rollback.recover(host.state)
    host.start()
    return host.runs()


def break_off(host: Host, _: Callable[[], object]) -> tuple[str, str]:
    """The administrator wants to have back what was there, if it is not there anyway."""
    if host.state.progress or host.state.number != 1:
        rollback.roll_back(host.state, "", "tester", "")
    return host.runs()


@pytest.mark.parametrize("ending", [repeat, lose_power, break_off])
def test_a_deploy_that_is_killed(host: Host, ending: Callable[..., tuple[str, str]]) -> None:
    saved = _save(host)
    step = 0
    while dies_at(step := step + 1, lambda: host.deploy(*AFTER)):
        assert host.runs() in (BEFORE, AFTER), step
        runs = ending(host, lambda: host.deploy(*AFTER))
        assert runs == host.there(), step
        assert runs in {repeat: [AFTER], lose_power: [BEFORE, AFTER], break_off: [BEFORE]}[ending], step
        assert host.state.progress is None, step
        _restore(host, saved)
    assert step > 15
    assert host.runs() == AFTER


@pytest.mark.parametrize("ending", [repeat, lose_power])
def test_a_rollback_that_is_killed(host: Host, ending: Callable[..., tuple[str, str]]) -> None:
    host.deploy(*AFTER)
    saved = _save(host)
    step = 0
    while dies_at(step := step + 1, lambda: rollback.roll_back(host.state, "1", "tester", "")):
        assert host.runs() in (BEFORE, AFTER), step
        begun = host.state.progress is not None
        runs = ending(host, lambda: rollback.roll_back(host.state, "1", "tester", ""))
        assert runs == host.there(), step
        assert runs == BEFORE or (ending is lose_power and not begun), step
        assert host.state.progress is None, step
        _restore(host, saved)
    assert step > 10
    assert host.runs() == BEFORE


def _save(host: Host) -> Path:
    copy = host.folder.with_name("saved")
    _copy(host.folder, copy)
    return copy


def _restore(host: Host, copy: Path) -> None:
    host.reboot()
    _copy(copy, host.folder)
    host.units.write_text('{"app.service": {"enabled": true}}')
    host.start()


def _copy(source: Path, target: Path) -> None:
    assert os.system(f"rm -rf '{target}'; cp -a '{source}' '{target}'") == 0  # noqa: S605
