"""Serves another application in place of the event server's, by the same function and with the same configuration."""

import sys
from pathlib import Path
from unittest import mock

from event_server import server
from event_server.config import Config, load_config
from starlette.types import ASGIApp, Receive, Scope, Send

_ANSWER = b'{"message":"accepted"}'


def floor(_: Config) -> ASGIApp:
    """Returns an application that reads what it is sent, and accepts it without a look."""
    start = {
        "type": "http.response.start",
        "status": 202,
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(_ANSWER)).encode())],
    }

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for done in ("lifespan.startup.complete", "lifespan.shutdown.complete"):
                await receive()
                await send({"type": done})
            return
        while (await receive()).get("more_body", False):
            pass
        await send(start)
        await send({"type": "http.response.body", "body": _ANSWER})

    return application


def usual(config: Config) -> ASGIApp:
    """Returns the usual application."""
    # Slow to load, and not needed for the floor.
    from usual import make_app

    return make_app(config)


def main() -> int:
    """Serves until a signal ends it."""
    name, config = sys.argv[1:]
    with mock.patch.object(server, "create_app", {"floor": floor, "usual": usual}[name]):
        return 0 if server.serve(load_config(Path(config))) else 1


if __name__ == "__main__":
    sys.exit(main())
