"""Which release of the application this process runs."""

import json
import sys
from pathlib import Path

DEVELOPMENT = "development"


def running_release(prefix: Path | None = None) -> str:
    """The id that the deployment wrote into the environment, ``development`` where none did.

    Args:
        prefix: the root of the environment, of this interpreter where it is not given.
    """
    try:
        manifest = json.loads((Path(sys.prefix) if prefix is None else prefix).joinpath("release.json").read_bytes())
        return str(manifest["release"])
    except (OSError, ValueError, KeyError, TypeError):
        return DEVELOPMENT
