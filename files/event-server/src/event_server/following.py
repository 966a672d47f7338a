"""What servers on one store know in common, beside the class's state: who is seen to, and who has logged out."""

import asyncio
import time
from collections.abc import Callable

from event_server.help_desk import HelpDesk
from event_server.sessions import Sessions
from event_server.store import News, Store, StoreUnavailableError

# A request for help that was dismissed longer ago than this, and is still on, is a new one after a restart.
_HELP_HISTORY = 24 * 3600 * 1000


class Following:
    """Tells this server's help desk, screens and sessions of what is stored, and of what others have done."""

    def __init__(
        self,
        store: Store,
        desk: HelpDesk,
        sessions: Sessions,
        resolve: Callable[[str, int], None],
        tell_action: Callable[[str, str, str], None],
    ) -> None:
        """Takes the store and who is told; the functions take for dealt with, and show, what an instructor has done."""
        self._store = store
        self._desk = desk
        self._sessions = sessions
        self._resolve = resolve
        self._tell_action = tell_action

    async def load(self) -> bool:
        """Takes what the store holds; False if it is away."""
        since = time.time_ns() // 1_000_000 - _HELP_HISTORY
        try:
            dismissed_at = await asyncio.to_thread(self._store.acknowledged, "help", since)
            signals = await asyncio.to_thread(lambda: list(self._store.help_signals(since)))
            ended = await asyncio.to_thread(self._store.ended_sessions)
        except StoreUnavailableError:
            return False
        self._desk.load(signals, dismissed_at)
        self._sessions.forget(ended)
        return True

    def take(self, news: News) -> None:
        """Takes what others have done."""
        for acknowledgement in news.acknowledgements:
            email, instructor = acknowledgement.email_address, acknowledgement.instructor
            if acknowledgement.kind == "help":
                self._desk.dismiss(email, acknowledgement.covers_until)
                self._tell_action("help_dismissed", email, instructor)
            else:
                self._resolve(email, acknowledgement.covers_until)
                self._tell_action("error_resolved", email, instructor)
        self._sessions.forget(news.ended_sessions)
