"""Runs the application under uvicorn, and tells systemd when it answers."""

import gc
import os
import socket
import sys
from pathlib import Path

import uvicorn

from event_server.app import create_app
from event_server.config import Config
from event_server.logs import configure_logging
from event_server.protocol import GatheringProtocol

# A tenth of the default: how long the thread that writes waits for a busy event loop to make room.
_SWITCH_SECONDS = 0.0005
# Connections that may wait while the process is restarted or busy; the kernel's own limit is as high.
_BACKLOG = 4096
_FIRST_INHERITED = 3


class _Server(uvicorn.Server):
    """uvicorn with the notifications of ``Type=notify``."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            _spare_garbage_collection()
            notify("READY=1")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify("STOPPING=1")
        await super().shutdown(sockets)


def _spare_garbage_collection() -> None:
    """Has it leave out what stays for ever, and not run for each few hundred events: these are in no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def notify(state: str) -> None:
    """Tells the service manager a state, if there is one that listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.send(state.encode())


def inherited_sockets() -> list[socket.socket] | None:
    """Returns the sockets that systemd listens on for this process, None if there are none (``sd_listen_fds(3)``)."""
    if os.environ.pop("LISTEN_PID", None) != str(os.getpid()):
        return None
    count = int(os.environ.pop("LISTEN_FDS", "0"))
    return [socket.socket(fileno=number) for number in range(_FIRST_INHERITED, _FIRST_INHERITED + count)] or None


def serve(config: Config, unix_socket: Path | None = None) -> bool:
    """Serves until a signal ends it, then answers what it has begun.

    Args:
        config: the configuration. Its address does not count where systemd has given a socket.
        unix_socket: where to listen instead.

    Returns:
        whether the server had started.

    Raises:
        ConfigError: a file of secrets cannot be used.
    """
    configure_logging(config.log_level)
    sys.setswitchinterval(_SWITCH_SECONDS)
    server = _Server(
        uvicorn.Config(
            create_app(config),
            host=config.host,
            port=config.port,
            uds=str(unix_socket) if unix_socket else None,
            backlog=_BACKLOG,
            loop="uvloop",
            http=GatheringProtocol,
            ws="websockets-sansio",
            # Screens send pings, and nothing else.
            ws_max_size=4096,
            ws_per_message_deflate=False,
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=20,
        )
    )
    server.run(None if unix_socket else inherited_sockets())
    return server.started
