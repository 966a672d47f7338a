"""The one uv that is installed by pip is the one that is locked."""

import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_bootstrap_requirements_are_those_of_the_lock() -> None:
    export = [
        "uv",
        "export",
        "--quiet",
        "--frozen",
        "--only-group",
        "bootstrap",
        "--no-emit-project",
        "--no-header",
        "--no-annotate",
    ]
    locked = subprocess.run(export, cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    assert (PROJECT / "requirements-bootstrap.txt").read_text() == locked
