"""What is kept of a release that failed."""

import shutil
from pathlib import Path

from cell_monitor_release import files, health, systemd
from cell_monitor_release.model import Generation
from cell_monitor_release.state import Progress, State, now

# Failures.
_KEPT = 10


def collect(state: State, progress: Progress, reason: str, culprits: list[str]) -> Path:
    """Keeps the journal, the state and the files of a release that failed; returns the folder."""
    folder = state.failed / (culprits[0] if culprits else progress.target.bundle or f"{progress.since:.0f}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    units = [part.unit for part in progress.target.parts if part.unit]
    units += [f"{part.candidate}*" for part in progress.target.parts if part.candidate]
    files.write(folder / "journal.txt", systemd.journal(units, progress.since).encode())
    shown = systemd.systemctl("status", "--no-pager", "--full", "--lines=0", *units).stdout
    files.write(folder / "services.txt", shown.encode())
    files.write_json(
        folder / "state.json",
        {"when": now(), "reason": reason, "health": _health(progress.target), "progress": progress.json()},
    )
    for path, kept in state.keep(path for part in progress.target.parts for path in part.kept).items():
        if kept:
            files.write(folder / str(path).strip("/").replace("/", "--"), state.content(kept))
    return folder


def forget(state: State) -> None:
    """Removes what is known of failures long ago."""
    folders = sorted(state.failed.iterdir(), key=lambda folder: folder.stat().st_mtime)
    for folder in folders[:-_KEPT]:
        shutil.rmtree(folder)


def _health(generation: Generation) -> dict[str, object]:
    return {part.name: health.ask(part.health_url) for part in generation.parts if part.health_url}
