"""Which release of the application this process runs."""

import json
import sys
from pathlib import Path
from typing import Any

DEVELOPMENT = "development"


class RunningRelease:
    """The release that this process was started from, as it was then."""

    def __init__(self, prefix: Path | None = None) -> None:
        """Reads what the deployment wrote into an environment.

        Args:
            prefix: the root of the environment, of this interpreter where it is not given.
        """
        self._prefix = Path(sys.prefix) if prefix is None else prefix
        self._manifest = _manifest(self._prefix)

    def told(self) -> str:
        """The id of the current release, if this process serves that: both differ in nothing that a server reads.

        Otherwise the process's own, so that it never answers for a release that needs another process; ``development``
        where nothing was deployed.
        """
        server = self._manifest.get("server")
        current = _manifest(self._prefix.parent.parent / "current") if server else {}
        serves_current = server is not None and current.get("server") == server
        return str((current if serves_current else self._manifest).get("release", DEVELOPMENT))


def release_coverage(prefix: Path | None = None) -> float | None:
    """The share of the release's lines that its tests ran, in percent; None where nobody measured it.

    Args:
        prefix: see `RunningRelease`.
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
