"""The configuration file, and one sentence for each mistake in it."""

import ipaddress
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Credential = Literal["writers", "instructors", "database-password", "session-key"]


class ConfigError(ValueError):
    """A configuration that cannot be used; its text is one sentence for the administrator."""


def _ip_address(value: str) -> str:
    return str(ipaddress.ip_address(value))


def _absolute(value: Path) -> Path:
    if not value.is_absolute():
        raise ValueError
    return value


def _origin(value: str) -> str:
    if value != "*" and not re.fullmatch(r"https?://[^/\s:*?#@\[\]]+(:([0-9]{1,5}|\*))?", value):
        raise ValueError
    return value


def _retention(value: int) -> int:
    # The dashboard's longest range.
    if value != 0 and not 7 <= value <= 36_500:
        raise ValueError
    return value


def _database_url(value: str) -> str:
    if not re.match(r"postgres(ql)?://", value):
        raise ValueError
    # Slow to load, and not needed for SQLite.
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        has_password = "password" in conninfo_to_dict(value)
    except ProgrammingError:
        raise ValueError from None
    if has_password:
        raise ValueError
    return value


_AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
_Networks = Annotated[
    tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...],
    Field(description="a list of networks in CIDR notation such as 192.168.10.0/24"),
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Section):
    """What one request, and all of them together, may take."""

    max_body_bytes: int = Field(
        default=8 * 2**20, ge=2**16, le=2**30, description="a number of bytes from 65536 to 1073741824"
    )
    max_event_bytes: int = Field(
        default=2**20, ge=2**12, le=2**28, description="a number of bytes from 4096 to 268435456"
    )
    max_held_bytes: int = Field(
        default=128 * 2**20, ge=2**20, le=2**36, description="a number of bytes from 1048576 to 68719476736"
    )
    max_queued_events: int = Field(default=20_000, ge=200, le=1_000_000, description="a number from 200 to 1000000")
    min_free_bytes: int = Field(default=16 * 2**20, ge=0, description="a number of bytes from 0")


class Classroom(_Section):
    """What the overview calls active, asking for help and stuck."""

    active_seconds: int = Field(default=120, ge=1, le=86_400, description="a number of seconds from 1 to 86400")
    help_interval_seconds: int = Field(default=10, ge=1, le=3600, description="a number of seconds from 1 to 3600")
    help_missed_intervals: int = Field(default=3, ge=1, le=100, description="a number from 1 to 100")
    significant_errors: int = Field(default=3, ge=1, le=100, description="a number from 1 to 100")


class Config(_Section):
    """The whole file; every key has a default but the one that says where the database is."""

    host: Annotated[str, AfterValidator(_ip_address)] = Field(default="127.0.0.1", description="an IP address")
    port: int = Field(default=8000, ge=1024, le=65535, description="a number from 1024 to 65535")
    database_path: _AbsolutePath | None = Field(default=None, description="an absolute path")
    database_url: Annotated[str, AfterValidator(_database_url)] | None = Field(
        default=None, description="a URL such as postgresql://user@host/database, without a password"
    )
    database_password_file: _AbsolutePath | None = Field(default=None, description="an absolute path")
    session_key_file: _AbsolutePath | None = Field(default=None, description="an absolute path")
    writers_file: _AbsolutePath | None = Field(default=None, description="an absolute path")
    instructors_file: _AbsolutePath | None = Field(default=None, description="an absolute path")
    tokenless_networks: _Networks = ()
    trusted_proxies: _Networks = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
    login_proxies: _Networks = ()
    cors_origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = Field(
        default=(),
        description='a list of origins such as "https://lab.example" or "http://localhost:*", or "*" for all',
    )
    retention_days: Annotated[int, AfterValidator(_retention)] = Field(
        default=0, description="0, which keeps events for ever, or a number of days from 7 to 36500"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error"
    )
    limits: Limits = Limits()
    classroom: Classroom = Classroom()

    _folder: Path | None = None

    @model_validator(mode="after")
    def _has_one_database(self) -> Self:
        if self.database_path is None and self.database_url is None:
            raise ValueError("database_path is missing; it has to be an absolute path")
        if self.database_path is not None and self.database_url is not None:
            raise ValueError("database_path and database_url are both given; there has to be one of them")
        return self

    @property
    def session_key_path(self) -> Path | None:
        """The file of the key that signs instructors' sessions: as given, else beside the database's file."""
        given = self.credential("session-key")
        if given is None and self.database_path is not None:
            return self.database_path.parent / "session-key"
        return given

    def credential(self, name: Credential) -> Path | None:
        """Returns the file of a secret: as configured, else as systemd's LoadCredential= gives it, else None.

        What a server can do without is not looked for in vain; it may also lie beside the configuration, where
        administrators' commands find it.
        """
        configured: Path | None = getattr(self, f"{name.replace('-', '_')}_file")
        if configured is not None:
            return configured
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if name in ("writers", "instructors"):
            return Path(folder, name) if folder else None
        places = [Path(place, name) for place in (folder, self._folder) if place]
        return next((place for place in places if place.exists()), None)


def load_config(path: Path) -> Config:
    """Reads and checks a configuration file.

    Raises:
        ConfigError: it cannot be read, or a key of it cannot be used.
    """
    try:
        config = Config.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        config._folder = path.parent
        return config
    except (OSError, ValueError) as error:
        if isinstance(error, ValidationError):
            raise ConfigError(_sentence(error)) from None
        raise ConfigError(f"{path} cannot be read as TOML: {error}.") from None


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    if not first["loc"]:
        return f"{first['msg'].removeprefix('Value error, ')}."
    names = [part for part in first["loc"] if isinstance(part, str)]
    model: type[BaseModel] = Config
    field = None
    path = []
    for name in names:
        field = model.model_fields.get(name)
        path.append(name)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            break
        model = field.annotation
    key = ".".join(path)
    if first["type"] == "missing":
        return f"{key} is missing; it has to be {_allowed(field)}."
    if field is None:
        return f"{key} is not a known key; allowed here are {', '.join(model.model_fields)}."
    return f"{key} is {_toml(first['input'])}; it has to be {_allowed(field)}."


def _allowed(field: Any) -> str:
    return getattr(field, "description", None) or "a table"


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')
