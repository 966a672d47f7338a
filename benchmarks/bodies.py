"""Bodies of requests as Jupyter hosts send them, cheap enough to fill anew that a load generator is not held up."""

import json
import random
import re
from datetime import UTC, datetime
from typing import Any

STUDENTS = 200
_KINDS = ("cell_executed", "help", "notebook_saved", "notebook_opened")
_WEIGHTS = (88, 4, 6, 2)
_CODE = (
    "for i in range(len(scores)):\n    # 点数の合計\n    total = total + scores[i]\n" * 4
    + "print(total / len(scores))\n"
)
_ERROR = "NameError: name 'totl' is not defined"

# What is replaced, each by as many bytes. The rest of an id is its event's place in the request.
_ID = b"IIIIIIII-IIII-7III-8III-IIIIIIII"
_MOMENT = b"0000-00-00T00:00:00.000Z"


def _event(place: int, chance: random.Random) -> dict[str, Any]:
    """Returns an event of a student of a class; on average they have about 800 bytes."""
    number = chance.randrange(STUDENTS)
    fields: dict[str, Any] = {
        "eventId": f"{_ID.decode()}{place:04x}",
        "eventType": chance.choices(_KINDS, _WEIGHTS)[0],
        "eventTime": _MOMENT.decode(),
        "emailAddress": f"student{number:03}@example.jp",
        "userName": f"学生{number:03}",
        "teamName": f"チーム{number % 20:02}",
        "sessionId": f"0193536b-0000-7000-8000-{number:012}",
        "notebookPath": f"lesson/{chance.randrange(6)}.ipynb",
    }
    if fields["eventType"] == "cell_executed":
        failed = chance.random() < 0.3
        fields |= {
            "cellId": f"cell-{chance.randrange(40)}",
            "cellIndex": chance.randrange(40),
            "cellType": "code",
            "code": _CODE,
            "executionCount": chance.randrange(200),
            "hasError": failed,
            "errorMessage": _ERROR if failed else "",
            "result": "" if failed else "72.5",
            "executionDurationMs": chance.randrange(2000),
        }
    return fields


class Request:
    """A request to store events, to be filled before it is sent.

    ``size`` is the mean size of its events in bytes.
    """

    def __init__(self, events: int, token: str, chance: random.Random) -> None:
        """Takes how many events it holds, and the writer's token."""
        made = [_event(place, chance) for place in range(events)]
        body = json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()
        head = (
            "POST /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.size = len(body) / events
        self._start = len(head)
        # Ids and moments take turns at what is split at.
        self._pieces = re.split(b"(%b|%b)" % (re.escape(_ID), re.escape(_MOMENT)), head.encode() + body)
        self._events = events
        self._chance = chance

    def fill(self, first: int, at: float) -> bytes:
        """Returns the request with new events.

        Args:
            first: the number of the first event, which ``number_of`` finds in its UUIDv7; the next ones follow.
            at: when they occur, in seconds since 1970.
        """
        milliseconds = int(at * 1000)
        # Within a millisecond the ids of different senders are in no order.
        salt = self._chance.getrandbits(24)
        event_id = (
            f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7{salt >> 12:03x}-8{salt & 0xFFF:03x}-{first:08x}"
        )
        moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:23] + "Z"
        self._pieces[1::4] = [event_id.encode()] * self._events
        self._pieces[3::4] = [moment.encode()] * self._events
        return b"".join(self._pieces)

    def body(self, first: int, at: float) -> bytes:
        """Returns what follows the headers."""
        return self.fill(first, at)[self._start :]


def number_of(event_id: str) -> int:
    """Returns the number of an event."""
    digits = event_id.rpartition("-")[2]
    return int(digits[:8], 16) + int(digits[8:], 16)
