"""What the role has set."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cell_monitor_host import files

FILE = Path("/etc/cell-monitor-maintenance.json")


class MaintenanceError(Exception):
    """Something cannot be done; the text is one sentence."""


@dataclass(frozen=True)
class Config:
    """The settings.

    Attributes:
        host: its name.
        state: folder of samples, reports and records.
        jupyterlab: where JupyterLab answers, "" where there is none.
        event_server: where the event server answers, "" where there is none.
        environments: virtual environments in use, by name.
        disks: folders whose disks are watched.
        ports: TCP and UDP ports that may be reached from other machines.
        certificates: PEM files.
        advisories_url: of a server that answers as osv.dev does; "" asks nobody.
        advisories_days: for how long carried advisories are believed.
        keep_releases: how many stay.
        keep_days: of samples and reports.
        log_days: of the journal.
        mail: to, sender, host, port, security (none, starttls, tls) and user; {} for no mail.
        webhook: whether there is an address in the credential.
        tell: `always`, or `problems` for days with some.
    """

    host: str
    state: Path = Path("/var/lib/cell-monitor")
    jupyterlab: str = ""
    event_server: str = ""
    environments: tuple[tuple[str, Path], ...] = ()
    disks: tuple[str, ...] = ("/",)
    ports: tuple[int, ...] = (22, 80, 443)
    certificates: tuple[Path, ...] = ()
    advisories_url: str = ""
    advisories_days: int = 35
    keep_releases: int = 3
    keep_days: int = 400
    log_days: int = 7
    mail: tuple[tuple[str, Any], ...] = ()
    webhook: bool = False
    tell: str = "problems"

    @classmethod
    def of(cls, data: dict[str, Any]) -> Self:
        """Reads settings."""
        values: dict[str, Any] = {name: value for name, value in data.items() if name in cls.__dataclass_fields__}
        values["state"] = Path(values.get("state", cls.state))
        values["environments"] = tuple((name, Path(path)) for name, path in values.get("environments", {}).items())
        values["certificates"] = tuple(map(Path, values.get("certificates", ())))
        values["mail"] = tuple(values.get("mail", {}).items())
        for name in ("disks", "ports"):
            values[name] = tuple(values.get(name, getattr(cls, name)))
        return cls(**values)


def load(path: Path) -> Config:
    """Reads the file.

    Raises:
        MaintenanceError: it is not there or damaged.
    """
    data = files.read_json(path)
    if not isinstance(data, dict):
        raise MaintenanceError(f"{path} is not there or no JSON; a deploy writes it.")
    return Config.of(data)


def secret(name: str) -> str:
    """Returns a credential of the unit, "" where it has none."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "/etc/cell-monitor-maintenance")
    path = Path(folder) / name
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""
