"""Known vulnerabilities of what the bundle carries. Each audit asks a service, anew each time: answers age."""

import itertools
import json
import re
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from quality_gates.project import BIN, Project
from quality_gates.results import Measured, NotCheckedError

TIMEOUT_SECONDS = 60
SEVERE = {"HIGH", "CRITICAL"}
OSV = "https://api.osv.dev/v1/vulns/"


def python_vulnerabilities(project: Project, groups: Iterable[str]) -> Measured:
    """How many vulnerabilities, high or critical, pip-audit knows in the locked packages of these dependency groups."""
    pins = _pins(project, groups)
    return judge_pip_audit(_audited(pins), len(pins))


def _pins(project: Project, groups: Iterable[str]) -> set[str]:
    return {pin for group in groups for pin in re.findall(r"^\S+==\S+", project.locked(group), re.MULTILINE)}


def _audited(pins: set[str]) -> list[dict[str, Any]]:
    return [package for layer in _without_duplicates(pins) for package in _pip_audit(layer)]


def advisories(project: Project, groups: Iterable[str]) -> dict[str, Any]:
    """What is known today of the packages that a bundle has, of any severity, for hosts that can ask nobody.

    Returns:
        `asked_on`, a date; `python` and `npm`, each with `known`, the advisories by `name==version`, or with
        `unchecked`, why there are none. `npm` has in any case versions by name: of the bundled `packages`, and of the
        `tools` of the build.
    """
    bundled: dict[str, list[str]] = {}
    tools: dict[str, list[str]] = {}
    for folder in project.typescript.values():
        lock, manifest = _npm_files(folder)
        carried = bundled_packages(manifest, lock)
        for name, versions in locked_versions(lock).items():
            part = bundled if name in carried else tools
            part[name] = sorted({*part.get(name, ()), *versions})
    locked = {name: sorted({*bundled.get(name, ()), *tools.get(name, ())}) for name in bundled | tools}
    return {
        "asked_on": f"{datetime.now(UTC):%Y-%m-%d}",
        "python": _known(lambda: _of_python(_audited(_pins(project, groups)))),
        "npm": _known(lambda: _of_npm(_ask_registry(project, locked), locked)) | {"packages": bundled, "tools": tools},
    }


def _known(ask: Callable[[], dict[str, list[str]]]) -> dict[str, Any]:
    try:
        return {"known": ask()}
    except NotCheckedError as error:
        return {"unchecked": str(error)}


def _of_python(audited: list[dict[str, Any]]) -> dict[str, list[str]]:
    known = {
        f"{package['name']}=={package['version']}": [entry["id"] for entry in package["vulns"]]
        for package in audited
        if "vulns" in package
    }
    if not known:
        raise NotCheckedError("pip-audit's service answered for no package")
    return known


def _of_npm(answer: dict[str, list[dict[str, Any]]], versions: dict[str, list[str]]) -> dict[str, list[str]]:
    # The registry does not tell which of the versions it means: one of them is enough.
    return {
        f"{name}=={version}": [entry["url"] for entry in answer.get(name, ())]
        for name, found in versions.items()
        for version in found
    }


def judge_pip_audit(audited: list[dict[str, Any]], expected: int) -> Measured:
    """Counts what pip-audit found.

    Args:
        audited: its `dependencies`.
        expected: how many packages it was to ask about.

    Raises:
        NotCheckedError: nothing was found, and not every package was looked at.
    """
    found = [(package["name"], entry) for package in audited for entry in package.get("vulns", [])]
    severe = [f"{name} {entry['id']}" for name, entry in found if _is_severe([entry["id"], *entry.get("aliases", [])])]
    checked = sum("vulns" in package for package in audited)
    if not severe and checked < expected:
        raise NotCheckedError(f"pip-audit's service answered for {checked} of {expected} packages")
    return Measured(len(severe), _dated(f"{checked} packages", severe, len(found) - len(severe)))


def npm_vulnerabilities(project: Project) -> Measured:
    """How many advisories, high or critical, npm's registry has for the npm packages that the front end bundles.

    JupyterLab brings all others at run time, as part of its Python package; the locked ones are tools of the build.
    What is found in them is told, but does not count.
    """
    lock, manifest = _npm_files(project.extension)
    locked = locked_versions(lock)
    advisories = _ask_registry(project, locked)
    bundled = bundled_packages(manifest, lock)
    severe = {
        name: [f"{name} {entry['url']}" for entry in entries if entry["severity"].upper() in SEVERE]
        for name, entries in advisories.items()
    }
    counted = [line for name, lines in severe.items() if name in bundled for line in lines]
    tools = sum(len(lines) for name, lines in severe.items() if name not in bundled)
    subject = f"{len(bundled)} bundled packages; {tools} high or critical in {len(locked) - len(bundled)} not bundled"
    return Measured(len(counted), _dated(subject, counted))


