"""What became of each request, where some of the events of a transaction were stored before."""

from collections.abc import Sequence

from event_server.events import StoredEvent
from event_server.store import AppendResult


def results_of(batches: Sequence[Sequence[StoredEvent]], new: set[str]) -> list[AppendResult]:
    """Returns the result of each request.

    Args:
        batches: the events of the requests, in the order in which they were stored.
        new: the ids of those that were not stored before. Of two events with one id the first one is new.
    """
    waiting = set(new)
    results = []
    for events in batches:
        left_out = set()
        for place, event in enumerate(events):
            if event.event_id in waiting:
                waiting.remove(event.event_id)
            else:
                left_out.add(place)
        results.append(AppendResult(len(events) - len(left_out), len(left_out), frozenset(left_out)))
    return results
