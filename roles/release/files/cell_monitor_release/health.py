"""Asks services how they are."""

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlsplit

_SECONDS = 10


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(self._path)


def ask(url: str, unix_socket: str | None = None) -> tuple[int, Any]:
    """Asks a service for its health.

    Args:
        url: where; of one that listens on a socket, its path counts alone.
        unix_socket: path of the socket.

    Returns:
        the status, 0 without an answer, and the answer: the JSON of it, or the text of what went wrong.
    """
    address = urlsplit(url)
    connection: http.client.HTTPConnection
    if unix_socket:
        connection = _UnixConnection(unix_socket)
    else:
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_SECONDS)
    try:
        connection.request("GET", address.path or "/", headers={"Connection": "close"})
        answer = connection.getresponse()
        content = answer.read(1 << 16)
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error) or type(error).__name__
    finally:
        connection.close()
    try:
        return answer.status, json.loads(content)
    except ValueError:
        return answer.status, content.decode(errors="replace")


def fault(status: int, answer: Any, release: str | None) -> str | None:
    """Returns what is wrong with an answer, None if it is healthy and of the release."""
    if status == 0:
        return f"it does not answer ({answer})"
    if status != 200:
        told = answer.get("message") or answer.get("services") or answer if isinstance(answer, dict) else answer
        return f"it answers {status} ({str(told)[:200]})"
    if release is None:
        return None
    told = answer.get("release") if isinstance(answer, dict) else None
    return None if told == release else f"it answers as release {told}"
