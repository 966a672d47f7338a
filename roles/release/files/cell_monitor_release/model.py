"""Parts, and generations made of them."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def known(kind: type, data: Json) -> Json:
    """Returns what a class knows of what another version of this program has written."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in data.items() if name in names}


@dataclass(frozen=True)
class Part:
    """Something that a release consists of: an application with its service, or a service with its configuration.

    Attributes:
        name: such as event-server.
        folder: folder of the releases and of the link ``current``; None for what has no releases of its own.
        release: id of the release, which is the name of its folder; None if there is none.
        unit: the systemd service; None for what nobody runs as one.
        socket: the systemd socket that the service gets its connections from.
        files: belong to the release; the service reads them when it starts.
        served: belong to the release; they are read when they are needed, or by others.
        secrets: read when the service starts; never saved, so that no way back brings an old one.
        reload: whether the service takes up its files by a reload; a change of its unit restarts it all the same.
        health_url: answers 200 when the service works, and as ``release`` its id; None where nothing tells.
        tells_release: whether it tells its release.
        candidate: template unit that runs a release, its instance, beside the present one.
        candidate_socket: where it answers; ``%i`` stands for the release.
        database: the SQLite file that the service keeps its data in.
        seconds: how long the service may take until it works.
    """

    name: str
    folder: Path | None = None
    release: str | None = None
    unit: str | None = None
    socket: str | None = None
    files: tuple[Path, ...] = ()
    served: tuple[Path, ...] = ()
    secrets: tuple[Path, ...] = ()
    reload: bool = False
    health_url: str | None = None
    tells_release: bool = True
    candidate: str | None = None
    candidate_socket: str | None = None
    database: Path | None = None
    seconds: float = 30

    @classmethod
    def of(cls, data: Json) -> "Part":
        """Reads a part."""
        values = dict(data)
        for name in ("files", "served", "secrets"):
            values[name] = tuple(map(Path, values.get(name, ())))
        for name in ("folder", "database"):
            values[name] = Path(values[name]) if values.get(name) else None
        return cls(**known(cls, values))

    def json(self) -> Json:
        """Writes a part."""
        values = asdict(self)
        for name in ("files", "served", "secrets"):
            values[name] = [str(path) for path in values[name]]
        for name in ("folder", "database"):
            values[name] = str(values[name]) if values[name] else None
        return values

    @property
    def kept(self) -> tuple[Path, ...]:
        """The files that come back with the release."""
        return self.files + self.served

    @property
    def link(self) -> Path | None:
        """The link that says which release is the current one."""
        return self.folder / "current" if self.folder else None

    @property
    def path(self) -> Path | None:
        """Folder of the release."""
        return self.folder / "releases" / self.release if self.folder and self.release else None


@dataclass(frozen=True)
class Kept:
    """A file as it was.

    Attributes:
        sha256: digest of its content, by which it is found.
        mode: permissions.
        mtime_ns: when it was written, in nanoseconds since 1970.
    """

    sha256: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int

    def same(self, other: "Kept | None") -> bool:
        """Whether nobody who reads it would see a difference."""
        return other is not None and (self.sha256, self.mode, self.uid, self.gid) == (
            other.sha256,
            other.mode,
            other.uid,
            other.gid,
        )


@dataclass(frozen=True)
class Generation:
    """All that a host ran at some time, and can run again.

    Attributes:
        number: counts up; 0 for one that was not committed.
        parent: number of the one that it took the place of, 0 if there was none.
        files: content of each file of the parts; None where there was none.
    """

    number: int
    parts: tuple[Part, ...]
    files: dict[Path, Kept | None]
    bundle: str = ""
    version: str = ""
    commit: str = ""
    when: str = ""
    who: str = ""
    why: str = ""
    parent: int = 0

    @classmethod
    def of(cls, data: Json) -> "Generation":
        """Reads a generation."""
        files = {Path(path): Kept(**kept) if kept else None for path, kept in data["files"].items()}
        return cls(**known(cls, data) | {"parts": tuple(map(Part.of, data["parts"])), "files": files})

    def json(self) -> Json:
        """Writes a generation."""
        files = {str(path): asdict(kept) if kept else None for path, kept in self.files.items()}
        return asdict(self) | {"parts": [part.json() for part in self.parts], "files": files}

    def part(self, name: str) -> Part | None:
        """Returns the part of a name."""
        return next((part for part in self.parts if part.name == name), None)

    @property
    def releases(self) -> dict[str, str]:
        """Ids of the releases, by part."""
        return {part.name: part.release for part in self.parts if part.release}

    @property
    def label(self) -> str:
        """What people call it."""
        return f"{self.bundle or 'found on the host'}, generation {self.number}"

    def runs_as(self, other: "Generation") -> bool:
        """Whether both are the same releases with the same files."""
        return (
            self.releases == other.releases
            and self.files.keys() == other.files.keys()
            and all(_same(kept, other.files[path]) for path, kept in self.files.items())
        )

    def folders(self) -> Iterator[Path]:
        """Folders of its releases."""
        return (part.path for part in self.parts if part.path)


def _same(one: Kept | None, other: Kept | None) -> bool:
    return one.same(other) if one else other is None
