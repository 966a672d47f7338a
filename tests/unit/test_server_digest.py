"""Which changes of wheels need a restart of the server that runs them."""

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest
from server_digest import server_digest

FRONT_END = "cell_monitor-{v}.data/data/share/jupyter/labextensions/cell-monitor/static/x.js"
FILES = {
    "cell_monitor/app.py": "1",
    FRONT_END: "1",
    "cell_monitor-{v}.data/data/etc/jupyter/jupyter_server_config.d/cell_monitor.json": "1",
    "cell_monitor-{v}.dist-info/METADATA": "Version: {v}",
    "cell_monitor-{v}.dist-info/entry_points.txt": "1",
}


def digest(folder: Path, version: str = "1", **changed: str) -> str:
    """Digest of a folder with one wheel, of which files that end in a name are changed."""
    folder.mkdir()
    lines = ""
    with zipfile.ZipFile(folder / f"cell_monitor-{version}-py3-none-any.whl", "w") as wheel:
        for name, content in FILES.items():
            path = name.format(v=version)
            text = next((text for end, text in changed.items() if Path(path).stem == end), content.format(v=version))
            wheel.writestr(path, text)
            sha256 = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
            lines += f"{path},sha256={sha256},{len(text)}\n"
        record = f"cell_monitor-{version}.dist-info/RECORD"
        wheel.writestr(record, f"{lines}{record},,\n")
    return server_digest(folder)


@pytest.mark.parametrize(
    ("version", "changed", "needs_restart"),
    [
        ("1", {}, False),
        ("2", {}, False),
        ("1", {"x": "2"}, False),
        ("1", {"app": "2"}, True),
        ("1", {"cell_monitor": "2"}, True),
        ("1", {"entry_points": "2"}, True),
    ],
)
def test_what_the_server_reads_counts(
    tmp_path: Path, version: str, changed: dict[str, str], needs_restart: bool
) -> None:
    assert (digest(tmp_path / "a") != digest(tmp_path / "b", version, **changed)) == needs_restart
