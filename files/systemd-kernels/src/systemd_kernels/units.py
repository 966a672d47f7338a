"""The systemd units that kernels run in."""

import asyncio
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

PREFIX, SUFFIX = "jupyter-kernel@", ".service"
PROPERTIES = "--property=Id,ActiveState,InvocationID,MainPID"


class UnitError(RuntimeError):
    """Systemd has not done what it was asked for."""


@dataclass(frozen=True)
class Running:
    """A unit that runs.

    Attributes:
        invocation: systemd's id of this one start.
        pid: of its main process.
    """

    invocation: str
    pid: int


class Units:
    """The units `jupyter-kernel@<kernel id>.service`."""

    def __init__(self, systemctl: str) -> None:
        self._systemctl = systemctl

    async def start(self, kernel_id: str) -> Running:
        """Starts a kernel's unit.

        Raises:
            UnitError: it does not run.
        """
        unit = _unit(kernel_id)
        await self._run("start", unit)
        running = _parse(await self._run("show", PROPERTIES, unit)).get(kernel_id)
        if running is None:
            raise UnitError(f"{unit} ended at once; see journalctl --unit={unit}")
        return running

    async def stop(self, kernel_id: str) -> None:
        """Ends what is left of a kernel's unit, and waits for it."""
        await self._run("stop", _unit(kernel_id))

    async def kill(self, kernel_id: str) -> None:
        """Kills every process of a kernel's unit."""
        await self._run("kill", "--signal=SIGKILL", _unit(kernel_id))

    def running(self) -> dict[str, Running]:
        """The units that run, by kernel id.

        Raises:
            UnitError: systemd does not say.
        """
        return _parse(self._run_now("show", PROPERTIES, _unit("*")))

    def stop_soon(self, kernel_ids: Iterable[str]) -> None:
        """Has units stopped without waiting for it.

        Raises:
            UnitError: systemd does not do it.
        """
        if units := [_unit(kernel_id) for kernel_id in kernel_ids]:
            self._run_now("stop", "--no-block", *units)

    def _run_now(self, verb: str, *arguments: str) -> str:
        command = [self._systemctl, "--no-ask-password", verb, *arguments]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
        except subprocess.TimeoutExpired as late:
            raise UnitError(f"systemctl {verb} {arguments[-1]}: {late}") from late
        if ended.returncode:
            raise UnitError(f"systemctl {verb} {arguments[-1]}: {ended.stderr.strip()}")
        return ended.stdout

    async def _run(self, verb: str, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            self._systemctl,
            "--no-ask-password",
            verb,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        if process.returncode:
            raise UnitError(f"systemctl {verb} {arguments[-1]}: {errors.decode(errors='replace').strip()}")
        return output.decode()


def _unit(kernel_id: str) -> str:
    return f"{PREFIX}{kernel_id}{SUFFIX}"


def _parse(output: str) -> dict[str, Running]:
    running = {}
    for block in output.strip().split("\n\n"):
        properties = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if properties.get("ActiveState") in ("active", "reloading") and properties.get("MainPID", "0") != "0":
            kernel_id = properties["Id"].removeprefix(PREFIX).removesuffix(SUFFIX)
            running[kernel_id] = Running(properties["InvocationID"], int(properties["MainPID"]))
    return running
