"""Which release of the project this process runs from."""

import json
import sys
from pathlib import Path


def release_id() -> str:
    """Returns the id of the release folder this interpreter lives in, "development" outside of one."""
    try:
        return str(json.loads((Path(sys.prefix) / "release.json").read_text(encoding="utf-8"))["release"])
    except (OSError, ValueError, KeyError, TypeError):
        return "development"
