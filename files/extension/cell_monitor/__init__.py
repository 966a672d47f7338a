"""Cell Monitor for JupyterLab: reports what students run, and who asks for help, to an event server."""

import importlib.metadata
import json
from pathlib import Path
from typing import Any

__all__ = ["__version__"]


def _version() -> str:
    """The version of the distribution, or of the source tree that is used without installing it."""
    manifest = Path(__file__).parent.parent / "package.json"
    if manifest.is_file():
        return str(json.loads(manifest.read_text(encoding="utf-8"))["version"])
    return importlib.metadata.version("cell_monitor")


__version__ = _version()


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "cell-monitor"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from cell_monitor.app import CellMonitor

    return [{"module": "cell_monitor", "app": CellMonitor}]