def _npm_files(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    lock = yaml.load((folder / "yarn.lock").read_bytes(), Loader=yaml.CSafeLoader)
    return lock, json.loads((folder / "package.json").read_bytes())


def locked_versions(lock: dict[str, Any]) -> dict[str, list[str]]:
    """The versions of each package in a yarn.lock."""
    versions = defaultdict(set)
    for entry in lock.values():
        name, separator, _ = entry.get("resolution", "").rpartition("@npm:")
        if separator and "@patch:" not in name:
            versions[name].add(entry["version"])
    return {name: sorted(found) for name, found in sorted(versions.items())}


def bundled_packages(manifest: dict[str, Any], lock: dict[str, Any]) -> set[str]:
    """The dependencies, and theirs, that webpack puts into the bundle because JupyterLab does not share its own."""
    entries = {descriptor: entry for descriptors, entry in lock.items() for descriptor in descriptors.split(", ")}
    shared = manifest.get("jupyterlab", {}).get("sharedPackages", {})
    provided = {name for name, how in shared.items() if how is False or (how and how.get("bundled") is False)}
    waiting = [item for item in manifest.get("dependencies", {}).items() if item[0] not in provided]
    bundled: set[str] = set()
    while waiting:
        name, wanted = waiting.pop()
        if name not in bundled | provided:
            bundled.add(name)
            entry = entries.get(f"{name}@npm:{wanted}") or entries.get(f"{name}@{wanted}") or {}
            waiting += entry.get("dependencies", {}).items()
    return bundled


def _ask_registry(project: Project, versions: dict[str, list[str]]) -> dict[str, list[dict[str, Any]]]:
    # What `npm audit` asks; the address that this yarn's audit asks was taken out of service.
    command = ["jlpm", "config", "get", "npmRegistryServer"]
    registry = project.run("npm-audit", command, project.extension, timeout=TIMEOUT_SECONDS).stdout.strip()
    url = f"{registry.rstrip('/')}/-/npm/v1/security/advisories/bulk"
    body, headers = json.dumps(versions).encode(), {"Content-Type": "application/json"}
    answer: dict[str, list[dict[str, Any]]] = _fetch(urllib.request.Request(url, body, headers))  # noqa: S310
    if not isinstance(answer, dict):
        raise NotCheckedError(f"{url} did not answer with advisories")
    return answer


def _without_duplicates(pins: set[str]) -> list[list[str]]:
    # pip-audit takes one version of a package at a time; there may be one for each Python.
    versions = defaultdict(list)
    for pin in sorted(pins):
        versions[pin.split("==")[0]].append(pin)
    return [[pin for pin in layer if pin] for layer in itertools.zip_longest(*versions.values())]


def _pip_audit(pins: list[str]) -> list[dict[str, Any]]:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write("\n".join(pins))
        requirements.flush()
        command = [str(BIN / "pip-audit"), "--format=json", "--progress-spinner=off", "--disable-pip", "--no-deps"]
        command += ["--timeout=10", f"--requirement={requirements.name}"]
        try:
            ended = subprocess.run(  # noqa: S603
                command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise NotCheckedError(f"pip-audit had no answer within {TIMEOUT_SECONDS} s") from None
    # It ends with 0 even where it could ask about nothing, and with 1 where it found something as where it broke off.
    try:
        audited: list[dict[str, Any]] = json.loads(ended.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NotCheckedError(f"pip-audit broke off ({last[:200]})") from None
    return audited


def _is_severe(ids: list[str]) -> bool:
    # pip-audit does not tell; what nobody has rated may be severe.
    for advisory in (name for name in ids if name.startswith("GHSA-")):
        try:
            rating = _fetch(urllib.request.Request(OSV + advisory))["database_specific"]["severity"]  # noqa: S310
        except (NotCheckedError, KeyError, TypeError):
            continue
        return str(rating).upper() in SEVERE
    return True


def _fetch(request: urllib.request.Request) -> Any:
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise NotCheckedError(f"{request.full_url} answered {error.code} ({error.reason})") from None
    except (OSError, ValueError) as error:
        raise NotCheckedError(f"{request.full_url} gave no answer ({error})") from None


def _dated(subject: str, found: list[str], milder: int = 0) -> str:
    parts = [f"{subject}, asked on {datetime.now(UTC):%Y-%m-%d}"]
    parts += [f"{milder} milder"] if milder else []
    parts += [", ".join(found[:3]) + (", …" if len(found) > 3 else "")] if found else []
    return "; ".join(parts)
