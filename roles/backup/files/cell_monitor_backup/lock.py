"""One run at a time."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from cell_monitor_backup.errors import OverlapError

_PAUSE = 0.2


@contextlib.contextmanager
def exclusive(path: Path, what: str, wait: float) -> Iterator[None]:
    """Keeps every other run away; ends with the process, however that ends.

    Args:
        path: of the lock.
        what: this is, for who finds it locked.
        wait: for another run, in seconds.

    Raises:
        OverlapError: another run has not ended by then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        until = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise OverlapError(f"{_holder(path)} goes on; nothing was begun beside it.") from None
                time.sleep(_PAUSE)
        lock.truncate(0)
        lock.write(json.dumps({"what": what, "pid": os.getpid(), "since": time.strftime("%H:%M:%S")}))
        lock.flush()
        yield


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return f"the {holder['what']} of {holder['since']}, process {holder['pid']},"
    except (OSError, ValueError):
        return "another run"
