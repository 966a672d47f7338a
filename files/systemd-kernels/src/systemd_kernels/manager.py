"""The Jupyter server's manager of kernels that outlive it."""

import asyncio
import time
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from jupyter_client.ioloop.restarter import AsyncIOLoopKernelRestarter
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_server.prometheus.metrics import KERNEL_CURRENTLY_RUNNING_TOTAL
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager, ServerKernelManager
from tornado.ioloop import IOLoop
from traitlets import Bool, default

from systemd_kernels.folder import KernelFolder, Saved
from systemd_kernels.provisioner import SystemdProvisioner
from systemd_kernels.units import Running, UnitError, Units

# When a kernel's state is looked at again after it was taken over, in seconds: it may have changed meanwhile.
SECOND_LOOK = 3
# How often, and after how many seconds, systemd is asked again at the start if it does not answer.
ATTEMPTS, PAUSE = 20, 0.5


class SystemdKernelRestarter(AsyncIOLoopKernelRestarter):
    """Starts a kernel that has died again, also when systemd fails to do so at first."""

    async def poll(self) -> None:  # type: ignore[override]
        """Starts the kernel if it has died; gives it up when that has failed too often in a row."""
        try:
            await super().poll()
        except Exception as error:
            self.log.error("Kernel %s does not start again: %s", self.kernel_manager.kernel_id, error)
            # The attempt counts, and another one follows.
            self._restarting = True
            self.start()


class SystemdServerKernelManager(ServerKernelManager):
    """One kernel."""

    @default("restarter_class")
    def _default_restarter_class(self) -> type[AsyncIOLoopKernelRestarter]:
        return SystemdKernelRestarter


