"""Times how events are taken, beside a server that does not look at them, the usual way to write one, and databases.

All in one run, on one machine, over 64 connections: first as much as each can do, then latencies at half of that.
"""

import argparse
import contextlib
import hashlib
import json
import os
import re
import secrets
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "build/bench"
LOG = BENCH / "ingest.log"
RESULTS = BENCH / "ingest.json"
SOURCES = ROOT / "files/event-server/src"
sys.path[:0] = [str(SOURCES), str(SOURCES.with_name("tests"))]

import postgres  # noqa: E402
import raw_postgresql  # noqa: E402
import raw_sqlite  # noqa: E402
from bodies import number_of  # noqa: E402

BATCHES = (1, 10, 100)
CONNECTIONS = 64
WARM_UP_SECONDS = 1.0

FLOOR, OURS, USUAL, RAW = "floor", "ours", "usual", "raw SQLite"
SHARED, RAW_SHARED = "ours on PostgreSQL", "raw PostgreSQL"
COMMANDS = {
    FLOOR: [sys.executable, str(ROOT / "benchmarks/stand_in.py"), "floor"],
    OURS: [sys.executable, "-m", "event_server", "serve", "--config"],
    USUAL: [sys.executable, str(ROOT / "benchmarks/stand_in.py"), "usual"],
    SHARED: [sys.executable, "-m", "event_server", "serve", "--config"],
}
# What each is compared with: what its database does by itself.
RAWS = {RAW: RAW, RAW_SHARED: RAW_SHARED, SHARED: RAW_SHARED}

# How many times as fast as the usual way, at least, by batch.
USUAL_AIMS = {1: 25.0, 10: 20.0}
# Of the raw database, by batch: with small ones a server reads more HTTP than it stores.
RAW_AIMS = {100: 0.8}
P99_AIM_MS = {10: 15.0}


class Result(NamedTuple):
    """What was measured of one server, or of a raw database, where latencies are those of transactions.

    Attributes:
        cpu_us: the server's CPU time for each event, in microseconds, while it did as much as it could.
        generator_cpu: how much of a core the load generator took meanwhile.
    """

    events_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float = 0.0
    generator_cpu: float = 0.0


