"""Files that are there whole or not at all, whenever the power fails or the disk is full."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write(path: Path, content: str, mode: int = 0o600) -> None:
    """Replaces a file, in a folder that need not be there.

    Raises:
        OSError: there is no room for it; the one that was there stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, new = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        Path(new).replace(path)
    except BaseException:
        Path(new).unlink(missing_ok=True)
        raise


def write_json(path: Path, data: Any, mode: int = 0o600) -> None:
    """Replaces a file by a JSON document."""
    write(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n", mode)


def read_json(path: Path) -> Any:
    """Returns a JSON document, None where there is none or it is damaged."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
