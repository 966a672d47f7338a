"""Which release of the application this process runs."""

import json
import sys
from pathlib import Path
from typing import Any

DEVELOPMENT = "development"


def running_release(prefix: Path | None = None) -> str:
    """The id that the deployment wrote into the environment, ``development`` where none did.

    Args:
        prefix: the root of the environment, of this interpreter where it is not given.
    """
    return str(_manifest(prefix).get("release", DEVELOPMENT))


def release_coverage(prefix: Path | None = None) -> float | None:
    """The share of the release's lines that its tests ran, in percent; None where nobody measured it.

    Args:
        prefix: see `running_release`.
    """
    value = _manifest(prefix).get("testCoverage")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        return None
    return float(value)


def _manifest(prefix: Path | None) -> dict[str, Any]:
    try:
        manifest = json.loads((Path(sys.prefix) if prefix is None else prefix).joinpath("release.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}