class SystemdKernelManager(AsyncMappingKernelManager):
    """Leaves the kernels of `SystemdProvisioner` alone when the server ends, and takes them over when it starts."""

    # The kernel's relay does it, also while there is no server.
    buffer_offline_messages = Bool(False)

    @default("kernel_manager_class")
    def _default_kernel_manager_class(self) -> str:
        return f"{SystemdServerKernelManager.__module__}.{SystemdServerKernelManager.__name__}"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self._cleaning_up: set[asyncio.Task[None]] = set()
        # Before anybody can ask which kernels there are.
        self._take_over()

    def update_env(self, *, kernel_id: str, env: dict[str, str]) -> None:
        """Lets a kernel have these variables when it is restarted, by this server or a later one."""
        super().update_env(kernel_id=kernel_id, env=env)
        provisioner = _provisioner(self._kernels.get(kernel_id))
        if provisioner is not None and provisioner.has_process:
            provisioner.save()

    async def _async_shutdown_all(self, now: bool = False) -> None:
        for kernel_id, kernel in list(self._kernels.items()):
            if _provisioner(kernel) is not None:
                self.log.info("Leaving kernel %s to the next server", kernel_id)
                self._let_go(kernel_id)
        # Those that are still starting, or failed to, are nobody's: the next server stops them.
        self._pending_kernels = {known: task for known, task in self._pending_kernels.items() if known in self._kernels}
        await super()._async_shutdown_all(now=now)

    shutdown_all = _async_shutdown_all  # type: ignore[assignment]

    def _handle_kernel_died(self, kernel_id: str) -> None:
        provisioner = _provisioner(self._kernels.get(kernel_id))
        if provisioner is not None:
            self.stop_watching_activity(kernel_id)  # type: ignore[no-untyped-call]
            task = asyncio.ensure_future(provisioner.cleanup())
            self._cleaning_up.add(task)
            task.add_done_callback(self._cleaning_up.discard)
        super()._handle_kernel_died(kernel_id)  # type: ignore[no-untyped-call]

    def _let_go(self, kernel_id: str) -> None:
        self._kernels[kernel_id].stop_restarter()
        self.stop_watching_activity(kernel_id)  # type: ignore[no-untyped-call]
        self.remove_kernel(kernel_id)

    def _take_over(self) -> None:
        settings = SystemdProvisioner(parent=self)
        units, root = Units(settings.systemctl), Path(settings.runtime_dir)
        running = self._running(units)
        folders = {path.name: KernelFolder(path.resolve()) for path in root.glob("*/")}
        lost = running.keys() - folders.keys()
        for kernel_id, folder in folders.items():
            if not self._took_over(kernel_id, folder, running.get(kernel_id)):
                lost |= {kernel_id} & running.keys()
                folder.remove()
        # While systemd still names a process by its number, no other one has got it.
        again = self._running(units)
        for kernel_id in [known for known in self._kernels if again.get(known) != running.get(known)]:
            self.log.warning("Kernel %s has ended while it was taken over", kernel_id)
            self._let_go(kernel_id)
            folders[kernel_id].remove()
        try:
            # What nobody can reach only takes room.
            units.stop_soon(lost)
        except UnitError as error:
            self.log.warning("Kernels that nobody can reach run on: %s", error)
        if self._kernels:
            self.initialize_culler()  # type: ignore[no-untyped-call]

    def _running(self, units: Units) -> dict[str, Running]:
        # A server that starts without an answer would take all kernels for ended.
        for _ in range(ATTEMPTS):
            try:
                return units.running()
            except UnitError as error:
                self.log.warning("Asking systemd for kernels again: %s", error)
                time.sleep(PAUSE)
        return units.running()

    def _took_over(self, kernel_id: str, folder: KernelFolder, running: Running | None) -> bool:
        """Takes a kernel over if it runs; returns False if there is nothing that a later server could take over."""
        try:
            self._adopt(kernel_id, folder, folder.saved(), running)
        except (UnitError, FileNotFoundError) as error:
            self.log.warning("Kernel %s cannot be taken over: %s", kernel_id, error)
            self._kernels.pop(kernel_id, None)
            return False
        except Exception:
            self._kernels.pop(kernel_id, None)
            # Another release of the server may be able to.
            self.log.exception("Kernel %s cannot be taken over, and is left alone if it runs", kernel_id)
            return running is not None
        self.log.info("Took over kernel %s", kernel_id)
        return True

    def _adopt(self, kernel_id: str, folder: KernelFolder, saved: Saved, running: Running | None) -> None:
        kernel: Any = self.kernel_manager_factory(
            connection_file=str(folder.connection),
            parent=self,
            log=self.log,
            kernel_name=saved.kernel_name,
            kernel_spec_manager=self.kernel_spec_manager,
        )
        kernel.kernel_id = kernel_id
        kernel.load_connection_file()
        kernel.provisioner = KernelProvisionerFactory.instance(parent=self).create_provisioner_instance(
            kernel_id, kernel.kernel_spec, parent=kernel
        )
        kernel.provisioner.take_over(saved.provisioner, running)
        # As a start would have left it.
        kernel._launch_args = saved.launch_args
        kernel._attempted_start = True
        kernel.ready.set_result(None)
        self._kernels[kernel_id] = kernel
        self._watch(kernel_id, kernel, folder)

    def _watch(self, kernel_id: str, kernel: Any, folder: KernelFolder) -> None:
        self._kernel_connections[kernel_id] = 0
        self._kernel_ports[kernel_id] = kernel.ports
        self.start_watching_activity(kernel_id)  # type: ignore[no-untyped-call]
        kernel.execution_state, since = folder.state()
        kernel.last_activity = datetime.fromtimestamp(since, UTC)
        # A busy kernel does not answer a server that asks what it speaks.
        kernel._kernel_info_future = Future()
        kernel._kernel_info_future.set_result({})
        kernel.start_restarter()
        self.add_restart_callback(kernel_id, partial(self._handle_kernel_died, kernel_id), "dead")
        KERNEL_CURRENTLY_RUNNING_TOTAL.labels(type=kernel.kernel_name).inc()
        IOLoop.current().call_later(SECOND_LOOK, self._look_again, kernel_id, kernel, folder)

    def _look_again(self, kernel_id: str, kernel: Any, folder: KernelFolder) -> None:
        ours: bool = self._kernels.get(kernel_id) is kernel
        if ours and folder.path.is_dir():
            kernel.execution_state = folder.state()[0]


def _provisioner(kernel: KernelManager | None) -> SystemdProvisioner | None:
    provisioner = kernel.provisioner if kernel is not None else None
    return provisioner if isinstance(provisioner, SystemdProvisioner) else None
