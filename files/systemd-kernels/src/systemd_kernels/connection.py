"""A browser's connection to a kernel, which gets what was said while it was away."""

import asyncio
from typing import Any, cast

import zmq
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketClosedError
from zmq.eventloop.zmqstream import ZMQStream

from systemd_kernels.backlog import number_of
from systemd_kernels.provisioner import SystemdProvisioner

# How long a relay may take to say what was missed before it is asked again, in seconds.
PATIENCE = 5
# When it is asked once more, in seconds: the subscription of a new connection takes effect after the first time.
SECOND_LOOK = 2
# How long browsers may take to answer when the server ends, in seconds.
LAST_ANSWERS = 0.5
# Codes by which a browser closes a connection for good: the page was left.
LEFT = (1000, 1001)
# What is sent along with a ping, to know its answer from those of the server's own pings.
PING = b"got it?"

Held = tuple[str, list[bytes]]


class SystemdKernelConnection(ZMQChannelsWebsocketConnection):
    """Asks the kernel's relay for what the browser has missed, and confirms what the browser has got.

    A browser answers a ping after it has got all that was sent before: what was written to a connection that turns out
    to be dead is not confirmed, and comes again on the next one.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._log: ZMQStream | None = None
        self._held: list[Held] | None = None
        self._lost = 0
        # The last number of each channel: passed on, to be confirmed when the ping is answered, and confirmed.
        self._passed_on: dict[str, int] = {}
        self._pinged: dict[str, int] | None = None
        self._confirmed: dict[str, int] = {}

    @classmethod
    async def close_all(cls) -> None:
        """Closes all connections, after what was passed on has been confirmed: it would come twice otherwise."""
        loop = IOLoop.current()
        waiting = [c for c in cls._open_sockets if isinstance(c, SystemdKernelConnection)]
        for connection in waiting:
            connection._held = []
        end = loop.time() + LAST_ANSWERS
        while any(connection._pinged is not None for connection in waiting) and loop.time() < end:
            await asyncio.sleep(0.01)
        await super().close_all()  # type: ignore[no-untyped-call]

    def connect(self) -> "asyncio.Future[None] | None":  # type: ignore[override]
        """Opens the channels; messages wait until those that were missed have been passed on."""
        if isinstance(self.kernel_manager.provisioner, SystemdProvisioner):
            self._held = []
            self._open_log()
            self._hear_answers()
        connected = super().connect()
        if connected is not None and self._held is not None:
            connected.add_done_callback(lambda _: self._attach())
            connected.add_done_callback(lambda _: IOLoop.current().call_later(SECOND_LOOK, self._ask_again))
        return connected

    def disconnect(self) -> None:  # type: ignore[override]
        """Closes the channels."""
        if self._log is not None and not self._log.closed():
            # Another connection may go on in its place.
            ours = self._open_sessions.get(self.session_key) is self.websocket_handler
            if ours and self.websocket_handler.close_code in LEFT:
                self._tell(b"detach")
            self._log.close()
        self._log = self._pinged = None
        super().disconnect()  # type: ignore[no-untyped-call]

    def handle_outgoing_message(self, stream: Any, outgoing_msg: list[Any]) -> None:
        """Passes a message of the kernel on to the browser."""
        channel = stream if isinstance(stream, str) else stream.channel
        if self._held is None and self._log is not None and self._follows_a_gap(channel, outgoing_msg):
            self._ask_again()
        if self._held is None:
            self._pass_on(channel, outgoing_msg)
        else:
            self._held.append((channel, outgoing_msg))

    def _follows_a_gap(self, channel: str, frames: list[bytes]) -> bool:
        # Either a server that was busy did not take them in time, or another kernel process speaks now.
        number = number_of(frames) if channel == "iopub" else None
        return number is not None and number > self._passed_on.get("iopub", number) + 1

    def _open_log(self) -> None:
        # The manager's context makes asynchronous sockets, a stream wants another.
        socket = zmq.Socket(self.kernel_manager.context, zmq.DEALER)
        socket.linger = 1000
        socket.rcvhwm = 0
        socket.connect(f"ipc://{self.kernel_manager.ip}-log")
        self._log = ZMQStream(socket, self.kernel_manager.loop)
        self._log.on_recv(self._on_log)
        # Makes the session known: it takes a while until the channels are open.
        self._confirm("iopub", 0)

    def _attach(self) -> None:
        if self._held is not None and self._log is not None:
            self._tell(b"attach")
            # A relay that ends with its kernel takes the question with it.
            IOLoop.current().call_later(PATIENCE, self._attach)

    def _ask_again(self) -> None:
        if self._held is None and self._log is not None:
            self._held = []
            self._attach()

    def _on_log(self, frames: list[bytes]) -> None:
        verb, *rest = frames
        if verb == b"missed":
            self._replay(rest[0].decode(), rest[1:])
        elif verb == b"dropped":
            self._lost = int(rest[0])
        elif verb == b"attached":
            last = int.from_bytes(rest[0])
            self._passed_on["iopub"] = max(last, self._passed_on.get("iopub", 0))
            held, self._held = self._held or [], None
            for channel, message in held:
                self.handle_outgoing_message(channel, message)

    def _replay(self, channel: str, frames: list[bytes]) -> None:
        if self._lost:
            _, parts = self.session.feed_identities(frames)
            text = f"{self._lost} messages of the kernel are missing here: it said more than is kept for a browser."
            self.write_stderr(text, self.session.unpack(parts[2]))  # type: ignore[no-untyped-call]
            self._lost = 0
        # It comes all at once, and is no flood for that.
        limited, self.limit_rate = self.limit_rate, False
        self._pass_on(channel, frames)
        self.limit_rate = limited

    def _pass_on(self, channel: str, frames: list[bytes]) -> None:
        number = number_of(frames)
        if channel not in self.channels or (number is not None and number <= self._passed_on.get(channel, 0)):
            return
        super().handle_outgoing_message(channel, frames)
        if number is not None:
            self._passed_on[channel] = number
            self._ping()

    def _ping(self) -> None:
        if self._pinged is None and self._log is not None and self._passed_on != self._confirmed:
            try:
                self.websocket_handler.ping(PING)
            except WebSocketClosedError:
                return
            self._pinged = dict(self._passed_on)

    def _hear_answers(self) -> None:
        handler = cast("Any", self.websocket_handler)
        hear = handler.on_pong

        def on_pong(data: bytes) -> None:
            hear(data)
            if data == PING:
                self._on_answer()

        handler.on_pong = on_pong

    def _on_answer(self) -> None:
        pinged, self._pinged = self._pinged or {}, None
        for channel, number in pinged.items():
            if number != self._confirmed.get(channel):
                self._confirm(channel, number)
        self._confirmed.update(pinged)
        self._ping()

    def _confirm(self, channel: str, number: int) -> None:
        self._tell(b"confirm", channel.encode(), number.to_bytes(8))

    def _tell(self, verb: bytes, *arguments: bytes) -> None:
        if self._log is not None:
            self._log.send_multipart([verb, self.session.bsession, *arguments])
