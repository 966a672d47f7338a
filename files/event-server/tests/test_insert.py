import random
from pathlib import Path

import pytest
from event_server.store import AppendResult
from event_server.store.sqlite import SqliteStore
from test_store import row


@pytest.mark.parametrize("seed", range(5))
def test_groups_of_any_size_tell_each_request_what_is_new(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    store = SqliteStore(tmp_path / "events.sqlite3")
    known: set[str] = set()
    for _ in range(20):
        # Up to a few of the largest statements; some ids were there before, some come twice in a group.
        sizes = [chance.randrange(60) for _ in range(chance.randrange(1, 15))]
        batches = [[row(f"e{chance.randrange(4000)}") for _ in range(size)] for size in sizes]
        expected = []
        for batch in batches:
            left_out = set()
            for place, event in enumerate(batch):
                if event.event_id in known:
                    left_out.add(place)
                known.add(event.event_id)
            expected.append(AppendResult(len(batch) - len(left_out), len(left_out), frozenset(left_out)))
        assert store.append(batches) == expected
    rows = store._writer().execute("SELECT event_id FROM events").fetchall()
    assert sorted(event_id for (event_id,) in rows) == sorted(known)
    store.close()
