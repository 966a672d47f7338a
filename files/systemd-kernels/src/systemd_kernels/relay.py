"""What runs in a kernel's unit beside the kernel: it passes messages on, and keeps those that no server has taken.

Servers connect to the relay as to a kernel. Beside the kernel's sockets it has one named `log`, where a server says for
a browser's session:

* `attach <session>`: each missed message comes as `missed <channel> <frames...>`, then `attached <number>`, the last
  one of `iopub`; before them `dropped <count>`, if there were more than are kept,
* `confirm <session> <channel> <number>`: the browser has got everything up to it,
* `detach <session>`: it does not come back.

A relay is of the release that was current when its kernel started, servers come from older and newer ones: verbs may be
added, not changed.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from systemd_kernels.backlog import DELIMITER, Backlog, Message, stamp
from systemd_kernels.folder import KernelFolder

# Of each session, which mostly share their messages. A browser takes as much at once without getting stuck.
MAX_BYTES = 8 * 2**20
MAX_SESSIONS = 8
# What a server may lag behind before it has to ask for what it has lost.
HIGH_WATER_MARK = 2_000
AT_ONCE = 100
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
REPLYING = ("shell", "control", "stdin")
# Requests that a kernel answers without working for its user.
QUIET = {"kernel_info_request", "comm_info_request", "interrupt_request", "shutdown_request", "debug_request"}
# How long the last messages of a kernel that has ended may take, in milliseconds.
LAST_MESSAGES_MS = 200


class Relay:
    """Passes messages between a kernel and its servers.

    Args:
        folder: of the kernel; both connection files are there.
    """

    def __init__(self, folder: KernelFolder) -> None:
        self._folder = folder
        self._ports: dict[str, Any] = json.loads(folder.connection.read_bytes())
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        self._handlers: dict[Any, Callable[[list[bytes]], None]] = {}
        self._backlog = Backlog(MAX_BYTES, MAX_SESSIONS)
        # Numbers go on after those of the relay that ran before a restart of the kernel.
        self._numbers = dict.fromkeys(("iopub", *REPLYING), time.monotonic_ns())
        self._state = ""
        self._note_state("idle")
        for channel in REPLYING:
            self._bridge(channel)
        self._beat()
        self._publish()
        # What it sends at once is as much as is kept.
        self._log = self._bind(zmq.ROUTER, f"{folder.sockets}-log", high_water_mark=0)
        self._listen(self._log, self._on_log)

    def pass_on(self, timeout_ms: int | None = None) -> bool:
        """Passes on what there is; returns whether there was something within the time, or a signal."""
        ready = self._poller.poll(timeout_ms)
        for readable, _ in ready:
            if readable in self._handlers:
                self._empty(readable, self._handlers[readable])
        return bool(ready)

    def watch(self, descriptor: int) -> None:
        """Lets `pass_on` return when a descriptor becomes readable."""
        self._poller.register(descriptor, zmq.POLLIN)

    def close(self) -> None:
        """Lets what was passed on leave, and closes the sockets."""
        self._context.destroy(linger=LAST_MESSAGES_MS)

    def _empty(self, readable: "zmq.Socket[bytes]", handler: Callable[[list[bytes]], None]) -> None:
        # A kernel that never ceases to talk must not keep an interrupt waiting.
        for _ in range(AT_ONCE):
            try:
                frames = readable.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            handler(frames)

    def _bridge(self, channel: str) -> None:
        server = self._bind(zmq.ROUTER, self._of_server(channel))
        # The same identity everywhere: a kernel asks for input where the request to execute came from.
        kernel = self._connect(zmq.DEALER, self._of_kernel(channel), identity=b"relay")

        def reply(frames: list[bytes]) -> None:
            message = self._next(channel, frames[1:])
            self._backlog.add(message, frames[0])
            _send(server, [frames[0], *message.frames])

        self._listen(server, kernel.send_multipart)
        self._listen(kernel, reply)

    def _beat(self) -> None:
        server = self._bind(zmq.ROUTER, self._of_server("hb"))
        kernel = self._connect(zmq.DEALER, self._of_kernel("hb"))
        self._listen(server, kernel.send_multipart)
        self._listen(kernel, lambda frames: _send(server, frames))

    def _publish(self) -> None:
        server = self._bind(zmq.PUB, self._of_server("iopub"))
        kernel = self._connect(zmq.SUB, self._of_kernel("iopub"))
        kernel.subscribe(b"")

        def publish(frames: list[bytes]) -> None:
            # Before a server hears of it: what is noted is never older than what it knows.
            status = self._look_at(frames)
            message = self._next("iopub", frames, output=not status)
            self._backlog.add(message)
            server.send_multipart(message.frames)

        self._listen(kernel, publish)

    def _on_log(self, frames: list[bytes]) -> None:
        sender, verb, session, *rest = frames
        if verb == b"attach":
            missed, dropped = self._backlog.attach(session)
            if dropped:
                _send(self._log, [sender, b"dropped", b"%d" % dropped])
            for message in missed:
                _send(self._log, [sender, b"missed", message.channel.encode(), *message.frames])
            _send(self._log, [sender, b"attached", self._numbers["iopub"].to_bytes(8)])
        elif verb == b"confirm":
            self._backlog.confirm(session, rest[0].decode(), int.from_bytes(rest[1]))
        elif verb == b"detach":
            self._backlog.detach(session)

    def _look_at(self, frames: list[bytes]) -> bool:
        """Notes whether the kernel works for its user, for a server that has not seen it begin.

        Returns whether the message is about that.
        """
        at = frames.index(DELIMITER) if DELIMITER in frames else len(frames)
        if len(frames) <= at + 5 or b'"status"' not in frames[at + 2]:
            return False
        try:
            if json.loads(frames[at + 3]).get("msg_type") not in QUIET:
                self._note_state(json.loads(frames[at + 5])["execution_state"])
        except (ValueError, KeyError):
            return False
        return True

    def _note_state(self, state: str) -> None:
        if state in ("busy", "idle") and state != self._state:
            self._state = state
            self._folder.note_state(state)

    def _next(self, channel: str, frames: list[bytes], *, output: bool = False) -> Message:
        number = self._numbers[channel] = self._numbers[channel] + 1
        return Message(number, channel, stamp(frames, number), output)

    def _of_server(self, channel: str) -> str:
        return f"{self._folder.sockets}-{self._ports[channel + '_port']}"

    def _of_kernel(self, channel: str) -> str:
        return f"{self._folder.kernel_sockets}-{self._ports[channel + '_port']}"

    def _bind(self, kind: int, path: str, high_water_mark: int = HIGH_WATER_MARK) -> "zmq.Socket[bytes]":
        bound = self._context.socket(kind)
        bound.sndhwm = high_water_mark
        if kind == zmq.ROUTER:
            # A browser may come back before its old connection is closed.
            bound.router_handover = True
        bound.bind(f"ipc://{path}")
        return bound

    def _connect(self, kind: int, path: str, identity: bytes = b"") -> "zmq.Socket[bytes]":
        connected = self._context.socket(kind)
        # Neither side may make the relay wait: an interrupt has to get through. The unit's memory is limited.
        connected.rcvhwm = connected.sndhwm = 0
        connected.reconnect_ivl = 20
        if identity:
            connected.identity = identity
        connected.connect(f"ipc://{path}")
        return connected

    def _listen(self, readable: "zmq.Socket[bytes]", handler: Callable[[list[bytes]], Any]) -> None:
        self._poller.register(readable, zmq.POLLIN)
        self._handlers[readable] = handler


def _send(router: "zmq.Socket[bytes]", frames: list[bytes]) -> None:
    # Who is away asks later for what was meant for him.
    with contextlib.suppress(zmq.ZMQError):
        router.send_multipart(frames)


class Signals:
    """Signals of this process, for a loop that waits for messages too."""

    def __init__(self) -> None:
        self.descriptor, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._caught: list[int] = []
        signal.set_wakeup_fd(write)
        for signum in (*FORWARDED, signal.SIGCHLD):
            signal.signal(signum, lambda caught, _: self._caught.append(caught))

    def take(self) -> list[int]:
        """Those that came since the last time."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor, 4096)
        caught, self._caught = self._caught, []
        return caught


