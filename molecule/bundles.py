"""Bundles made from the one that was built, in a second each, which differ from it in what a test wants."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
BUILT = PROJECT / "build" / "bundles" / "current"
_SCHEMA = PROJECT / "files" / "event-server" / "src" / "event_server" / "store" / "schema.py"
sys.path.insert(0, str(PROJECT / "roles" / "bundle" / "files"))

from server_digest import server_digest  # noqa: E402


def _schema(text: str) -> int:
    return int(re.findall(r"(?m)^SCHEMA_VERSION = (\d+)$", text)[0])


SCHEMA = _schema(_SCHEMA.read_text())

# From the text of a file in a wheel to another text, or the text of a file that it does not have yet.
Change = Callable[[str], str] | str

EVENT_SERVER, EXTENSION = ("event-server", "event_server"), ("jupyterlab", "cell_monitor")
KERNEL = ("kernel", "comm")


def _append(text: str) -> Change:
    return lambda before: f"{before}\n{text}\n"


def variant(
    target: Path,
    changes: Mapping[tuple[str, str], Mapping[str, Change]],
    base: Path = BUILT,
    version: str | None = None,
) -> Path:
    """Makes a bundle with other wheels.

    Args:
        target: its folder, which is made.
        changes: by application and distribution: by regular expressions for paths in the wheel, what to make of them.
        base: the bundle that is changed.
        version: of the bundle, where it is to be another one.
    """
    shutil.copytree(base.resolve(), target, copy_function=_link)
    manifest = read_manifest(target)
    manifest["version"] = version or manifest["version"]
    for (application, distribution), files in changes.items():
        for pattern, change in files.items():
            if callable(change) and re.fullmatch(pattern, "event_server/store/schema.py"):
                manifest["schemas"]["event-server"]["version"] = _schema(change(_SCHEMA.read_text()))
        told = manifest["applications"][application]
        for archive in told["archives"].values():
            path = target / archive["file"]
            requirements = _rebuild(path, distribution, files, archive)
            archive["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
            told["release"] = f"{manifest['version']}-{hashlib.sha256(requirements).hexdigest()[:8]}"
    ids = "".join(told["release"] for told in manifest["applications"].values())
    manifest["bundle"] = f"{manifest['version']}-{hashlib.sha256(ids.encode()).hexdigest()[:8]}"
    seal(target, manifest)
    return target


def read_manifest(bundle: Path = BUILT) -> Any:
    """The manifest of a bundle."""
    return json.loads((bundle / "manifest.json").read_text())


def seal(bundle: Path, manifest: Any) -> None:
    """Writes manifest and checksums."""
    _write(bundle / "manifest.json", json.dumps(manifest, indent=2).encode())
    files = sorted(path for path in bundle.iterdir() if path.suffix in (".json", ".tar") or path.name == "uv")
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    _write(bundle / "SHA256SUMS", "".join(sums).encode())


def break_wheel(bundle: Path, application: str) -> None:
    """Has the bundle carry a wheel that is not the one that its requirements name."""
    manifest = read_manifest(bundle)
    for archive in manifest["applications"][application]["archives"].values():
        path = bundle / archive["file"]
        content = bytearray(path.read_bytes())
        # In the middle of the first wheel of the archive, whichever it is.
        content[len(content) // 2] ^= 0xFF
        _write(path, bytes(content))
        archive["sha256"] = hashlib.sha256(content).hexdigest()
    seal(bundle, manifest)


def _rebuild(archive: Path, distribution: str, files: Mapping[str, Change], told: dict[str, Any]) -> bytes:
    """Packs an archive again with a wheel changed; returns its requirements."""
    folder = archive.with_suffix(".unpacked")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    wheel = next((folder / "wheels").glob(f"{distribution}-*.whl"))
    before = hashlib.sha256(wheel.read_bytes()).hexdigest()
    wheel.write_bytes(_change_wheel(wheel.read_bytes(), files))
    after = hashlib.sha256(wheel.read_bytes()).hexdigest()
    requirements = (folder / "requirements.txt").read_text().replace(before, after).encode()
    (folder / "requirements.txt").write_bytes(requirements)
    told["server"] = server_digest(folder / "wheels")
    archive.unlink()
    with tarfile.open(archive, "w") as packed:
        for name in ("requirements.txt", "wheels"):
            packed.add(folder / name, name)
    shutil.rmtree(folder)
    return requirements


def _change_wheel(wheel: bytes, files: Mapping[str, Change]) -> bytes:
    output, left = io.BytesIO(), set(files)
    with zipfile.ZipFile(io.BytesIO(wheel)) as old, zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as new:
        lines = []
        for item in old.infolist():
            content = old.read(item)
            if item.filename.endswith(".dist-info/RECORD"):
                record = item
                continue
            for pattern, change in files.items():
                if callable(change) and re.fullmatch(pattern, item.filename):
                    text = content.decode()
                    content = change(text).encode()
                    assert content.decode() != text, f"{pattern} changes nothing"
                    left.discard(pattern)
            lines.append(_write_into(new, item, content))
        for name, added in files.items():
            if isinstance(added, str):
                lines.append(_write_into(new, zipfile.ZipInfo(name), added.encode()))
                left.discard(name)
        new.writestr(record, "".join(lines) + f"{record.filename},,\n")
    assert not left, f"the wheel has no {left}"
    return output.getvalue()


def _write_into(wheel: zipfile.ZipFile, item: zipfile.ZipInfo, content: bytes) -> str:
    """Adds a file; returns its line of the wheel's record."""
    wheel.writestr(item, content)
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{item.filename},sha256={digest},{len(content)}\n"


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def harmless(target: Path, word: str) -> Path:
    """Another release of both applications, which works."""
    comment = _append(f"# {word}")
    return variant(
        target,
        {EVENT_SERVER: {"event_server/release.py": comment}, EXTENSION: {"cell_monitor/release.py": comment}},
    )


