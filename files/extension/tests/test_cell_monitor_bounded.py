from cell_monitor.bounded import Recent, Window
from conftest import Clock


def test_a_window_sums_up_the_last_while() -> None:
    clock = Clock()
    window = Window(60, 6, clock)
    assert window.total() == 0
    window.add()
    clock.now += 30
    window.add(2.5)
    assert window.total() == 3.5
    clock.now += 30
    assert window.total() == 2.5
    clock.now += 3600
    assert window.total() == 0
    window.add()
    assert window.total() == 1


def test_a_window_is_empty_on_a_machine_that_has_just_started() -> None:
    clock = Clock()
    clock.now = 0.0
    window = Window(60, 6, clock)
    assert window.total() == 0
    window.add()
    assert window.total() == 1


def test_recent_keys_are_forgotten_in_time() -> None:
    clock = Clock()
    recent: Recent[str, int] = Recent(10, 60, clock)
    recent.put("a", 1)
    clock.now += 40
    recent.put("b", 2)
    clock.now += 19
    recent.put("b", 3)
    assert recent.values() == [1, 3]
    clock.now += 1
    assert (recent.get("a"), recent.get("b"), len(recent)) == (None, 3, 1)
    assert "a" not in recent
    recent.discard("b")
    recent.discard("b")
    assert recent.values() == []


def test_the_oldest_of_too_many_keys_go() -> None:
    recent: Recent[int, None] = Recent(3, 60)
    for key in (1, 2, 3, 1, 4, 5):
        recent.put(key, None)
    assert [key for key in range(10) if key in recent] == [1, 4, 5]
