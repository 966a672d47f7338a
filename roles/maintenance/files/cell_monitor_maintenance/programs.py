"""Other programs, and what systemd is told of ours."""

import os
import socket
import subprocess
from collections.abc import Sequence


def run(argv: Sequence[str], seconds: float = 120, given: str | None = None) -> "subprocess.CompletedProcess[str]":
    """Runs a program for so long; what takes longer has the code 124, what is not there 127."""
    try:
        return subprocess.run(  # noqa: S603
            argv,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            input=given,
            env=os.environ | {"LC_ALL": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 124, "", f"{argv[0]} took more than {seconds:.0f} s")
    except FileNotFoundError:
        return subprocess.CompletedProcess(argv, 127, "", f"{argv[0]} is not there")


def last_line(text: str) -> str:
    """Returns the last line that says anything, for one sentence."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def tell(sentence: str) -> None:
    """Says to systemd how it goes; the record of the job keeps the last word."""
    print(sentence, flush=True)
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            notify.sendall(f"STATUS={sentence}".encode())
