"""The Jupyter server extension."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyter_core.paths import jupyter_data_dir
from jupyter_server.extension.application import ExtensionApp
from traitlets import Int, List, TraitError, Unicode, default, validate

from cell_monitor.collector import Collector
from cell_monitor.handlers import EventsHandler, HealthHandler, MetricsHandler, NoticeHandler, VersionHandler
from cell_monitor.metrics import Metrics
from cell_monitor.notice import NoticeFile
from cell_monitor.release import release_coverage
from cell_monitor.spool import DEFAULT_MAX_AGE_SECONDS

# As in schema/plugin.json, which is installed elsewhere.
SETTINGS = (
    "serverUrl",
    "teamName",
    "emailAddress",
    "userName",
    "retryAttempts",
    "showNotifications",
    "animationEnabled",
    "includeCode",
    "includeOutputs",
)

_TOLD = ("cellMonitorCollector", "cellMonitorLocked")


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
    spool_max_age_seconds = Int(
        DEFAULT_MAX_AGE_SECONDS,
        min=1,
        config=True,
        help="""How many seconds an event may wait while the event server does not take it; then it is dropped and
        counted. Events that the event server has refused for good are kept as long, to be looked at.""",
    )
    notice_file = Unicode(
        "",
        config=True,
        help="""A JSON file with a notice that appears in JupyterLab: {"message": "...", "until":
        "2026-11-24T10:30:00+09:00", "severity": "info"}, the latter two of which may be left out ("warning" is the
        other severity). It is looked at while the server runs; without it, or while it is empty, there is none.""",
    )
    locked_settings = List(
        Unicode(),
        config=True,
        help=f"Settings of the front end that users cannot change: any of {', '.join(SETTINGS)}.",
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

    @validate("locked_settings")
    def _check_settings(self, proposal: Any) -> list[str]:
        names: list[str] = proposal["value"]
        for name in names:
            if name not in SETTINGS:
                raise TraitError(
                    f"CellMonitor.locked_settings names {name!r}: it may name any of {', '.join(SETTINGS)}"
                )
        return names

    def initialize_settings(self) -> None:
        """Starts collecting, and tells the front end about it and about the settings that are locked."""
        metrics = Metrics(release_coverage())
        self._collector = self._make_collector(metrics)
        self.settings["cell_monitor_metrics"] = metrics
        self.settings["cell_monitor_collector"] = self._collector
        self.settings["cell_monitor_notices"] = NoticeFile(_path(self.notice_file), self.log)
        if self.serverapp is None:
            return
        told = {"cellMonitorLocked": json.dumps(self.locked_settings)}
        if self._collector is not None:
            told["cellMonitorCollector"] = "true"
            self.serverapp.io_loop.add_callback(self._collector.start)
        _tell_front_end(self.serverapp.web_app.settings, told)

    def initialize_handlers(self) -> None:
        """Adds the routes."""
        self.handlers.extend(
            [
                (r"/cell-monitor/?", VersionHandler),
                (r"/cell-monitor/events", EventsHandler),
                (r"/cell-monitor/health", HealthHandler),
                (r"/cell-monitor/metrics", MetricsHandler),
                (r"/cell-monitor/notice", NoticeHandler),
            ]
        )

    async def stop_extension(self) -> None:
        """Lets go of the spool."""
        if self._collector is not None:
            await self._collector.stop()

    def _make_collector(self, metrics: Metrics) -> Collector | None:
        if not self.event_server_url:
            return None
        return Collector(
            url=self.event_server_url,
            spool_dir=Path(self.spool_dir).expanduser(),
            spool_max_bytes=self.spool_max_bytes,
            token_file=_path(self.token_file),
            ca_file=_path(self.ca_file),
            log=self.log,
            spool_max_age_seconds=self.spool_max_age_seconds,
            metrics=metrics,
        )


def _tell_front_end(settings: dict[str, Any], told: dict[str, str]) -> None:
    """Puts values into the page's configuration, where no page_config.json in a student's folder changes them."""
    earlier = settings.get("page_config_hook")

    def hook(handler: Any, page_config: dict[str, Any]) -> dict[str, Any]:
        if earlier is not None:
            page_config = earlier(handler, page_config)
        return {key: value for key, value in page_config.items() if key not in _TOLD} | told

    # JupyterLab asks it after the files.
    settings["page_config_hook"] = hook


def _path(configured: str) -> Path | None:
    return Path(configured).expanduser() if configured else None
