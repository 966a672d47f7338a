import pytest
from event_server.throttle import Throttle, TooManyAttemptsError


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_attempts_come_back_one_by_one() -> None:
    clock = Clock()
    throttle = Throttle(3, 10, clock=clock)
    for _ in range(3):
        throttle.take("a")
    with pytest.raises(TooManyAttemptsError) as refused:
        throttle.take("a")
    assert 10 <= refused.value.retry_after <= 11
    throttle.take("b")
    clock.now += 10
    throttle.take("a")
    with pytest.raises(TooManyAttemptsError):
        throttle.take("a")


def test_refused_attempts_do_not_prolong_the_wait() -> None:
    clock = Clock()
    throttle = Throttle(1, 10, clock=clock)
    throttle.take("a")
    for _ in range(100):
        with pytest.raises(TooManyAttemptsError):
            throttle.take("a")
    clock.now += 10
    throttle.take("a")


def test_right_ones_cost_nothing() -> None:
    throttle = Throttle(1, 10)
    for _ in range(5):
        throttle.take("a")
        throttle.give_back("a")


def test_memory_is_bounded() -> None:
    throttle = Throttle(1, 10, max_keys=100)
    for key in range(1000):
        throttle.take(key)
    assert len(throttle) == 100
