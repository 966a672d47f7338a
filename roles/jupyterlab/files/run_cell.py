"""Uses JupyterLab as a student does: logs in, runs a cell, ends its kernel. Run with the Python of its release.

Standard input is JSON: ``url``, without a trailing slash, and ``password``. Exit code 1, with one sentence, if anything
was not as it has to be.
"""

import asyncio
import json
import sys
import uuid
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.websocket import websocket_connect

_SECONDS = 60


class Student:
    """A browser: keeps cookies, and sends the XSRF token that Jupyter gave it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._cookies: SimpleCookie = SimpleCookie()

    async def ask(self, method: str, path: str, body: str | None = None) -> HTTPResponse:
        """Asks for something; returns the answer, also one that leads elsewhere.

        Raises:
            ValueError: it is refused.
            OSError: nobody answers.
        """
        request = HTTPRequest(
            self._url + path,
            method,
            self._headers(),
            body,
            follow_redirects=False,
            request_timeout=_SECONDS,
        )
        answer = await AsyncHTTPClient().fetch(request, raise_error=False)
        for cookie in answer.headers.get_list("Set-Cookie"):
            self._cookies.load(cookie)
        if answer.code >= 400:
            raise ValueError(f"{method} {path} is answered {answer.code}")
        return answer

    async def listen(self, path: str) -> Any:
        """Opens a websocket."""
        return await websocket_connect(
            HTTPRequest(f"ws{self._url.removeprefix('http')}{path}", headers=self._headers())
        )

    def _headers(self) -> dict[str, str]:
        headers = {"Cookie": "; ".join(f"{name}={cookie.value}" for name, cookie in self._cookies.items())}
        return headers | ({"X-XSRFToken": self._cookies["_xsrf"].value} if "_xsrf" in self._cookies else {})


async def run_cell(url: str, password: str, code: str) -> str:
    """Logs in, runs a cell, and returns what it printed.

    Raises:
        ValueError: something is refused, or the cell fails.
        OSError: nobody answers.
    """
    student = Student(url)
    await student.ask("GET", "/login")
    if (await student.ask("POST", "/login", urlencode({"password": password}))).code != 302:
        raise ValueError("the password is not taken")
    kernel = json.loads((await student.ask("POST", "/api/kernels", '{"name": "python3"}')).body)["id"]
    try:
        return await _printed(await student.listen(f"/api/kernels/{kernel}/channels"), code)
    finally:
        await student.ask("DELETE", f"/api/kernels/{kernel}")


async def _printed(socket: Any, code: str) -> str:
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": "execute_request",
        "session": "",
        "username": "",
        "version": "5.3",
    }
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False, "stop_on_error": True}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    await socket.write_message(json.dumps(message))
    printed = ""
    while (text := await socket.read_message()) is not None:
        told = json.loads(text)
        if told["parent_header"].get("msg_id") != header["msg_id"]:
            continue
        if told["msg_type"] == "stream":
            printed += told["content"]["text"]
        elif told["msg_type"] == "error":
            raise ValueError(f"the cell ends with {told['content']['ename']}")
        elif told["msg_type"] == "status" and told["content"]["execution_state"] == "idle":
            return printed
    raise ValueError("the kernel's connection was closed")


def main() -> str:
    """Runs a cell; returns what is wrong, "" if nothing is."""
    settings = json.load(sys.stdin)
    try:
        asked = run_cell(settings["url"], settings["password"], "print(6 * 7)")
        printed = asyncio.run(asyncio.wait_for(asked, _SECONDS))
    except (OSError, ValueError) as error:
        return str(error) or f"nothing came within {_SECONDS} s"
    return "" if printed == "42\n" else f"a cell that prints 42 has printed {printed!r}"


if __name__ == "__main__":
    sys.exit(main() or 0)
