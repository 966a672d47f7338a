"""Runs a script of this package as somebody else, who need not be able to read the package."""

import subprocess
from pathlib import Path

_PYTHON = "/usr/bin/python3"
_SECONDS = 3600


def run(script: str, uid: int, gid: int, *arguments: Path) -> subprocess.CompletedProcess[str]:
    """Runs a module that needs no other; returns how it ended.

    Args:
        script: its file's name.
        uid: the user.
        gid: the group, and the only one.
        arguments: of its command line.
    """
    code = Path(__file__).with_name(script).read_text(encoding="utf-8")
    return subprocess.run(  # noqa: S603
        [_PYTHON, "-I", "-c", code, *map(str, arguments)],
        user=uid,
        group=gid,
        extra_groups=[],
        umask=0o077,
        cwd="/",
        check=False,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