def front_end(target: Path, word: str, base: Path) -> Path:
    """A release in which JupyterLab's front end alone differs from another's."""
    style = {r".*/labextensions/cell-monitor/static/style\.js": _append(f"/* {word} */")}
    return variant(target, {EXTENSION: style}, base)


def older(target: Path) -> Path:
    """An earlier version: all of its releases are other ones, that of the kernels, too."""
    comment = _append("# earlier")
    changes = {
        EVENT_SERVER: {"event_server/release.py": comment},
        EXTENSION: {"cell_monitor/release.py": comment},
        KERNEL: {"comm/__init__.py": comment},
    }
    return variant(target, changes, version="1.1.0")


def _replace(before: str, after: str) -> Change:
    return lambda text: text.replace(before, after)


def newer_schema(readable_from: int) -> Mapping[str, Change]:
    """Changes of the event server that raise the schema of its database.

    Args:
        readable_from: the oldest schema that a release must know to read it.
    """
    return {
        r"event_server/store/schema\.py": lambda text: re.sub(
            r"(?m)^READABLE_FROM = .*$",
            f"READABLE_FROM = {readable_from}",
            re.sub(r"(?m)^SCHEMA_VERSION = .*$", f"SCHEMA_VERSION = {SCHEMA + 1}", text),
        ),
        "event_server/store/migrations/versions/v_next.py": (
            "import sqlalchemy as sa\nfrom alembic import op\n"
            f'revision = "{SCHEMA + 1}"\ndown_revision = "{SCHEMA}"\n'
            'def upgrade():\n    op.create_table("later", sa.Column("number", sa.Integer))\n'
        ),
    }


FAULTS: dict[str, Mapping[tuple[str, str], Mapping[str, Change]]] = {
    "exits at start": {
        EVENT_SERVER: {r"event_server/server\.py": _append("def serve(config):\n    raise SystemExit(3)")}
    },
    "raises the schema and fails health": {
        EVENT_SERVER: {
            **newer_schema(readable_from=1),
            r"event_server/health\.py": _replace('"healthy", "written', '"broken", "not written'),
        }
    },
    "answers with the wrong id": {
        EVENT_SERVER: {r"event_server/release\.py": _append('def release_id():\n    return "1.2.0-00000000"')}
    },
    "JupyterLab exits at start": {EXTENSION: {r"cell_monitor/__init__\.py": _append("import sys; sys.exit(3)")}},
}
