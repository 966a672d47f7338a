import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cell_monitor.spool import MAX_EXPIRED_EVENTS, MIN_FREE_BYTES, Spool, SpoolError, SpoolFullError, SpoolLockedError
from conftest import SOURCES, make_event

MEBIBYTE = 2**20


def bodies(spool: Spool, count: int = 200) -> list[Any]:
    return [json.loads(entry.body) for entry in spool.peek(count, MEBIBYTE)]


def test_gives_events_back_as_they_came_and_in_their_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "deep" / "spool", MEBIBYTE)
    events = [make_event(result="🙂 half a smile: \ud83d"), make_event(unknown={"kept": [1, None]}), make_event()]
    assert spool.add(events).new == events
    assert bodies(spool) == events


def test_keeps_an_event_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MEBIBYTE)
    first, second = make_event(), make_event()
    spool.add([first])
    size = spool.depth().size
    assert spool.add([first]).new == []
    assert spool.depth().size == size
    assert spool.add([first, second]).new == [second]
    assert bodies(spool) == [first, second]


def test_survives_being_closed(tmp_path: Path) -> None:
    event = make_event()
    spool = Spool(tmp_path, MEBIBYTE)
    spool.add([event])
    before = spool.depth()
    spool.close()
    spool = Spool(tmp_path, MEBIBYTE)
    assert bodies(spool) == [event]
    assert spool.depth() == before


def test_settles_what_was_delivered_and_puts_the_refused_aside(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MEBIBYTE)
    events = [make_event() for _ in range(3)]
    spool.add(events)
    first, second, third = spool.peek(3, MEBIBYTE)
    spool.settle([first.seq], [(second.seq, "no such type")])
    assert [entry.seq for entry in spool.peek(3, MEBIBYTE)] == [third.seq]
    assert spool.depth().rejected == 1
    spool.settle([third.seq])
    depth = spool.depth()
    assert (depth.events, depth.size, depth.oldest) == (0, 0, None)
    spool.close()
    with sqlite3.connect(tmp_path / "spool.sqlite3") as db:
        assert db.execute("SELECT event_id, reason FROM rejected").fetchall() == [
            (events[1]["eventId"], "no such type")
        ]


def test_a_place_is_never_used_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MEBIBYTE)
    spool.add([make_event()])
    (first,) = spool.peek(1, MEBIBYTE)
    spool.settle([first.seq])
    spool.add([make_event()])
    assert spool.peek(1, MEBIBYTE)[0].seq > first.seq


def test_takes_all_of_a_request_or_nothing_when_it_is_full(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 2000)
    spool.add([make_event()])
    before = spool.depth()
    with pytest.raises(SpoolFullError, match="2000 bytes"):
        spool.add([make_event(), make_event(code="x" * 2000)])
    assert spool.depth() == before
    spool.probe()
    spool.add([make_event(code="x" * (2000 - before.size - before.size + len("1/0")))])
    with pytest.raises(SpoolFullError):
        spool.probe()


def test_a_batch_is_cut_by_size_but_never_empty(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MEBIBYTE)
    spool.add([make_event(code="x" * 5000) for _ in range(3)])
    assert len(spool.peek(200, 100)) == 1
    assert len(spool.peek(200, 12_000)) == 2
    assert len(spool.peek(1, MEBIBYTE)) == 1


def test_drops_what_has_waited_too_long_oldest_first_and_counts_it_for_good(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MEBIBYTE, max_age_seconds=60)
    old = [make_event() for _ in range(MAX_EXPIRED_EVENTS + 2)]
    spool.add(old)
    spool._db.execute("UPDATE events SET received = received - 61")
    young = make_event()
    spool.add([young])
    assert spool.expire() == MAX_EXPIRED_EVENTS
    assert bodies(spool) == [*old[MAX_EXPIRED_EVENTS:], young]
    assert spool.expire() == 2
    assert spool.expire() == 0
    assert bodies(spool) == [young]
    before = spool.depth()
    assert (before.events, before.dropped) == (1, MAX_EXPIRED_EVENTS + 2)
    assert before.size == len(spool.peek(1, 1)[0].body.encode())
    spool.close()
    assert Spool(tmp_path, MEBIBYTE).depth() == before


def refuse(spool: Spool, count: int, **fields: Any) -> None:
    spool.add([make_event(**fields) for _ in range(count)])
    spool.settle([], [(entry.seq, "no " * 1000) for entry in spool.peek(count, MEBIBYTE)])


def kept(spool: Spool) -> list[int]:
    return [seq for (seq,) in spool._db.execute("SELECT seq FROM rejected ORDER BY seq")]


