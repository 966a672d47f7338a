"""uvicorn's HTTP, with one system call for an answer where it takes one for the head and one for the body.

And with patience at the end: whoever has just connected has a request on its way.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# How long a connection without a request is kept when the server ends.
_PATIENCE_SECONDS = 0.3


class _Gathering:
    """A transport that sends together what is written in one turn of the event loop."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._unsent: list[bytes] = []
        # Asked for each request, and found faster than by __getattr__.
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._unsent:
            self._transport.write(b"".join(self._unsent))
            self._unsent.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class GatheringProtocol(HttpToolsProtocol):
    """An HTTP connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins a connection."""
        super().connection_made(cast(asyncio.Transport, _Gathering(transport, self.loop)))

    def shutdown(self) -> None:
        """Ends a connection, after the answer to the request that it is for."""
        if self.cycle is None:
            self.loop.call_later(_PATIENCE_SECONDS, self._end)
        else:
            super().shutdown()

    def _end(self) -> None:
        if self in self.connections:
            super().shutdown()
