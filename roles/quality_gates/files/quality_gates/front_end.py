"""The production build of the front end: what a browser loads of it, and how long it took."""

import gzip
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

from quality_gates.results import Measured, MeasurementError

STATIC = "/labextensions/cell-monitor/static/"
# Of the static folder, no browser asks for these.
NOT_LOADED = (".map", ".txt", ".json")
KILOBYTE = 1000


def bundle_size(wheel: Path) -> Measured:
    """How many kilobytes (of 1000 bytes) a browser loads, before compression."""
    files = _loaded(wheel)
    return Measured(_kilobytes(map(len, files)), f"{len(files)} files")


def compressed_bundle_size(wheel: Path) -> Measured:
    """How many kilobytes (of 1000 bytes) a browser loads from a server that compresses with gzip."""
    files = _loaded(wheel)
    return Measured(_kilobytes(len(gzip.compress(file)) for file in files), f"{len(files)} files")


def build_time(record: Path) -> Measured:
    """How many seconds the production build took when the wheel was built."""
    return Measured(round(float(json.loads(record.read_bytes())["seconds"]), 1), "jlpm build:prod")


def _kilobytes(lengths: Iterable[int]) -> float:
    return round(sum(lengths) / KILOBYTE, 1)


def _loaded(wheel: Path) -> list[bytes]:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if STATIC in name and not name.endswith(NOT_LOADED)]
        if not names:
            raise MeasurementError(f"{wheel} has no front end in it")
        return [archive.read(name) for name in names]
