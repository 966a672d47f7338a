import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from event_server.events import StoredEvent
from event_server.store import Activity, AppendResult, SchemaError, StoreUnavailableError
from event_server.store.sqlite import SCHEMA_VERSION, SqliteStore


def row(event_id: str, occurred_at: int = 1000) -> StoredEvent:
    return StoredEvent(
        event_id, "cell_executed", occurred_at, occurred_at, occurred_at, "taro@example.jp", "太郎", "チームA", "s",
        "1.ipynb", "c1", 0, "code", 1, True, 12, "class1", "{}",
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "events 1#.sqlite3")
    store.open()
    yield store
    store.close()


def test_each_request_has_its_result(store: SqliteStore) -> None:
    results = store.append([[row("a"), row("b")], [row("b"), row("c")], [row("d"), row("d")]])
    assert results == [AppendResult(2, 0), AppendResult(1, 1), AppendResult(1, 1)]
    assert store.append([[row("a")]]) == [AppendResult(0, 1)]


def test_activity_is_in_order(store: SqliteStore) -> None:
    store.append([[row("late", 3000), row("early", 1000), row("middle", 2000)]])
    activities = list(store.activity(2000))
    assert [activity.occurred_at for activity in activities] == [2000, 3000]
    expected = Activity("cell_executed", 2000, "taro@example.jp", "太郎", "チームA", "1.ipynb", "c1", 0, True)
    assert activities[0] == expected


def test_a_transaction_is_whole(store: SqliteStore) -> None:
    broken = row("c")._replace(email_address=None)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailableError):
        store.append([[row("a")], [row("b"), broken]])
    assert list(store.activity(0)) == []
    assert store.append([[row("a")]]) == [AppendResult(1, 0)]


def test_it_is_durable_at_every_commit(store: SqliteStore) -> None:
    connection = store._writer()
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_check_leaves_the_events_alone(store: SqliteStore) -> None:
    store.check()
    store.check()
    assert list(store.activity(0)) == []


def test_check_fails_before_the_disk_is_full(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "events.sqlite3", min_free_bytes=2**60)
    store.open()
    with pytest.raises(StoreUnavailableError, match="bytes are free"):
        store.check()
    store.close()


def test_a_locked_store_is_unavailable(store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("event_server.store.sqlite._BUSY_TIMEOUT_SECONDS", 0.01)
    store.close()
    with closing(sqlite3.connect(tmp_path / "events 1#.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailableError, match="locked"):
            store.append([[row("a")]])
    assert store.append([[row("a")]]) == [AppendResult(1, 0)]


def test_a_store_that_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError):
        list(SqliteStore(tmp_path / "none.sqlite3").activity(0))


@pytest.mark.parametrize(("readable_from", "usable"), [(SCHEMA_VERSION, True), (SCHEMA_VERSION + 1, False)])
def test_a_newer_schema(store: SqliteStore, readable_from: int, usable: bool) -> None:
    store._writer().execute("UPDATE schema_version SET version = 9, readable_from = ?", (readable_from,))
    store.close()
    if usable:
        store.open()
    else:
        with pytest.raises(SchemaError, match="schema 9"):
            store.open()
    store.close()
