#!/usr/bin/python
"""An Ansible module that writes many files of a host in one go, and has services run with these."""

from __future__ import annotations

import grp
import os
import pwd
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: host_files
short_description: Write the files of services and have them run with these
description:
  - Writes many files in one go, where C(ansible.builtin.template) takes half a second for each that is there already.
  - Has systemd read its files again where one of them was written.
  - A service that does not run, or was started before its files were written, is started, restarted or reloaded; so the
    run after an interrupted one does what was left.
options:
  folders:
    description: Folders that are to be there, before the files.
    type: list
    elements: dict
    default: []
  files:
    description:
      - What is to be there. C(content) is null for what is to be away.
      - C(validate) is a command that is given the new file in the place of C(%s), and in the place of C(%t) a file of
        its own to write to; where it fails, no file is changed.
    type: list
    elements: dict
    default: []
  secrets:
    description: The same, of files whose content nobody is shown.
    type: list
    elements: dict
    default: []
  services:
    description:
      - Services that are to run, in the order of their start.
      - C(files) are those that they read when they start; C(reload) those that a reload makes them read.
    type: list
    elements: dict
    default: []
  stopped:
    description: Services that are to be stopped and disabled, where they are there.
    type: list
    elements: str
    default: []
author: Cell Monitor project
"""

EXAMPLES = r"""
- name: Run Prometheus
  host_files:
    files:
      - path: /etc/prometheus/prometheus.yml
        content: "{{ lookup('ansible.builtin.template', 'prometheus.yml.j2') }}"
        validate: [promtool, check, config, "%s"]
    services:
      - name: prometheus
        reload: [/etc/prometheus/prometheus.yml]
"""

RETURN = r"""
written:
  description: The files and folders that were written, or would be.
  type: list
  elements: str
  returned: always
services:
  description: What was done to which service.
  type: list
  elements: str
  returned: always
"""

UNITS = "/etc/systemd/system/"


@dataclass(frozen=True)
class Folder:
    """A folder as it is to be."""

    path: str
    owner: str = "root"
    group: str = "root"
    mode: str = "0755"

    @property
    def is_there(self) -> bool:
        """Whether it is."""
        path = Path(self.path)
        return path.is_dir() and has(path, self.owner, self.group, self.mode)

    def make(self) -> None:
        """Makes it so."""
        path = Path(self.path)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chown(path, pwd.getpwnam(self.owner).pw_uid, grp.getgrnam(self.group).gr_gid)
        path.chmod(int(self.mode, 8))


@dataclass(frozen=True)
class File:
    """A file as it is to be: its content, None for a file that is to be away, who may read it, and what checks it."""

    path: str
    content: str | None = None
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"
    validate: Sequence[str] = ()

    @property
    def bytes(self) -> bytes | None:
        """What is to be on the disk."""
        return None if self.content is None else self.content.encode()


def read(path: str) -> bytes | None:
    """Content of a file, None where there is none."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return None


def has(path: Path, owner: str, group: str, mode: str) -> bool:
    """Whether a path belongs to whom it is to, with these permissions."""
    found = path.stat()
    try:
        wanted = (pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid, int(mode, 8))
    except KeyError:
        return False
    return (found.st_uid, found.st_gid, found.st_mode & 0o7777) == wanted


def same(file: File) -> bool:
    """Whether a file is as it is to be."""
    if read(file.path) != file.bytes:
        return False
    return file.bytes is None or has(Path(file.path), file.owner, file.group, file.mode)


def write(module: AnsibleModule, files: list[File]) -> None:
    """Puts files in their places, all of them checked before the first one is."""
    fresh: list[tuple[File, str]] = []
    for file in files:
        if file.bytes is None:
            continue
        folder = Path(file.path).parent
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        # Beside the old one, under a name that nobody includes: relative paths in it mean what they are to.
        number, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".new")
        module.add_cleanup_file(name)
        with os.fdopen(number, "wb") as out:
            out.write(file.bytes)
        os.chown(name, pwd.getpwnam(file.owner).pw_uid, grp.getgrnam(file.group).gr_gid)
        Path(name).chmod(int(file.mode, 8))
        fresh.append((file, name))
    for file, name in fresh:
        if file.validate:
            with tempfile.NamedTemporaryFile() as scratch:
                command = [part.replace("%s", name).replace("%t", scratch.name) for part in file.validate]
                status, out, err = module.run_command(command)
            if status:
                told = (out + err).strip().replace(name, file.path)
                module.fail_json(msg=f"{file.path} is not accepted by {command[0]}, nothing was changed: {told}")
    for file, name in fresh:
        Path(name).replace(file.path)
    for file in files:
        if file.bytes is None:
            Path(file.path).unlink()


def units(files: list[File]) -> list[str]:
    """Units that systemd may have loaded from these files; of a template it has only instances."""
    names = {file.path.removeprefix(UNITS).split("/")[0] for file in files if file.path.startswith(UNITS)}
    return sorted(name.removesuffix(".d") for name in names if "@." not in name)


