"""Prints a digest of what a running Jupyter server reads of the wheels in a folder.

Left out are the front ends of JupyterLab's extensions, which a reload of the page brings, and what wheels say of
themselves. Two releases with the same digest need no restart between them.
"""

import csv
import hashlib
import io
import re
import sys
import zipfile
from pathlib import Path

LEFT_OUT = re.compile(r"[^/]+\.data/data/share/jupyter/labextensions/|[^/]+\.dist-info/(?!entry_points\.txt$)")
# The version is in the names of these folders.
VERSIONED = re.compile(r"^[^/]+\.(data|dist-info)/")


def server_digest(folder: Path) -> str:
    """Returns the digest."""
    digest = hashlib.sha256()
    for wheel in sorted(folder.glob("*.whl")):
        lines = [f"{VERSIONED.sub('', path)} {sha256}" for path, sha256 in record(wheel) if not LEFT_OUT.match(path)]
        digest.update("\n".join([wheel.name.split("-")[0], *sorted(lines), ""]).encode())
    return digest.hexdigest()


def record(wheel: Path) -> list[tuple[str, str]]:
    """Returns path and digest of each file of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/RECORD", name))
        rows = csv.reader(io.StringIO(archive.read(name).decode()))
    return [(path, sha256) for path, sha256, _ in rows]


if __name__ == "__main__":
    print(server_digest(Path(sys.argv[1])))
