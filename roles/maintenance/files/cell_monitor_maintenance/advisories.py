"""Known vulnerabilities of the Python and npm packages in use: from a server, else from a carried copy."""

import json
import re
import time
import urllib.request
from collections.abc import Iterable
from datetime import date
from typing import Any

from cell_monitor_host import files

from cell_monitor_maintenance.config import Config
from cell_monitor_maintenance.findings import Check, UncheckedError

# Ecosystem, name and version.
Package = tuple[str, str, str]
# Ids of the advisories on each.
Known = dict[Package, list[str]]

CARRIED = "advisories.json"
_SECONDS = 20
_BATCH = 500


def python_packages(config: Config) -> set[Package]:
    """Returns what is installed in the environments in use."""
    return {
        ("PyPI", re.sub(r"[-_.]+", "-", name).lower(), version)
        for _, folder in config.environments
        for info in folder.glob("lib/python3*/site-packages/*.dist-info")
        for name, _, version in [info.name.removesuffix(".dist-info").rpartition("-")]
    }


def python(config: Config) -> Check:
    """Asks about the Python packages in use.

    Raises:
        UncheckedError: nobody who knows can be asked.
    """
    own = {"cell-monitor", "event-server", "systemd-kernels"}
    packages = {package for package in python_packages(config) if package[1] not in own}
    if not packages:
        raise UncheckedError("no environment is in use here")
    known, when = _look(config, "python", packages)
    return Check.of("python", f"{len(packages)} packages, {when}", _lines(known, packages))


def npm(config: Config) -> Check:
    """Asks about the npm packages of the build's lock files, of which the pages carry few; the tools' are only told.

    Raises:
        UncheckedError: nobody who knows can be asked.
    """
    listed = (_carried(config) or {}).get("npm")
    if not listed:
        raise UncheckedError("which npm packages the build has is not known here: run playbooks/maintenance.yml")
    bundled, tools = (_npm_packages(listed.get(part, {})) for part in ("packages", "tools"))
    known, when = _look(config, "npm", bundled | tools)
    told = f"{len(bundled)} bundled packages, {when}, {len(_lines(known, tools))} advisories on {len(tools)} tools"
    return Check.of("npm", told, _lines(known, bundled))


def _npm_packages(listed: dict[str, list[str]]) -> set[Package]:
    return {("npm", name, version) for name, versions in listed.items() for version in versions}


def _lines(known: Known, packages: Iterable[Package]) -> list[str]:
    return [f"{one[1]} {one[2]}: {advisory}" for one in sorted(packages) for advisory in known.get(one, ())]


def _look(config: Config, name: str, packages: set[Package]) -> tuple[Known, str]:
    """Returns the advisories on packages, and of when they are."""
    try:
        return ask(config.advisories_url, sorted(packages)), "asked today"
    except UncheckedError as error:
        return _from_copy(config, name, packages, str(error))


def ask(url: str, packages: list[Package]) -> Known:
    """Returns what a server knows, as https://api.osv.dev does.

    Raises:
        UncheckedError: it gives no answer, or not about every package.
    """
    if not url:
        raise UncheckedError("no server is set (maintenance_advisories_url)")
    known: Known = {}
    for begin in range(0, len(packages), _BATCH):
        part = packages[begin : begin + _BATCH]
        queries = [{"package": {"ecosystem": kind, "name": name}, "version": version} for kind, name, version in part]
        body = json.dumps({"queries": queries}).encode()
        request = urllib.request.Request(  # noqa: S310
            f"{url.rstrip('/')}/v1/querybatch", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
                results = [
                    [entry["id"] for entry in result.get("vulns", ())] for result in json.load(answer)["results"]
                ]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UncheckedError(f"{url} gave no answer ({error})") from None
        if len(results) != len(part):
            raise UncheckedError(f"{url} answered for {len(results)} of {len(part)} packages")
        known |= dict(zip(part, results, strict=True))
    return known


def _carried(config: Config) -> dict[str, Any] | None:
    data = files.read_json(config.state / CARRIED)
    return data if isinstance(data, dict) else None


def _from_copy(config: Config, name: str, packages: set[Package], why: str) -> tuple[Known, str]:
    copy = _carried(config) or {}
    carried: dict[str, list[str]] | None = copy.get(name, {}).get("known")
    if carried is None:
        reason = copy.get(name, {}).get("unchecked")
        raise UncheckedError(f"{why}, and no advisories were carried here" + (f" ({reason})" if reason else ""))
    asked_on = date.fromisoformat(copy["asked_on"])
    age = (date.fromtimestamp(time.time()) - asked_on).days
    if not 0 <= age <= config.advisories_days:
        raise UncheckedError(f"{why}, and the advisories that were carried here are of {asked_on}")
    known = {one: carried[f"{one[1]}=={one[2]}"] for one in packages if f"{one[1]}=={one[2]}" in carried}
    # What is found counts, whatever else is not known.
    if len(known) < len(packages) and not any(known.values()):
        missing = min(packages - known.keys())
        raise UncheckedError(
            f"{why}, and the copy of {asked_on} does not tell of {len(packages) - len(known)} packages,"
            f" such as {missing[1]} {missing[2]}"
        )
    return known, f"by a copy of {asked_on}"
