"""The Jupyter server extension."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyter_core.paths import jupyter_data_dir
from jupyter_server.extension.application import ExtensionApp
from traitlets import Int, TraitError, Unicode, default, validate

from cell_monitor.collector import Collector
from cell_monitor.handlers import EventsHandler, HealthHandler, VersionHandler


class CellMonitor(ExtensionApp):
    """The routes under ``/cell-monitor``, and the way of the students' events to the event server."""

    name = "cell_monitor"
    _collector: Collector | None = None

    event_server_url = Unicode(
        "",
        config=True,
        help="""The event server, such as http://127.0.0.1:8000 (events go to /api/v1/events there), or the full address
        that events are posted to. Empty: this server collects nothing, and browsers post straight to the address in
        their settings.""",
    )
    token_file = Unicode(
        "",
        config=True,
        help="A file with the token that the event server knows this server by. Empty: none is sent.",
    )
    ca_file = Unicode(
        "",
        config=True,
        help="A PEM file with the certificates to trust when the event server is asked by HTTPS. Empty: the system's.",
    )
    spool_dir = Unicode(
        config=True,
        help="A folder of this server alone where events wait for the event server.",
    )
    spool_max_bytes = Int(
        256 * 2**20,
        min=2**20,
        config=True,
        help="How many bytes of events may wait; when they do, browsers are asked to come back later.",
    )

    @default("spool_dir")
    def _default_spool_dir(self) -> str:
        return str(Path(jupyter_data_dir(), "cell-monitor", "spool"))

    @validate("event_server_url")
    def _check_url(self, proposal: Any) -> str:
        url = str(proposal["value"])
        if url:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise TraitError(f"CellMonitor.event_server_url is {url!r}: it must be empty or an http(s) address")
        return url

    def initialize_settings(self) -> None:
        """Starts collecting, and tells the front end about it."""
        self._collector = self._make_collector()
        self.settings["cell_monitor_collector"] = self._collector
        if self._collector is not None and self.serverapp is not None:
            self.serverapp.web_app.settings.setdefault("page_config_data", {})["cellMonitorCollector"] = "true"
            self.serverapp.io_loop.add_callback(self._collector.start)

    def initialize_handlers(self) -> None:
        """Adds the routes."""
        self.handlers.extend(
            [
                (r"/cell-monitor/?", VersionHandler),
                (r"/cell-monitor/events", EventsHandler),
                (r"/cell-monitor/health", HealthHandler),
            ]
        )

    async def stop_extension(self) -> None:
        """Lets go of the spool."""
        if self._collector is not None:
            await self._collector.stop()

    def _make_collector(self) -> Collector | None:
        if not self.event_server_url:
            return None
        return Collector(
            url=self.event_server_url,
            spool_dir=Path(self.spool_dir).expanduser(),
            spool_max_bytes=self.spool_max_bytes,
            token_file=Path(self.token_file).expanduser() if self.token_file else None,
            ca_file=Path(self.ca_file).expanduser() if self.ca_file else None,
            log=self.log,
        )
