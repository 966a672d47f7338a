"""The project that is measured: its parts, its tools, and results that hold for as long as its files do."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from quality_gates.results import Measured, MeasurementError

BIN = Path(sys.executable).parent
OWN_SOURCES = Path(__file__).parent


@dataclass(frozen=True)
class Project:
    """A clone of the project.

    Attributes:
        root: its root folder.
    """

    root: Path

    @property
    def extension(self) -> Path:
        """The JupyterLab extension."""
        return self.root / "files/extension"

    @property
    def event_server(self) -> Path:
        """The event server."""
        return self.root / "files/event-server"

    @property
    def systemd_kernels(self) -> Path:
        """The kernels that outlive the Jupyter server."""
        return self.root / "files/systemd-kernels"

    @property
    def typescript(self) -> dict[str, Path]:
        """The folders of the TypeScript packages, by the name of their logs."""
        return {"extension": self.extension, "dashboard": self.event_server / "dashboard"}

    @property
    def results(self) -> Path:
        """The folder of results and of the commands' output."""
        return self.root / "build/gates"

    def run(
        self, name: str, argv: list[str], cwd: Path, *, timeout: float, show: bool = False, **env: str
    ) -> "subprocess.CompletedProcess[str]":
        """Runs a command with the project's tools on its path; what it writes to stderr is in the log of that name.

        Args:
            name: of the log below `results`.
            argv: the command.
            cwd: the folder to run it in.
            timeout: seconds it may take.
            show: lets it write to the terminal instead.
            env: variables of the environment.

        Raises:
            MeasurementError: it took too long.
        """
        self.results.mkdir(parents=True, exist_ok=True)
        log = self.log(name)
        with log.open("w+", encoding="utf-8") as output:
            try:
                ended = subprocess.run(  # noqa: S603
                    argv,
                    cwd=cwd,
                    env=os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"} | env,
                    stdin=subprocess.DEVNULL,
                    stdout=None if show else subprocess.PIPE,
                    stderr=None if show else output,
                    text=True,
                    timeout=timeout,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise MeasurementError(f"`{argv[0]}` did not end within {timeout:.0f} s; see {log}") from None
            if ended.returncode and ended.stdout:
                output.write(ended.stdout)
        return ended

    def log(self, name: str) -> Path:
        """Where the output of the commands of that name is."""
        return self.results / f"{name}.log"

    def remembered(
        self, name: str, paths: list[Path], measure: Callable[[], Measured], *, anew: bool = False
    ) -> Measured:
        """Measures what has not been measured since these files, the measurement and the tools are as they are.

        Args:
            name: of the result.
            paths: files and folders that decide it.
            measure: the measurement.
            anew: measures in any case.
        """
        digest = self._digest(paths)
        result = self.results / f"{name}.json"
        if not anew:
            try:
                known = json.loads(result.read_bytes())
                if known.pop("inputs") == digest:
                    return Measured(**known)
            except (OSError, ValueError, KeyError, TypeError):
                pass
        measured = measure()
        # Who edits meanwhile does not get the result for what was measured before.
        if self._digest(paths) == digest:
            result.parent.mkdir(parents=True, exist_ok=True)
            result.write_text(json.dumps({"inputs": digest, **asdict(measured)}) + "\n", encoding="utf-8")
        return measured

    def locked(self, group: str) -> str:
        """The requirements of a dependency group, as they are locked."""
        command = [
            str(BIN / "uv"),
            "export",
            "--quiet",
            "--frozen",
            "--no-emit-project",
            "--no-header",
            "--no-annotate",
        ]
        command += ["--no-hashes", f"--only-group={group}", "--format=requirements.txt"]
        return subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True).stdout  # noqa: S603

    def _digest(self, paths: list[Path]) -> str:
        names = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *map(str, paths)]
        listed = subprocess.run(names, cwd=self.root, check=True, capture_output=True, text=True).stdout  # noqa: S603
        files = [self.root / name for name in sorted(set(listed.split("\0"))) if name]
        digest = hashlib.sha256(self.locked("dev").encode())
        for file in [*files, *sorted(OWN_SOURCES.glob("*.*"))]:
            if file.is_file():
                content = hashlib.sha256(file.read_bytes()).hexdigest()
                digest.update(f"{file.name} {content} {file}\n".encode())
        return digest.hexdigest()
