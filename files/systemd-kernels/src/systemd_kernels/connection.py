"""A browser's connection to a kernel, which gets what was said while it was away."""

import asyncio
from typing import Any

import zmq
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.ioloop import IOLoop
from zmq.eventloop.zmqstream import ZMQStream

from systemd_kernels.backlog import number_of
from systemd_kernels.provisioner import SystemdProvisioner

# How long a relay may take to say what was missed, in seconds.
PATIENCE = 5
# Codes by which a browser closes a connection for good: the page was left.
LEFT = (1000, 1001)

Held = tuple[str, list[bytes]]


class SystemdKernelConnection(ZMQChannelsWebsocketConnection):
    """Asks the kernel's relay for what the browser has missed, and confirms what it gets."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._log: ZMQStream | None = None
        self._held: list[Held] | None = None
        self._seen: dict[str, int] = {}

    def connect(self) -> "asyncio.Future[None] | None":  # type: ignore[override]
        """Opens the channels; messages wait until those that were missed have been passed on."""
        if isinstance(self.kernel_manager.provisioner, SystemdProvisioner):
            self._held = []
            self._open_log()
        connected = super().connect()
        if connected is not None and self._held is not None:
            connected.add_done_callback(lambda _: self._attach())
        return connected

    def disconnect(self) -> None:  # type: ignore[override]
        """Closes the channels."""
        if self._log is not None and not self._log.closed():
            if self.websocket_handler.close_code in LEFT:
                self._tell(b"detach")
            self._log.close()
        self._log = None
        super().disconnect()  # type: ignore[no-untyped-call]

    def handle_outgoing_message(self, stream: Any, outgoing_msg: list[Any]) -> None:
        """Passes a message of the kernel on to the browser."""
        channel = stream if isinstance(stream, str) else stream.channel
        if self._held is None:
            self._pass_on(channel, outgoing_msg)
        else:
            self._held.append((channel, outgoing_msg))

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
        self._tell(b"attach")
        IOLoop.current().call_later(PATIENCE, self._release)

    def _confirm(self, channel: str, number: int) -> None:
        self._tell(b"confirm", channel.encode(), number.to_bytes(8))

    def _on_log(self, frames: list[bytes]) -> None:
        verb, *rest = frames
        if verb == b"missed":
            self._pass_on(rest[0].decode(), rest[1:])
        elif verb == b"attached":
            if dropped := int(rest[0]):
                self.log.warning("Kernel %s said more than is kept: %d messages are lost", self.kernel_id, dropped)
            self._release()

    def _release(self) -> None:
        held, self._held = self._held or [], None
        for channel, frames in held:
            self._pass_on(channel, frames)

    def _pass_on(self, channel: str, frames: list[bytes]) -> None:
        number = number_of(frames)
        if channel not in self.channels or (number is not None and number <= self._seen.get(channel, 0)):
            return
        super().handle_outgoing_message(channel, frames)
        if number is not None and self.websocket_handler.ws_connection is not None:
            self._seen[channel] = number
            self._confirm(channel, number)

    def _tell(self, verb: bytes, *arguments: bytes) -> None:
        if self._log is not None:
            self._log.send_multipart([verb, self.session.bsession, *arguments])