def are_unread(module: AnsibleModule, names: list[str]) -> bool:
    """Whether a run that was cut off has written what systemd has not read."""
    return bool(names) and "yes" in run(module, "show", "--property=NeedDaemonReload", "--value", *names).split()


def show(module: AnsibleModule, unit: str) -> dict[str, str]:
    """What systemd knows of a unit."""
    names = "ActiveState,UnitFileState,NeedDaemonReload,ActiveEnterTimestamp,StateChangeTimestamp"
    out = run(module, "show", f"--property={names}", "--timestamp=us+utc", unit)
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def seconds(stamp: str) -> float:
    """A time of systemd's in seconds since 1970; 0 for one that has not come."""
    if not stamp:
        return 0.0
    return datetime.strptime(stamp, "%a %Y-%m-%d %H:%M:%S.%f %Z").replace(tzinfo=UTC).timestamp()


def newer(paths: list[str], since: float) -> bool:
    """Whether one of these files was written after a time."""
    return any(path.exists() and path.stat().st_mtime > since for path in map(Path, paths))


def need(module: AnsibleModule, service: dict[str, Any], written: list[str]) -> str:
    """What a service needs: start, restart, reload, enable, or nothing."""
    known = show(module, service["name"])
    starts, reloads = service["files"], service["reload"]
    if known["ActiveState"] not in ("active", "reloading"):
        return "start"
    started = seconds(known["ActiveEnterTimestamp"])
    changed = seconds(known["StateChangeTimestamp"])
    if known["NeedDaemonReload"] == "yes" or set(written) & set(starts) or newer(starts, started):
        return "restart"
    if set(written) & set(reloads) or newer(reloads, max(started, changed)):
        return "reload"
    return "" if known["UnitFileState"] in ("enabled", "static") else "enable"


def run(module: AnsibleModule, *arguments: str) -> str:
    """Runs systemctl, and says what it said when it fails."""
    status, out, err = module.run_command(["systemctl", *arguments])
    if status:
        module.fail_json(msg=f"systemctl {' '.join(arguments)}: {err.strip()}")
    return str(out)


def main() -> None:
    """Does it."""
    owned: dict[str, Any] = {
        "path": {"type": "path", "required": True},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
    }
    attributes: dict[str, Any] = {
        **owned,
        "mode": {"type": "str", "default": "0644"},
        "validate": {"type": "list", "elements": "str", "default": []},
    }
    services = {
        "name": {"type": "str", "required": True},
        "files": {"type": "list", "elements": "path", "default": []},
        "reload": {"type": "list", "elements": "path", "default": []},
    }
    lists: dict[str, Any] = {"type": "list", "elements": "dict", "default": []}
    module = AnsibleModule(
        argument_spec={
            "folders": {**lists, "options": {**owned, "mode": {"type": "str", "default": "0755"}}},
            "files": {**lists, "options": {**attributes, "content": {"type": "raw"}}},
            "secrets": {**lists, "options": {**attributes, "content": {"type": "raw", "no_log": True}}},
            "services": {**lists, "options": services},
            "stopped": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    shown = {item["path"] for item in module.params["files"]}
    files = [File(**item) for item in module.params["secrets"] + module.params["files"]]
    wrong = [file for file in files if not same(file)]
    missing = [folder for folder in (Folder(**item) for item in module.params["folders"]) if not folder.is_there]
    written = [folder.path for folder in missing] + [file.path for file in wrong]
    diff = [difference(file, shown=file.path in shown) for file in wrong]
    if not module.check_mode:
        for folder in missing:
            folder.make()
        write(module, wrong)

    done: list[str] = []
    if any(path.startswith(UNITS) for path in written) or are_unread(module, units(files)):
        done.append("daemon-reload")
        if not module.check_mode:
            run(module, "daemon-reload")
    for service in module.params["services"]:
        what = need(module, service, written)
        if not what:
            continue
        done.append(f"{what} {service['name']}")
        if not module.check_mode:
            carry_out(module, service["name"], what)
    for name in module.params["stopped"]:
        if show(module, name)["ActiveState"] == "active":
            done.append(f"stop {name}")
            if not module.check_mode:
                run(module, "disable", "--now", "--quiet", name)
    module.exit_json(changed=bool(written or done), written=written, services=done, diff=diff)


def difference(file: File, *, shown: bool) -> dict[str, str]:
    """What changes in a file, as Ansible shows it."""
    before, after = (read(file.path) or b"").decode(errors="replace"), file.content or ""
    if not shown:
        before, after = "(is not shown)\n" if before else "", "(is not shown either)\n" if after else ""
    return {"before_header": file.path, "after_header": file.path, "before": before, "after": after}


def carry_out(module: AnsibleModule, name: str, what: str) -> None:
    """Does what a service needs."""
    if show(module, name)["NeedDaemonReload"] == "yes":
        run(module, "daemon-reload")
    run(module, "enable", "--quiet", name)
    if what in ("start", "restart"):
        # One that has failed too often is refused; one that nobody has started is not known.
        module.run_command(["systemctl", "reset-failed", name])
    if what != "enable":
        run(module, what, name)


if __name__ == "__main__":
    main()
