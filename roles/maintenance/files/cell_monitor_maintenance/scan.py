"""The security scan: what is known to be vulnerable, was changed, is open, or is about to end."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cell_monitor_host import files
from cell_monitor_jobs import record

from cell_monitor_maintenance import advisories, programs
from cell_monitor_maintenance.config import Config
from cell_monitor_maintenance.findings import Check, UncheckedError, guarded

_CERTIFICATE_DAYS = 30
_LISTS = Path("/var/lib/apt/lists")
_LISTS_DAYS = 7
_SEARCHED = ("/etc", "/opt", "/usr", "/var", "/root", "/srv")


def scan(config: Config) -> list[Check]:
    """Runs all checks; one that breaks off leaves the others alone."""
    checks: dict[str, Callable[[], Check]] = {
        "python": lambda: advisories.python(config),
        "npm": lambda: advisories.npm(config),
        "debian": debian,
        "changed_files": changed_files,
        "writable_files": writable_files,
        "ports": lambda: ports(config),
        "certificates": lambda: certificates(config),
    }
    return [guarded(name, check) for name, check in checks.items()]


def debian() -> Check:
    """Looks for security updates of Debian's packages.

    Raises:
        UncheckedError: the lists of packages are old, and cannot be fetched.
    """
    update = programs.run(["apt-get", "--quiet", "--option=APT::Update::Error-Mode=any", "update"], 300)
    age = _lists_age()
    if update.returncode and (age is None or age > _LISTS_DAYS * 86400):
        raise UncheckedError(f"apt-get update failed: {programs.last_line(update.stderr)}")
    done = programs.run(["apt-get", "--simulate", "--quiet", "dist-upgrade"], 300)
    if done.returncode:
        raise UncheckedError(f"apt-get failed: {programs.last_line(done.stderr)}")
    when = "asked today" if not update.returncode else f"by lists of {age / 86400 if age else 0:.0f} days ago"
    return Check.of("debian", f"Debian's packages, {when}", security_updates(done.stdout))


def security_updates(text: str) -> list[str]:
    """Returns the packages that apt would take from the security archive, with their old and new versions."""
    lines = re.findall(r"^Inst (\S+) (?:\[(\S+)\] )?\((\S+) (.*?)\)", text, re.MULTILINE)
    return [f"{name} {old or '-'}, fixed in {new}" for name, old, new, origin in lines if "security" in origin.lower()]


def _lists_age() -> float | None:
    found = [path.stat().st_mtime for path in _LISTS.glob("*Release")]
    return max(time.time() - max(found), 0) if found else None


def changed_files() -> Check:
    """Looks for files that are not as they were deployed, or as Debian's packages brought them.

    Raises:
        UncheckedError: the host does not know.
    """
    drift = programs.run(["/usr/local/sbin/cell-monitor-release", "drift", "--thorough", "--json"], 900)
    if drift.returncode:
        raise UncheckedError(f"cell-monitor-release drift failed: {programs.last_line(drift.stderr)}")
    # It ends with 1 where something differs.
    verified = programs.run(["dpkg", "--verify"], 900)
    if verified.returncode not in (0, 1):
        raise UncheckedError(f"dpkg --verify failed: {programs.last_line(verified.stderr)}")
    found = list(json.loads(drift.stdout)["drift"]) + changed_by_package(verified.stdout)
    return Check.of("changed_files", "releases and Debian's packages", found)


def changed_by_package(text: str) -> list[str]:
    """Returns what `dpkg --verify` says of files that have another content; configuration is the administrator's."""
    lines = re.findall(r"^..5......\s+(?:(c)\s+)?(/.*)$", text, re.MULTILINE)
    return [f"{path} is not as its package brought it." for configuration, path in lines if not configuration]


def writable_files() -> Check:
    """Looks for files and folders that every user may change.

    Raises:
        UncheckedError: find failed.
    """
    folders = [folder for folder in _SEARCHED if Path(folder).is_dir()]
    rule = ["-perm", "-0002", "(", "-type", "f", "-o", "-type", "d", "!", "-perm", "-1000", ")"]
    done = programs.run(["find", *folders, "-xdev", *rule, "-print0"], 900)
    if done.returncode not in (0, 1):
        raise UncheckedError(f"find failed: {programs.last_line(done.stderr)}")
    found = [f"{path} can be changed by every user." for path in done.stdout.split("\0") if path]
    return Check.of("writable_files", ", ".join(folders), found)