class Server:
    """A process that takes events, with a database of its own."""

    def __init__(self, name: str, folder: Path, url: str | None = None) -> None:
        """Starts it, with a file in a folder or another database.

        Raises:
            RuntimeError: it does not answer.
        """
        self.database = folder / "events.sqlite3"
        self.port = _free_port()
        self.token = secrets.token_urlsafe(32)
        writers, config = folder / "writers", folder / "config.toml"
        writers.write_text(f"class1:{hashlib.sha256(self.token.encode()).hexdigest()}\n")
        self._url = url
        database = {"database_url": url} if url else {"database_path": str(self.database)}
        keys = database | {"writers_file": str(writers), "log_level": "warning"}
        lines = [f"port = {self.port}", *(f'{key} = "{value}"' for key, value in keys.items())]
        config.write_text("\n".join(lines) + "\n")
        self._first = 0
        self._accepted: list[range] = []
        with LOG.open("a") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [*COMMANDS[name], str(config)],
                env=os.environ | {"PYTHONPATH": str(SOURCES)},
                stdout=log,
                stderr=log,
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise

    def load(self, batch: int, seconds: float, requests_per_second: float | None = None) -> dict[str, Any]:
        """Returns what ``load.py`` saw.

        Raises:
            RuntimeError: not every request was accepted.
        """
        options: dict[str, Any] = {
            "port": self.port,
            "token": self.token,
            "batch": batch,
            "connections": CONNECTIONS,
            "first": self._first,
            "seconds": seconds,
            "warm-up": WARM_UP_SECONDS,
        }
        if requests_per_second is not None:
            options["rate"] = requests_per_second
        arguments = [f"--{name}={value}" for name, value in options.items()]
        done = subprocess.run(  # noqa: S603
            [sys.executable, str(ROOT / "benchmarks/load.py"), *arguments],
            stdout=subprocess.PIPE,
            check=True,
            timeout=seconds + 120,
        )
        seen: dict[str, Any] = json.loads(done.stdout)
        if seen["refused"] or seen["unanswered"]:
            raise RuntimeError(f"{seen['refused']} requests were refused, {seen['unanswered']} not answered; see {LOG}")
        self._first = seen["next"]
        self._accepted += [range(first, first + batch) for first in seen.pop("accepted")]
        return seen

    def transactions(self) -> float:
        """Returns how many there were so far, as our server tells."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as response:
            found = re.search(r"(?m)^event_server_commit_duration_seconds_count (\S+)$", response.read().decode())
        return float(found[1]) if found else 0.0

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Returns the CPU time that it has taken so far."""
        times = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")

    def check(self) -> None:
        """Compares what was accepted with what is stored, once the server has ended.

        Raises:
            RuntimeError: an event is missing, or stored twice.
        """
        stored = bytearray(self._first)
        for (event_id,) in self._rows("SELECT event_id FROM events"):
            stored[number_of(event_id)] += 1
        missing = sum(stored[number] == 0 for numbers in self._accepted for number in numbers)
        if missing or max(stored, default=0) > 1:
            raise RuntimeError(f"{missing} events were accepted and not stored, or some are stored twice")

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        if self._url:
            return postgres.rows(self._url, query)
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(query).fetchall()

    def stop(self) -> None:
        """Ends it."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait_until_it_answers(self) -> None:
        until = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the server does not answer; see {LOG}")
            time.sleep(0.05)


@contextlib.contextmanager
def fresh_folder() -> Iterator[Path]:
    """Gives a folder on the disk of the checkout: /tmp may be memory, where a commit costs nothing."""
    with tempfile.TemporaryDirectory(prefix="ingest-", dir=BENCH) as folder:
        yield Path(folder)


def probe_disk(folder: Path, count: int = 200) -> dict[str, float]:
    """Returns how long it takes to write 4 KB to the disk."""
    took = []
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(count):
            file.write(bytes(4096))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return {"fsync_p50_ms": round(statistics.median(took), 3), "fsync_p99_ms": round(percentile(took, 99), 3)}


def percentile(values: Sequence[float], percent: float) -> float:
    """Returns the value that so many percent of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]


def measure_server(name: str, batch: int, seconds: float, url: str | None) -> tuple[Result, float]:
    """Returns what a server does, and how many events it stores in one transaction if it is ours."""
    with fresh_folder() as folder:
        server = Server(name, folder, url)
        try:
            idle = server.cpu_seconds()
            most = server.load(batch, seconds)
            cpu_us = (server.cpu_seconds() - idle) / most["next"] * 1e6
            group = most["next"] / server.transactions() if name in (OURS, SHARED) else 0.0
            steady = server.load(batch, seconds, requests_per_second=most["requests_per_second"] / 2)
        finally:
            server.stop()
        if name != FLOOR:
            server.check()
    rate = most["requests_per_second"] * batch
    return Result(rate, steady["p50_ms"], steady["p99_ms"], cpu_us, most["cpu"]), group


def measure_raw(batch: int, group: float, seconds: float, url: str | None) -> Result:
    """Returns what a database does by itself with groups of the size that ours has found."""
    with fresh_folder() as folder:
        times = (
            raw_postgresql.commit_times(url, batch, round(group), seconds)
            if url
            else raw_sqlite.commit_times(folder / "events.sqlite3", batch, round(group), seconds)
        )
        commits = list(times)
    milliseconds = [took * 1000 for _, took in commits]
    rate = sum(events for events, _ in commits) / sum(took for _, took in commits)
    return Result(rate, statistics.median(milliseconds), percentile(milliseconds, 99))


def measure(batches: Sequence[int], seconds: float, server: postgres.Postgres) -> dict[int, dict[str, Result]]:
    """Returns every result by batch and name, telling of each."""
    found: dict[int, dict[str, Result]] = {}
    for batch in batches:
        results = found[batch] = {}
        groups: dict[str, float] = {}
        for name in COMMANDS:
            url = server.create(empty=True) if name == SHARED else None
            results[name], groups[name] = measure_server(name, batch, seconds, url)
            tell(batch, name, results[name])
        for name, ours in ((RAW, OURS), (RAW_SHARED, SHARED)):
            url = server.create(empty=True) if name == RAW_SHARED else None
            results[name] = measure_raw(batch, groups[ours], seconds, url)
            tell(batch, f"{name}, groups of {groups[ours]:.0f}", results[name])
    return found


