"""The file of the writers' tokens while the server runs."""

import hashlib
from pathlib import Path

import pytest
from event_server.config import ConfigError
from event_server.tokens import LOOK_SECONDS, Tokens, read_tokens


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def passes(self) -> None:
        self.now += LOOK_SECONDS


def write(path: Path, *tokens: tuple[str, str]) -> None:
    """Replaces the file, as a deploy does."""
    draft = path.with_suffix(".new")
    draft.write_text("".join(f"{name}:{hashlib.sha256(token.encode()).hexdigest()}\n" for name, token in tokens))
    draft.replace(path)


def test_a_token_takes_the_place_of_another(tmp_path: Path) -> None:
    path, clock = tmp_path / "writers", Clock()
    write(path, ("class1", "old"), ("class2", "other"))
    tokens = Tokens(path, clock=clock)
    assert [tokens.name_of(token) for token in ("old", "new", "other")] == ["class1", None, "class2"]
    write(path, ("class1", "old"), ("class1", "new"), ("class2", "other"))
    clock.passes()
    assert [tokens.name_of(token) for token in ("old", "new", "other")] == ["class1", "class1", "class2"]
    write(path, ("class1", "new"), ("class2", "other"))
    clock.passes()
    assert [tokens.name_of(token) for token in ("old", "new", "other")] == [None, "class1", "class2"]


def test_the_file_is_looked_at_once_a_second(tmp_path: Path) -> None:
    path, clock = tmp_path / "writers", Clock()
    write(path, ("class1", "old"))
    tokens = Tokens(path, clock=clock)
    write(path, ("class1", "new"))
    clock.now += LOOK_SECONDS / 2
    assert tokens.name_of("old") == "class1"


def test_a_mistake_locks_nobody_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, clock = tmp_path / "writers", Clock()
    write(path, ("class1", "old"))
    tokens = Tokens(path, clock=clock)
    for damage in (lambda: path.write_text("class1:abc\n"), path.unlink):
        damage()
        for _ in range(2):
            clock.passes()
            assert tokens.name_of("old") == "class1"
    assert [record.message.partition(":")[0] for record in caplog.records] == 2 * ["the writers stay as they were"]
    write(path, ("class1", "new"))
    clock.passes()
    assert [tokens.name_of(token) for token in ("old", "new")] == [None, "class1"]


def test_digests_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "writers").write_text("lab:abc\n")
    with pytest.raises(ConfigError, match="writer lab"):
        read_tokens(tmp_path / "writers")