def ports(config: Config) -> Check:
    """Looks for ports that other machines reach and nobody declared.

    Raises:
        UncheckedError: ss failed.
    """
    done = programs.run(["ss", "--no-header", "--listening", "--numeric", "--tcp", "--udp", "--processes"])
    if done.returncode:
        raise UncheckedError(f"ss failed: {programs.last_line(done.stderr)}")
    return Check.of("ports", f"allowed are {', '.join(map(str, config.ports))}", undeclared(done.stdout, config.ports))


def undeclared(text: str, declared: tuple[int, ...]) -> list[str]:
    """Returns the listeners that ss shows beside the declared ones and those of the host's own."""
    found = set()
    for line in text.splitlines():
        kind, _, _, _, local, *rest = line.split(None, 6)
        address, _, port = local.rpartition(":")
        host = address.partition("%")[0].strip("[]")
        if host.startswith("127.") or host in ("::1", "::ffff:127.0.0.1") or not port.isdigit():
            continue
        if int(port) not in declared:
            program = re.search(r'\("([^"]+)"', rest[-1] if rest else "")
            found.add(f"{kind} port {port} of {program[1] if program else 'an unknown program'}")
    return sorted(found)


def certificates(config: Config) -> Check:
    """Looks for certificates that end soon.

    Raises:
        UncheckedError: one cannot be read.
    """
    there = [path for path in config.certificates if path.exists()]
    ends = [(path, end) for path in there for end in expiries(path)]
    now = datetime.now(UTC)
    found = [
        f"{path}: a certificate {'ends' if end > now else 'ended'} on {end:%Y-%m-%d}."
        for path, end in ends
        if (end - now).days < _CERTIFICATE_DAYS
    ]
    first = min((end for _, end in ends), default=None)
    return Check.of(
        "certificates", f"{len(ends)} certificates" + (f", first end {first:%Y-%m-%d}" if first else ""), found
    )


def expiries(path: Path) -> list[datetime]:
    """Returns when the certificates in a PEM file end.

    Raises:
        UncheckedError: openssl cannot read one.
    """
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", path.read_text("utf-8"), re.DOTALL)
    ends = []
    for block in blocks:
        done = programs.run(["openssl", "x509", "-noout", "-enddate"], given=block)
        if done.returncode:
            raise UncheckedError(f"openssl cannot read {path}: {programs.last_line(done.stderr)}")
        text = done.stdout.strip().removeprefix("notAfter=")
        ends.append(datetime.strptime(text, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC))
    return ends


def remember(config: Config, checks: list[Check]) -> None:
    """Keeps the result for reports, and as metrics."""
    families: dict[str, tuple[str, Callable[[Check], int]]] = {
        "findings": ("What the scan has found.", lambda check: check.count),
        "unchecked": ("Whether it could not look.", lambda check: check.result == "unchecked"),
    }
    lines = []
    for name, (help_, value) in families.items():
        metric = f"cell_monitor_scan_{name}"
        lines += [f"# HELP {metric} {help_}", f"# TYPE {metric} gauge"]
        lines += [f'{metric}{{check="{check.name}"}} {value(check):d}' for check in checks]
    (config.state / "metrics").mkdir(mode=0o755, parents=True, exist_ok=True)
    files.write(config.state / "metrics" / "scan.prom", "\n".join(lines) + "\n", 0o644)
    files.write_json(config.state / "scan.json", {"at": time.time(), "checks": [asdict(check) for check in checks]})


def last(config: Config) -> dict[str, Any] | None:
    """Returns the last result."""
    data = files.read_json(config.state / "scan.json")
    return data if isinstance(data, dict) else None


def outcome(checks: list[Check]) -> tuple[int, str]:
    """Returns the exit code and one sentence."""
    found = sum(check.count for check in checks)
    unchecked = [check.name for check in checks if check.result == "unchecked"]
    sentence = f"{found} findings" if found != 1 else "1 finding"
    if unchecked:
        return record.UNCHECKED, f"{sentence}; not checked: {', '.join(unchecked)}"
    return 0, sentence