def tell(batch: int, name: str, result: Result) -> None:
    """Prints what was measured just now."""
    print(f"    batch {batch:3}  {result.events_per_second:9,.0f} events/s  {name}", flush=True)


def report(found: dict[int, dict[str, Result]], disk: dict[str, float]) -> bool:
    """Prints the table and writes the file; False if an aim was missed."""
    cases = []
    print(f"\n{'batch':>5}  {'':20}{'events/s':>10}{'p50 ms':>9}{'p99 ms':>9}", end="")
    print(f"{'of floor':>10}{'of usual':>10}{'of raw':>8}{'CPU us':>9}{'generator':>11}")
    for batch, results in found.items():
        for name, result in results.items():
            rate, p50, p99, cpu_us, generator = result
            ratios = {other: rate / results[other].events_per_second for other in (FLOOR, USUAL)}
            of_raw = rate / results[RAWS.get(name, RAW)].events_per_second
            cases.append(
                {
                    "name": name,
                    "batch": batch,
                    "events_per_second": round(rate),
                    "p50_ms": round(p50, 3),
                    "p99_ms": round(p99, 3),
                    "ratio_to_floor": round(ratios[FLOOR], 3),
                    "ratio_to_usual": round(ratios[USUAL], 2),
                }
            )
            print(f"{batch:5}  {name:20}{rate:10,.0f}{p50:9.2f}{p99:9.2f}", end="")
            print(f"{ratios[FLOOR]:10.3f}{ratios[USUAL]:10.1f}{of_raw:8.2f}{cpu_us:9.1f}{generator:11.0%}")
    RESULTS.with_suffix(".new").write_text(json.dumps({"cases": cases, "disk": disk}, indent=2) + "\n")
    RESULTS.with_suffix(".new").replace(RESULTS)
    sentences = list(missed(found))
    print(*(f"missed: {sentence}" for sentence in sentences), sep="\n", end="\n" if sentences else "")
    return not sentences


def missed(found: dict[int, dict[str, Result]]) -> Iterator[str]:
    """Yields a sentence for each aim that was not reached."""
    for batch, results in found.items():
        ours = results[OURS]
        times = ours.events_per_second / results[USUAL].events_per_second
        if times < USUAL_AIMS.get(batch, 0.0):
            yield f"batches of {batch}: {times:.1f} times the usual way; at least {USUAL_AIMS[batch]:.0f}"
        for name, raw in ((OURS, RAW), (SHARED, RAW_SHARED)):
            share = results[name].events_per_second / results[raw].events_per_second
            if share < RAW_AIMS.get(batch, 0.0):
                yield f"batches of {batch}: {share:.0%} of {raw}; at least {RAW_AIMS[batch]:.0%}"
        if ours.p99_ms >= P99_AIM_MS.get(batch, float("inf")):
            yield f"batches of {batch}: a 99th percentile of {ours.p99_ms:.1f} ms; less than {P99_AIM_MS[batch]:.0f}"


def main() -> int:
    """Prints a table, writes it to build/bench/ingest.json, and returns 1 if an aim was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--batch", type=int, action="append", choices=BATCHES, help="only batches of that size")
    options = parser.parse_args()
    BENCH.mkdir(parents=True, exist_ok=True)
    LOG.write_text("")
    with fresh_folder() as folder:
        disk = probe_disk(folder)
    print(f"{CONNECTIONS} connections, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f};", end=" ")
    print(f"fsync of 4 KB: {disk['fsync_p50_ms']:.2f} ms, 99th percentile {disk['fsync_p99_ms']:.2f} ms", flush=True)
    try:
        # Beside the checkout nobody else could enter its folder; /tmp may be memory.
        with postgres.running(Path("/var/tmp")) as server:  # noqa: S108
            return 0 if report(measure(options.batch or BATCHES, options.seconds, server), disk) else 1
    except (RuntimeError, subprocess.SubprocessError) as error:
        sys.exit(f"ingest.py: {error}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


if __name__ == "__main__":
    sys.exit(main())