def run(folder: KernelFolder) -> int:
    """Runs a kernel until it ends; returns its exit status."""
    signals = Signals()
    launch = folder.read_launch()
    relay = Relay(folder)
    relay.watch(signals.descriptor)
    ready = os.environ.pop("NOTIFY_SOCKET", "")
    environment = os.environ | launch.env | {"JPY_PARENT_PID": str(os.getpid())}
    kernel = subprocess.Popen(  # noqa: S603
        launch.argv, cwd=launch.cwd, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )
    _notify(ready)
    while kernel.poll() is None:
        relay.pass_on()
        for signum in signals.take():
            if signum in FORWARDED:
                _signal(kernel, signum)
    while relay.pass_on(LAST_MESSAGES_MS):
        signals.take()
    relay.close()
    return kernel.returncode if kernel.returncode >= 0 else 128 - kernel.returncode


def _notify(address: str) -> None:
    """Tells systemd that signals and messages are taken from now on."""
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.sendto(b"READY=1", address.replace("@", "\0", 1) if address.startswith("@") else address)


def _signal(kernel: "subprocess.Popen[bytes]", signum: int) -> None:
    # To what the kernel has started, too.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(kernel.pid, signum)


def main() -> None:
    """Runs the kernel whose folder is named."""
    sys.exit(run(KernelFolder(Path(sys.argv[1]))))


if __name__ == "__main__":
    main()
