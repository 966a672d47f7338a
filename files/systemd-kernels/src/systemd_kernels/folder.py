"""The folder in which the server and a kernel's relay find each other, before and after a restart of the server."""

import json
import os
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar


@dataclass(frozen=True)
class Launch:
    """What the relay has to run.

    Attributes:
        argv: the kernel's command.
        env: its environment.
        cwd: the folder it starts in.
    """

    argv: list[str]
    env: dict[str, str]
    cwd: str


@dataclass(frozen=True)
class Saved:
    """What a later server needs to take a kernel over.

    Attributes:
        kernel_name: of the kernelspec.
        launch_args: what the kernel was started with, and will be restarted with.
        provisioner: what `SystemdProvisioner.load_provisioner_info` takes.
    """

    kernel_name: str
    launch_args: dict[str, Any]
    provisioner: dict[str, Any]


_T = TypeVar("_T", Launch, Saved)


@dataclass(frozen=True)
class KernelFolder:
    """Files and sockets of one kernel, for its user alone.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def connection(self) -> Path:
        """Connection file of the relay's side, which servers connect to."""
        return self.path / "connection.json"

    @property
    def kernel_connection(self) -> Path:
        """Connection file of the kernel itself."""
        return self.path / "kernel.json"

    @property
    def sockets(self) -> str:
        """Where the relay's sockets are, to be followed by a hyphen and a port or `log`."""
        return str(self.path / "server")

    @property
    def kernel_sockets(self) -> str:
        """Where the kernel's sockets are."""
        return str(self.path / "kernel")

    def create(self) -> None:
        """Makes the folder, or leaves that of an earlier start."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def remove(self) -> None:
        """Removes the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def write_launch(self, launch: Launch) -> None:
        """Tells the relay what to run, and where the kernel has to listen."""
        connection = json.loads(self.connection.read_bytes()) | {"ip": self.kernel_sockets}
        _write(self.kernel_connection, connection)
        _write(self.path / "launch.json", asdict(launch))

    def read_launch(self) -> Launch:
        """What to run.

        Raises:
            OSError: nobody has said so.
        """
        return _read(self.path / "launch.json", Launch)

    def save(self, saved: Saved) -> None:
        """Keeps what a later server needs."""
        _write(self.path / "saved.json", asdict(saved))

    def saved(self) -> Saved:
        """What an earlier server has kept.

        Raises:
            FileNotFoundError: it has kept nothing.
            OSError, ValueError, KeyError: it cannot be read.
        """
        return _read(self.path / "saved.json", Saved)

    def note_state(self, state: str) -> None:
        """Notes that the kernel is `busy` or `idle` from now on."""
        _replace(self.path / "state", state.encode())

    def state(self) -> tuple[str, float]:
        """Whether the kernel is `busy` or `idle`, and since when, in seconds since 1970."""
        file = self.path / "state"
        try:
            return file.read_text(), file.stat().st_mtime
        except OSError:
            return "idle", self.connection.stat().st_mtime


def _read(file: Path, kind: type[_T]) -> _T:
    """Reads what another release may have written, with more in it."""
    content = json.loads(file.read_bytes())
    return kind(**{field.name: content[field.name] for field in fields(kind)})


def _write(file: Path, content: dict[str, Any]) -> None:
    _replace(file, json.dumps(content).encode())


def _replace(file: Path, content: bytes) -> None:
    new = file.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
    new.rename(file)
