"""What is kept for browsers that are away."""

from __future__ import annotations

from systemd_kernels.backlog import DELIMITER, Backlog, Message, number_of, stamp


def message(number: int, channel: str = "iopub", size: int = 10, *, output: bool = True) -> Message:
    return Message(number, channel, [b"x" * size], output)


def numbers(backlog: Backlog, session: bytes) -> list[int]:
    return [missed.number for missed in backlog.attach(session)[0]]


def test_a_number_travels_among_the_routing_frames() -> None:
    frames = [b"topic", DELIMITER, b"signature", b"{}"]
    assert number_of(frames) is None
    stamped = stamp(frames, 2**60)
    assert stamped[0] == b"topic"
    assert stamped[2:] == frames[1:]
    assert number_of(stamped) == 2**60
    assert stamp([b"ping"], 1) == [b"ping"]
    assert number_of([b"ping"]) is None


def test_each_session_gets_what_it_has_not_confirmed() -> None:
    backlog = Backlog(10_000, 8)
    backlog.confirm(b"a", "iopub", 0)
    backlog.confirm(b"b", "iopub", 0)
    for number in (1, 2, 3):
        backlog.add(message(number))
    backlog.add(message(4, "shell"), b"a")
    backlog.add(message(5, "shell"), b"unknown")
    backlog.confirm(b"a", "iopub", 2)
    assert numbers(backlog, b"a") == [3, 4]
    assert numbers(backlog, b"b") == [1, 2, 3]
    assert numbers(backlog, b"new") == []


def test_channels_are_confirmed_apart() -> None:
    backlog = Backlog(10_000, 8)
    backlog.attach(b"a")
    backlog.add(message(1))
    backlog.add(message(2, "shell"), b"a")
    backlog.confirm(b"a", "shell", 2)
    assert numbers(backlog, b"a") == [1]


def test_the_oldest_are_dropped_and_counted() -> None:
    backlog = Backlog(2 * message(0).size, 8)
    backlog.attach(b"a")
    for number in range(5):
        backlog.add(message(number))
    missed, dropped = backlog.attach(b"a")
    assert [m.number for m in missed] == [3, 4]
    assert dropped == 3
    assert backlog.attach(b"a")[1] == 0


def test_output_is_dropped_before_what_ends_a_cell() -> None:
    backlog = Backlog(4 * message(0).size, 8)
    backlog.attach(b"a")
    backlog.add(message(1))
    backlog.add(message(2, "shell", output=False), b"a")
    backlog.add(message(3, output=False))
    for number in (4, 5, 6):
        backlog.add(message(number))
    assert numbers(backlog, b"a") == [2, 3, 5, 6]


def test_what_was_got_before_it_was_confirmed_is_not_missing() -> None:
    backlog = Backlog(2 * message(0).size, 8)
    backlog.attach(b"a")
    for number in range(5):
        backlog.add(message(number))
    backlog.confirm(b"a", "iopub", 3)
    missed, dropped = backlog.attach(b"a")
    assert [m.number for m in missed] == [4]
    assert dropped == 0


def test_a_message_larger_than_all_is_kept_until_the_next() -> None:
    backlog = Backlog(100, 8)
    backlog.attach(b"a")
    backlog.add(message(1, size=1000))
    assert numbers(backlog, b"a") == [1]
    backlog.add(message(2))
    assert numbers(backlog, b"a") == [2]


def test_sessions_are_forgotten() -> None:
    backlog = Backlog(10_000, 2)
    for session in (b"a", b"b", b"c"):
        backlog.attach(session)
    backlog.detach(b"b")
    backlog.add(message(1))
    assert numbers(backlog, b"c") == [1]
    assert numbers(backlog, b"b") == []
    assert numbers(backlog, b"a") == []
