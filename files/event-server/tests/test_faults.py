"""What was accepted is stored, once and whole, whatever happens to the server, its disk or its clock meanwhile."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from conftest import SRC, Process, on_both, on_postgresql, overview
from posters import Load, load, wait_until
from postgres import Postgres

MakeProcess = Callable[..., Process]


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    seed = request.config.getoption("seed")
    seed = random.randrange(2**32) if seed is None else seed
    print(f"--seed={seed}")
    return random.Random(seed)


@pytest.fixture
def fault_seconds(request: pytest.FixtureRequest) -> float:
    return float(request.config.getoption("fault_seconds"))


def stored(process: Process) -> list[tuple[str, str, int]]:
    """Returns the id, the JSON and the time of arrival of each event, in the order of their arrival."""
    return process.database.rows("SELECT event_id, body, received_at FROM events ORDER BY id")


def command(process: Process, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "event_server", *arguments, "--config", str(process.config)],
        env=os.environ | {"PYTHONPATH": str(SRC)} | environment,
        check=False,
        capture_output=True,
        text=True,
    )


def compare(process: Process, clients: Load) -> None:
    """Ends the server, and compares what its clients know with what is stored."""
    assert process.stop() in (0, -15)
    clients.compare((event_id, body) for event_id, body, _ in stored(process))
    checked = command(process, "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "exception" not in process.log.read_text()


@on_both
def test_kills(make_process: MakeProcess, chance: random.Random, request: pytest.FixtureRequest) -> None:
    process = make_process(log_level='"warning"').start()
    with load(process.port, chance) as clients:
        for _ in range(request.config.getoption("kills")):
            time.sleep(chance.uniform(0, 0.4))
            process.kill()
            if chance.random() < 0.1:
                process.launch()
                time.sleep(chance.uniform(0, 1))
                process.kill()
            process.start()
    compare(process, clients)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(128 * 2**20)
    commands = [["mkfs.ext4", "-q", "-m", "0", str(image)], ["mount", "-o", "loop", str(image), str(folder)]]
    if os.geteuid() != 0 or any(subprocess.run(line, check=False, capture_output=True).returncode for line in commands):
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Takes all the room of a disk, and returns the file that does."""
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        size, step = 0, 2**20
        while step >= 1024:
            try:
                os.posix_fallocate(file.fileno(), size, step)
                size += step
            except OSError:
                step //= 2
    return ballast


def test_a_full_disk(make_process: MakeProcess, small_disk: Path, chance: random.Random, fault_seconds: float) -> None:
    process = make_process(small_disk / "events.sqlite3", limits="{min_free_bytes = 65536}").start()
    with load(process.port, chance) as clients, httpx.Client(base_url=process.url, timeout=30) as client:
        clients.wait_for(202)
        ballast = fill(small_disk)
        clients.wait_for(503)
        before = len(clients.accepted)
        until = time.monotonic() + fault_seconds
        while time.monotonic() < until:
            assert client.get("/health").status_code == 503
            assert overview(client)["metrics"]["totalExecutions"] >= before
            time.sleep(0.2)
        ballast.unlink()
        clients.wait_for(202, seconds=10)
        wait_until(lambda: client.get("/health").status_code == 200, "health", 10)
    compare(process, clients)


@on_postgresql
def test_a_database_that_is_away(
    make_process: MakeProcess, postgresql: Postgres, chance: random.Random, fault_seconds: float
) -> None:
    process = make_process().start()
    with load(process.port, chance) as clients, httpx.Client(base_url=process.url, timeout=30) as client:
        clients.wait_for(202)
        postgresql.stop()
        try:
            clients.wait_for(503)
            until = time.monotonic() + fault_seconds
            while time.monotonic() < until:
                assert client.get("/health").status_code == 503
                # What is known is shown.
                assert overview(client)["metrics"]["totalExecutions"]
                time.sleep(0.2)
        finally:
            postgresql.start()
        clients.wait_for(202, seconds=10)
        wait_until(lambda: client.get("/health").status_code == 200, "health", 10)
        wait_until(
            lambda: overview(client)["metrics"]["totalExecutions"] >= len(clients.accepted), "complete overview", 20
        )
    compare(process, clients)


@on_postgresql
def test_a_database_that_does_not_answer(
    make_process: MakeProcess, postgresql: Postgres, chance: random.Random, fault_seconds: float
) -> None:
    process = make_process().start()
    with load(process.port, chance) as clients, httpx.Client(base_url=process.url, timeout=30) as client:
        clients.wait_for(202)
        assert overview(client)["metrics"]["totalExecutions"]
        with postgresql.frozen():
            until = time.monotonic() + fault_seconds
            while time.monotonic() < until:
                assert overview(client)["metrics"]["totalExecutions"]
                time.sleep(0.2)
        clients.wait_for(202, seconds=20)
        wait_until(lambda: client.get("/health").status_code == 200, "health", 10)
    compare(process, clients)


def set_clock(clock: Path, seconds: int) -> None:
    """Makes a clock wrong; at no moment is its file, which the server reads for each request, empty."""
    new = clock.with_suffix(".new")
    new.write_text(str(seconds))
    new.replace(clock)


@on_both
@pytest.mark.parametrize(("before", "after"), [(0, -3600), (3600, 0)], ids=["right", "fast"])
def test_a_clock_that_is_put_back(
    make_process: MakeProcess, tmp_path: Path, chance: random.Random, before: int, after: int
) -> None:
    clock = tmp_path / "clock"
    set_clock(clock, before)
    wrong = {"WRONG_CLOCK": str(clock), "PYTHONPATH": f"{Path(__file__).parent / 'wrong_clock'}:{SRC}"}
    process = make_process(retention_days="7").start(**wrong)
    with httpx.Client(base_url=process.url, timeout=30) as client:
        with load(process.port, chance) as clients:
            clients.wait_for(202)
            shown = len(clients.accepted)
            set_clock(clock, after)
            clients.wait_for(202)
            assert overview(client)["metrics"]["totalExecutions"] > shown
            pruned = command(process, "prune", "--json", **wrong)
            assert '"events": 0' in pruned.stdout, pruned.stdout + pruned.stderr
            clients.wait_for(202)
        received = [at for _, _, at in stored(process)]
        assert max(received) - received[-1] > 3500_000
        everything = len(received)
        assert overview(client, "24h")["metrics"]["totalExecutions"] == everything
        process.kill()
        process.start(**wrong)
        assert overview(client, "24h")["metrics"]["totalExecutions"] == everything
        student = overview(client)["students"][0]
        assert (student["status"], student["cellExecutions"]) == ("active", everything)
    compare(process, clients)
