import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Stored, on_both
from event_server.events import StoredEvent
from event_server.store import (
    Acknowledgement,
    Activity,
    AppendResult,
    HelpSignal,
    Store,
    StoreUnavailableError,
    sqlite,
)
from event_server.store.sqlite import SqliteStore


def row(event_id: str, occurred_at: int = 1000) -> StoredEvent:
    return StoredEvent(
        event_id, "cell_executed", occurred_at, occurred_at, occurred_at, "taro@example.jp", "太郎", "チームA", "s",
        "1.ipynb", "c1", 0, "code", 1, True, 12, "class1", "{}",
    )  # fmt: skip


@pytest.fixture
def store(database: Stored) -> Iterator[Store]:
    store = database.store()
    store.open()
    yield store
    store.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "events 1#.sqlite3")
    store.open()
    yield store
    store.close()


@on_both
def test_each_request_has_its_result(store: Store) -> None:
    results = store.append([[row("a"), row("b")], [row("b"), row("c")], [row("d"), row("d")]])
    assert results == [AppendResult(2, 0), AppendResult(1, 1, frozenset({0})), AppendResult(1, 1, frozenset({1}))]
    assert store.append([[row("a")]]) == [AppendResult(0, 1, frozenset({0}))]


@on_both
def test_activity_is_in_order(store: Store) -> None:
    store.append([[row("late", 3000), row("early", 1000), row("middle", 2000)]])
    activities = list(store.activity(2000))
    assert [activity.occurred_at for activity in activities] == [2000, 3000]
    expected = Activity(
        "cell_executed", 2000, "taro@example.jp", "太郎", "チームA", "1.ipynb", "c1", 0, True, "s", 2000
    )
    assert activities[0] == expected


@on_both
def test_activity_of_one_student(store: Store) -> None:
    other = row("other", 1500)._replace(email_address="hanako@example.jp")
    store.append([[row("a", 1000), other, row("b", 2000)]])
    assert [activity.occurred_at for activity in store.activity(0, "taro@example.jp")] == [1000, 2000]
    assert store.knows("hanako@example.jp", 1500)
    assert not store.knows("hanako@example.jp", 1501)
    assert not store.knows("nobody@example.jp", 0)


@on_both
def test_executions_begin_with_the_latest(store: Store) -> None:
    rows = [row(str(at), at)._replace(body=f"[{at}]") for at in (3000, 1000, 4000, 2000)]
    store.append([[*rows, row("help", 5000)._replace(event_type="help")]])
    assert store.executions("taro@example.jp", 2000, 2) == ["[4000]", "[3000]"]
    assert store.executions("taro@example.jp", 2000, 9) == ["[4000]", "[3000]", "[2000]"]
    assert store.executions("hanako@example.jp", 0, 9) == []


@on_both
def test_history_is_what_was_there(store: Store) -> None:
    store.append([[row("b", 3000), row("a", 2000), row("too early", 1000)]])
    history = store.history(2000)
    store.append([[row("c", 2500)]])
    assert [activity.occurred_at for activity in history] == [2000, 3000]


def test_history_of_a_store_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError):
        SqliteStore(tmp_path / "later" / "events.sqlite3").history(0)


def test_what_another_process_writes_is_noticed(sqlite_store: SqliteStore) -> None:
    assert sqlite_store.news().is_stale
    sqlite_store.append([[row("a")]])
    sqlite_store.check()
    assert not sqlite_store.news().is_stale
    with closing(sqlite3.connect(sqlite_store._path, isolation_level=None)) as other:
        other.execute("DELETE FROM events")
        assert sqlite_store.news().is_stale
        assert not sqlite_store.news().is_stale


def test_usage(sqlite_store: SqliteStore, tmp_path: Path) -> None:
    sqlite_store.append([[row("a")]])
    size, free = sqlite_store.usage()
    assert size
    assert free
    assert size >= 4096
    assert SqliteStore(tmp_path / "later" / "events.sqlite3").usage() == (None, None)


@on_both
def test_help_signals(store: Store) -> None:
    rows = [row("b", 2000)._replace(event_type="help_stop"), row("a", 1000)._replace(event_type="help"), row("c", 3000)]
    store.append([rows])
    assert list(store.help_signals(0)) == [
        HelpSignal("taro@example.jp", "s", 1000, False),
        HelpSignal("taro@example.jp", "s", 2000, True),
    ]
    assert len(list(store.help_signals(1001))) == 1


@on_both
def test_the_latest_acknowledgement_of_a_student(store: Store) -> None:
    made = [
        Acknowledgement("help", 3000, 2900, "taro@example.jp", "teacher"),
        Acknowledgement("help", 2000, 1900, "taro@example.jp", "teacher"),
        Acknowledgement("help", 1000, 900, "hanako@example.jp", "teacher"),
        Acknowledgement("error", 4000, 4000, "taro@example.jp", "teacher"),
    ]
    store.append([[row("a")], []], made)
    assert store.acknowledged("help", 0) == {"taro@example.jp": 2900, "hanako@example.jp": 900}
    assert store.acknowledged("help", 1001) == {"taro@example.jp": 2900}
    assert store.acknowledged("error", 0) == {"taro@example.jp": 4000}


def test_a_student_is_found_without_reading_the_others_events(sqlite_store: SqliteStore) -> None:
    queries = (sqlite._KNOWS, sqlite._EXECUTIONS, sqlite._HELP_SIGNALS, sqlite._ACTIVITY_OF_ONE)
    for query in queries:
        parameters = {"since": 0, "email": "x"} if ":since" in query else (0, "x", 50)[: query.count("?")]
        plan = " ".join(str(line[3]) for line in sqlite_store._read("EXPLAIN QUERY PLAN " + query, parameters))
        assert "events_by_time (occurred_at>?" in plan, plan
    assert "USING COVERING INDEX" in next(sqlite_store._read("EXPLAIN QUERY PLAN " + sqlite._KNOWS, (0, "x")))[3]


@on_both
def test_a_transaction_is_whole(store: Store) -> None:
    broken = row("c")._replace(email_address=None)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailableError):
        store.append([[row("a")], [row("b"), broken]])
    assert list(store.activity(0)) == []
    assert store.append([[row("a")]]) == [AppendResult(1, 0)]


def test_it_is_durable_at_every_commit(sqlite_store: SqliteStore) -> None:
    connection = sqlite_store._writer()
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


@on_both
def test_check_leaves_the_events_alone(store: Store) -> None:
    store.check()
    store.check()
    assert list(store.activity(0)) == []


def test_check_fails_before_the_disk_is_full(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "events.sqlite3", min_free_bytes=2**60)
    store.open()
    with pytest.raises(StoreUnavailableError, match="bytes are free"):
        store.check()
    store.close()


def test_a_locked_store_is_unavailable(
    sqlite_store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("event_server.store.sqlite._BUSY_TIMEOUT_SECONDS", 0.01)
    sqlite_store.close()
    with closing(sqlite3.connect(tmp_path / "events 1#.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailableError, match="locked"):
            sqlite_store.append([[row("a")]])
    assert sqlite_store.append([[row("a")]]) == [AppendResult(1, 0)]


def test_a_store_that_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError):
        list(SqliteStore(tmp_path / "none.sqlite3").activity(0))
