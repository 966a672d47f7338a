"""Starts a kernel as a systemd unit of its own, and finds it again."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import Unicode

from systemd_kernels.folder import KernelFolder, Launch, Saved
from systemd_kernels.process import Process
from systemd_kernels.units import Running, UnitError, Units

# What systemd tells the server about its own unit.
OF_THE_SERVER = {
    "CREDENTIALS_DIRECTORY",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "LOGS_DIRECTORY",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
    "NOTIFY_SOCKET",
    "RUNTIME_DIRECTORY",
    "STATE_DIRECTORY",
    "SYSTEMD_EXEC_PID",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
}


class SystemdProvisioner(LocalProvisioner):
    """Runs a kernel in the unit `jupyter-kernel@<kernel id>.service`, which this process may end without ending it."""

    runtime_dir = Unicode(
        "/run/jupyter-kernels",
        config=True,
        help="Folder with a folder for each kernel, for the user of the server and the kernels alone.",
    )
    systemctl = Unicode("systemctl", config=True, help="The program that starts, stops and shows units.")

    _process: Process | None = None
    _invocation = ""

    @property
    def folder(self) -> KernelFolder:
        """The kernel's folder."""
        return KernelFolder(Path(os.path.realpath(self.runtime_dir), str(self.kernel_id)))

    @property
    def units(self) -> Units:
        """Systemd."""
        return Units(self.systemctl)

    @property
    def has_process(self) -> bool:
        """Whether a process is looked after, which need not run any more."""
        return self._process is not None

    @property
    def _manager(self) -> KernelManager:
        manager = self.parent
        assert isinstance(manager, KernelManager), "a kernel is started by its manager"  # noqa: S101
        return manager

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Lets the kernel listen on sockets in its folder, and leaves the server's own variables out."""
        self.folder.create()
        manager = self._manager
        manager.transport = "ipc"
        manager.ip = self.folder.sockets
        manager.connection_file = str(self.folder.connection)
        kwargs = await super().pre_launch(**kwargs)
        # The manager deletes the connection file that it has written when it ends, the kernel still needs it.
        manager._connection_file_written = False
        kwargs["env"] = {name: value for name, value in kwargs["env"].items() if name not in OF_THE_SERVER}
        return kwargs

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Starts the unit.

        Raises:
            UnitError: it does not run.
        """
        folder = self.folder
        argv = [argument.replace(str(folder.connection), str(folder.kernel_connection)) for argument in cmd]
        self.cwd = kwargs.get("cwd") or Path.cwd()
        folder.write_launch(Launch(argv, kwargs["env"], str(self.cwd)))
        try:
            self._hold(await self.units.start(str(self.kernel_id)))
        except UnitError:
            await self.cleanup()
            raise
        return self.connection_info

    async def post_launch(self, **kwargs: Any) -> None:
        """Keeps what a later server needs."""
        await super().post_launch(**kwargs)
        self.save()

    def save(self) -> None:
        """Keeps what a later server needs, as it is now."""
        manager = self._manager
        arguments = {key: value for key, value in (manager._launch_args or {}).items() if key in ("env", "cwd")}
        self.folder.save(Saved(manager.kernel_name, arguments, self._info()))

    async def poll(self) -> int | None:
        """None while the kernel runs."""
        return None if self._process is not None and self._process.alive else 1

    async def wait(self) -> int | None:
        """Waits until the kernel has ended."""
        while await self.poll() is None:
            await asyncio.sleep(0.1)
        self._let_go()
        return 1

    async def send_signal(self, signum: int) -> None:
        """Sends a signal to the kernel and what it has started."""
        if self._process is None:
            return
        if signum == signal.SIGKILL:
            await self.kill()
        else:
            self._process.send(signum)

    async def kill(self, restart: bool = False) -> None:  # noqa: ARG002
        """Kills all of the unit's processes."""
        if await self.poll() is None:
            try:
                await self.units.kill(str(self.kernel_id))
            except UnitError:
                # It may have ended in this moment.
                if await self.poll() is None:
                    raise

    async def terminate(self, restart: bool = False) -> None:  # noqa: ARG002
        """Asks the kernel to end."""
        await self.send_signal(signal.SIGTERM)

    async def cleanup(self, restart: bool = False) -> None:
        """Ends what is left of the unit, and removes its folder unless it is started again."""
        await self.units.stop(str(self.kernel_id))
        self._let_go()
        if not restart:
            self.folder.remove()

    async def get_provisioner_info(self) -> dict[str, Any]:
        """Which start of the unit this is."""
        return self._info()

    async def load_provisioner_info(self, provisioner_info: dict[str, Any]) -> None:
        """Looks after a kernel that another server has started.

        Raises:
            UnitError: that start of its unit has ended.
        """
        self.take_over(provisioner_info, self.units.running().get(str(self.kernel_id)))

    def take_over(self, info: dict[str, Any], running: Running | None) -> None:
        """Looks after a kernel that another server has started.

        Args:
            info: what `get_provisioner_info` told of it.
            running: what systemd says of its unit.

        Raises:
            UnitError: that start of its unit has ended.
        """
        if running is None or running.invocation != info["invocation"]:
            raise UnitError("its unit has ended")
        self.kernel_id = info["kernel_id"]
        self.cwd = info["cwd"]
        self._hold(running)
        if isinstance(self.parent, KernelManager):
            self.connection_info = self.parent.get_connection_info()

    def _hold(self, running: Running) -> None:
        self._process = Process.find(running.pid)
        if self._process is None:
            raise UnitError("its unit has ended")
        self._invocation = running.invocation

    def _info(self) -> dict[str, Any]:
        return {"kernel_id": self.kernel_id, "invocation": self._invocation, "cwd": str(self.cwd)}

    def _let_go(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None
