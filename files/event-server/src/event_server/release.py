"""Which release of the project this process runs from."""

import json
import sys
from functools import cache
from pathlib import Path


@cache
def release_id() -> str:
    """Returns the id of the release folder this interpreter lives in, "development" outside of one.

    Read once: after a switch of releases an old process must not answer for the new one.
    """
    try:
        return str(json.loads((Path(sys.prefix) / "release.json").read_text(encoding="utf-8"))["release"])
    except (OSError, ValueError, KeyError, TypeError):
        return "development"
