"""What browsers have not got yet of what a kernel has said."""

import sys
from collections import OrderedDict, deque
from dataclasses import dataclass, field

DELIMITER = b"<IDS|MSG>"


@dataclass(frozen=True)
class Message:
    """A message on its way from the kernel.

    Attributes:
        number: counts the channel's messages one by one, and goes up across restarts of the kernel.
        channel: `iopub`, `shell`, `control` or `stdin`.
        frames: as a client's socket receives them.
        output: whether a notebook can do without it; without a reply or a status, a cell would never end.
    """

    number: int
    channel: str
    frames: list[bytes]
    output: bool = False

    @property
    def size(self) -> int:
        """Bytes of memory that its frames take."""
        return sum(map(sys.getsizeof, self.frames))


def stamp(frames: list[bytes], number: int) -> list[bytes]:
    """Puts a message's number among the routing frames, which every client of Jupyter skips."""
    at = _delimiter(frames)
    return frames if at is None else [*frames[:at], number.to_bytes(8), *frames[at:]]


def number_of(frames: list[bytes]) -> int | None:
    """The number that a message was stamped with; None if it was not."""
    at = _delimiter(frames)
    return int.from_bytes(frames[at - 1]) if at and len(frames[at - 1]) == 8 else None


def _delimiter(frames: list[bytes]) -> int | None:
    try:
        return frames.index(DELIMITER)
    except ValueError:
        return None


@dataclass
class _Session:
    messages: deque[Message] = field(default_factory=deque)
    size: int = 0
    confirmed: dict[str, int] = field(default_factory=dict)
    dropped: int = 0
    last_dropped: int = 0

    def add(self, message: Message, max_bytes: int) -> None:
        self.messages.append(message)
        self.size += message.size
        while self.size > max_bytes and len(self.messages) > 1:
            self._drop()

    def confirm(self, channel: str, number: int) -> None:
        self.confirmed[channel] = max(number, self.confirmed.get(channel, 0))
        if channel == "iopub" and number >= self.last_dropped:
            # It was slow to confirm, but has got them.
            self.dropped = 0
        while self.messages and self.messages[0].number <= self.confirmed.get(self.messages[0].channel, 0):
            self._pop()

    def missed(self) -> list[Message]:
        return [m for m in self.messages if m.number > self.confirmed.get(m.channel, 0)]

    def _drop(self) -> None:
        at = next((at for at, message in enumerate(self.messages) if message.output), 0)
        self.last_dropped = self.messages[at].number
        self.dropped += 1
        self.size -= self.messages[at].size
        del self.messages[at]

    def _pop(self) -> None:
        self.size -= self.messages.popleft().size


class Backlog:
    """Keeps, for each session of a browser, what it has not confirmed yet.

    Args:
        max_bytes: that are kept for a session; beyond, the oldest output is dropped.
        max_sessions: that are known; beyond, the one that was heard of longest ago is forgotten.
    """

    def __init__(self, max_bytes: int, max_sessions: int) -> None:
        self._max_bytes = max_bytes
        self._max_sessions = max_sessions
        self._sessions: OrderedDict[bytes, _Session] = OrderedDict()

    def add(self, message: Message, session: bytes | None = None) -> None:
        """Keeps a message for all sessions, or for one, if it is known."""
        if session is None:
            for known in self._sessions.values():
                known.add(message, self._max_bytes)
        elif session in self._sessions:
            self._sessions[session].add(message, self._max_bytes)

    def attach(self, session: bytes) -> tuple[list[Message], int]:
        """What a session has missed, oldest first, and how many messages were dropped before it came back."""
        known = self._session(session)
        dropped, known.dropped = known.dropped, 0
        return known.missed(), dropped

    def confirm(self, session: bytes, channel: str, number: int) -> None:
        """Notes that a session has all of a channel up to a number."""
        self._session(session).confirm(channel, number)

    def detach(self, session: bytes) -> None:
        """Forgets a session that does not come back."""
        self._sessions.pop(session, None)

    def _session(self, session: bytes) -> _Session:
        known = self._sessions.setdefault(session, _Session())
        self._sessions.move_to_end(session)
        while len(self._sessions) > self._max_sessions:
            self._sessions.popitem(last=False)
        return known