def test_keeps_no_more_than_so_many_refused_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cell_monitor.spool.MAX_REJECTED_EVENTS", 3)
    spool = Spool(tmp_path, MEBIBYTE)
    refuse(spool, 5)
    assert kept(spool) == [3, 4, 5]
    assert spool.depth().rejected == 5
    assert spool._db.execute("SELECT MAX(LENGTH(reason)) FROM rejected").fetchone() == (500,)
    spool.close()
    spool = Spool(tmp_path, MEBIBYTE)
    refuse(spool, 1)
    assert (kept(spool), spool.depth().rejected) == ([4, 5, 6], 6)


def test_refused_events_take_a_small_part_of_the_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 16 * 5000)
    refuse(spool, 3, code="x" * 2000)
    assert kept(spool) == [2, 3]
    refuse(spool, 1, code="x" * 6000)
    assert kept(spool) == []
    assert spool.depth().rejected == 4


def test_refused_events_go_after_as_long(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MEBIBYTE, max_age_seconds=60)
    refuse(spool, 2)
    spool._db.execute("UPDATE rejected SET rejected = rejected - 61 WHERE seq = 1")
    assert spool.expire() == 0
    assert kept(spool) == [2]


def test_counts_what_browsers_dropped_with_what_they_sent(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 2000)
    spool.add([make_event()], browser_dropped=3)
    with pytest.raises(SpoolFullError):
        spool.add([make_event(code="x" * 2000)], browser_dropped=5)
    spool.add([], browser_dropped=4)
    spool.close()
    assert Spool(tmp_path, 2000).depth().browser_dropped == 7


def test_a_spool_of_an_earlier_release_is_taken_over(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MEBIBYTE)
    refuse(spool, 2)
    spool.add([make_event()])
    spool._db.execute("DROP TABLE counters")
    spool.close()
    depth = Spool(tmp_path, MEBIBYTE).depth()
    assert (depth.events, depth.rejected, depth.dropped) == (1, 2, 0)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", MEBIBYTE)
    spool.add([make_event()])
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "spool").iterdir()} == {0o600}


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError, match="file"):
        Spool(tmp_path / "file", MEBIBYTE)
    (tmp_path / "spool.sqlite3").write_bytes(b"this is no database, and long enough to be looked at" * 100)
    with pytest.raises(SpoolError, match="not a database"):
        Spool(tmp_path, MEBIBYTE)


def test_a_disk_that_fails_loses_nothing_and_says_so(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 100 * MEBIBYTE)
    spool.add([make_event()])
    before = spool.depth()
    limit = spool._db.execute("PRAGMA page_count").fetchone()[0]
    spool._db.execute(f"PRAGMA max_page_count = {limit}")
    with pytest.raises(SpoolError, match="full"):
        spool.add([make_event(code="x" * MEBIBYTE)])
    assert spool.depth() == before
    spool._db.execute("PRAGMA max_page_count = 1000000")
    assert len(spool.add([make_event()]).new) == 1


def test_leaves_the_room_on_the_disk_that_emptying_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = MIN_FREE_BYTES
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    spool = Spool(tmp_path / "spool", MEBIBYTE)
    spool.add([make_event(code="x" * 100_000)])
    spool.probe()
    free -= 90_000
    with pytest.raises(SpoolFullError, match="bytes left"):
        spool.add([make_event()])
    with pytest.raises(SpoolFullError, match="bytes left"):
        spool.probe()
    spool.settle([entry.seq for entry in spool.peek(1, 1)])
    assert spool.depth().events == 0
    spool.add([make_event(code="x" * 50_000)])


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", MEBIBYTE)
    (tmp_path / "spool").rename(tmp_path / "elsewhere")
    with pytest.raises(SpoolError, match="spool cannot be used"):
        spool.add([make_event()])


_WRITER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from cell_monitor.spool import Spool
from conftest import make_event
spool = Spool(Path(sys.argv[2]), 2**30)
while True:
    events = [make_event() for _ in range(5)]
    spool.add(events)
    print(json.dumps([event["eventId"] for event in events]), flush=True)
"""


def test_a_killed_process_keeps_what_it_acknowledged_and_frees_the_folder(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(SOURCES), str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        text=True,
    )
    assert writer.stdout is not None
    acknowledged = json.loads(writer.stdout.readline())
    with pytest.raises(SpoolLockedError, match="another process"):
        Spool(tmp_path, MEBIBYTE)
    time.sleep(0.2)
    writer.send_signal(signal.SIGKILL)
    for line in writer.stdout.read().splitlines():
        acknowledged += json.loads(line)
    writer.wait()
    spool = Spool(tmp_path, 2**30)
    kept = [json.loads(entry.body)["eventId"] for entry in spool.peek(1_000_000, 2**30)]
    # The last batch may have been kept without its answer being read.
    assert kept[: len(acknowledged)] == acknowledged
    assert len(kept) - len(acknowledged) in (0, 5)
