import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cell_monitor
import pytest
from cell_monitor import handlers
from cell_monitor.app import SETTINGS, CellMonitor
from cell_monitor.release import RunningRelease, release_coverage
from conftest import SOURCES, EventServer, make_event, post, refused, until
from traitlets import TraitError

pytestmark = pytest.mark.usefixtures("stopped")


async def test_events_reach_the_event_server(jp_fetch: Any, event_server: EventServer) -> None:
    events = [make_event(), make_event(eventType="help")]
    response = await post(jp_fetch, events)
    assert response.code == 202
    assert json.loads(response.body) == {
        "message": "2 events accepted",
        "accepted": 2,
        "new": 2,
        "dismissed_help": [],
    }
    await until(lambda: len(event_server.stored) == 2)
    assert event_server.requests[0][1] == events


async def test_an_empty_array_is_fine(jp_fetch: Any) -> None:
    assert (await post(jp_fetch, [])).code == 202


async def test_nobody_posts_without_a_login(jp_fetch: Any, event_server: EventServer) -> None:
    code, _, _ = await refused(post(jp_fetch, [make_event()], headers={"Authorization": "token wrong"}))
    assert code == 403
    assert event_server.stored == []


class Browser:
    """Logs in as a person does, and sends what a page can send."""

    def __init__(self, client: Any, base: str) -> None:
        self._client = client
        self._base = base
        self.cookies: dict[str, str] = {}

    async def fetch(self, path: str, headers: dict[str, str], **options: Any) -> Any:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        response = await self._client.fetch(
            self._base + path,
            headers={"Cookie": cookie, **headers},
            follow_redirects=False,
            raise_error=False,
            **options,
        )
        for item in response.headers.get_list("Set-Cookie"):
            name, _, value = item.split(";")[0].partition("=")
            self.cookies[name] = value
        return response

    async def post(self, event: dict[str, Any], **headers: str) -> Any:
        return await self.fetch("cell-monitor/events", headers, method="POST", body=json.dumps([event]))


@pytest.fixture
def browser(jp_serverapp: Any, http_server_client: Any, jp_asyncio_loop: Any) -> Browser:
    browser = Browser(http_server_client, jp_serverapp.base_url)

    async def log_in() -> None:
        await browser.fetch("login", {})
        await browser.fetch(f"login?token={jp_serverapp.identity_provider.token}", {})

    jp_asyncio_loop.run_until_complete(log_in())
    return browser


async def test_a_browser_needs_the_xsrf_token(browser: Browser, event_server: EventServer) -> None:
    event = make_event()
    response = await browser.post(event)
    assert (response.code, "_xsrf" in response.body.decode()) == (403, True)
    response = await browser.post(event, **{"X-XSRFToken": "2|wrong"})
    assert response.code == 403
    assert event_server.stored == []
    response = await browser.post(event, **{"X-XSRFToken": browser.cookies["_xsrf"]})
    assert response.code == 202


async def test_a_foreign_page_is_refused(browser: Browser, event_server: EventServer) -> None:
    headers = {"X-XSRFToken": browser.cookies["_xsrf"], "Origin": "https://evil.example"}
    response = await browser.post(make_event(), **headers)
    assert response.code == 404
    assert event_server.stored == []


@pytest.mark.parametrize(
    ("body", "field", "problem"),
    [
        ("{", "the body", "is not JSON"),
        (b"\xff\xfe", "the body", "is not JSON"),
        ("[" * 100_000, "the body", "is not JSON"),
        ({}, "the body", "is not an array of events but an object"),
        ("null", "the body", "is not an array of events but null"),
        ("7", "the body", "is not an array of events but a number"),
        ([make_event() for _ in range(201)], "the body", "has 201 events: at most 200 are taken"),
        ([make_event(), "x"], "events[1]", "is not an object but a string"),
        ([{}], "events[0].eventId", "is missing"),
        ([make_event(eventId="1")], "events[0].eventId", "is not a UUID"),
        ([make_event(eventId=None)], "events[0].eventId", "is not a UUID"),
        ([make_event(eventType="")], "events[0].eventType", "is not a text with content"),
        ([make_event(eventTime=None)], "events[0].eventTime", "is missing"),
        ([make_event(emailAddress=[])], "events[0].emailAddress", "is not a text with content"),
    ],
)
async def test_names_what_is_wrong(
    jp_fetch: Any, event_server: EventServer, body: Any, field: str, problem: str
) -> None:
    code, answer, _ = await refused(post(jp_fetch, body))
    assert code == 422
    assert answer == {"message": f"{field} {problem}", "field": field}
    assert event_server.stored == []


async def test_a_body_over_the_limit(jp_fetch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "MAX_BODY_BYTES", 100)
    code, answer, _ = await refused(post(jp_fetch, [make_event()]))
    assert code == 413
    assert "at most 100" in answer["message"]


async def test_a_spool_that_cannot_take_events(jp_fetch: Any, jp_serverapp: Any, event_server: EventServer) -> None:
    event_server.stop()
    await post(jp_fetch, [make_event()])
    collector = jp_serverapp.web_app.settings["cell_monitor_collector"]
    collector._spool._max_bytes = 0
    code, answer, headers = await refused(post(jp_fetch, [make_event()]))
    assert code == 503
    assert headers["Retry-After"] == "5"
    assert "again" in answer["message"]
    code, answer, _ = await refused(jp_fetch("cell-monitor", "health"))
    assert code == 503
    assert answer["status"] == "unhealthy"
    assert (answer["spool"]["accepting"], answer["spool"]["depth"]) == (False, 1)
    collector._spool._max_bytes = 2**20
    response = await jp_fetch("cell-monitor", "health")
    assert json.loads(response.body)["spool"]["depth"] == 1


async def test_health_needs_no_login_and_tells_nothing_personal(jp_fetch: Any) -> None:
    await post(jp_fetch, [make_event()])
    response = await jp_fetch("cell-monitor", "health", headers={"Authorization": "token wrong"})
    assert response.code == 200
    report = json.loads(response.body)
    assert report["status"] in ("healthy", "degraded")
    assert report["version"] == cell_monitor.__version__
    assert report["release"] == "development"
    assert report["collecting"] is True
    assert report["spool"].keys() == {
        *("accepting", "error", "depth", "bytes", "max_bytes", "oldest_age_seconds", "rejected", "dropped")
    }
    assert report["spool"]["dropped"] == 0
    assert b"taro" not in response.body


async def test_name_and_version_need_a_login(jp_fetch: Any) -> None:
    response = await jp_fetch("cell-monitor")
    assert json.loads(response.body) == {"name": "cell-monitor", "version": "1.2.0"}
    code, _, _ = await refused(jp_fetch("cell-monitor", headers={"Authorization": "token wrong"}))
    assert code == 403


async def test_tells_the_page_that_it_collects(jp_serverapp: Any) -> None:
    assert told(jp_serverapp) == {"cellMonitorCollector": "true", "cellMonitorLocked": "[]"}


async def test_students_files_do_not_tell_the_page(jp_serverapp: Any) -> None:
    page_config = told(jp_serverapp, cellMonitorCollector="false", cellMonitorLocked='["userName"]', other="kept")
    assert page_config == {"cellMonitorCollector": "true", "cellMonitorLocked": "[]", "other": "kept"}


def told(server: Any, **page_config: str) -> dict[str, Any]:
    """The page's configuration after what is in files."""
    hook: Callable[[Any, dict[str, Any]], dict[str, Any]] = server.web_app.settings["page_config_hook"]
    return hook(None, page_config)


class TestWithoutEventServer:
    @pytest.fixture
    def jp_server_config(self) -> dict[str, Any]:
        return {
            "ServerApp": {"jpserver_extensions": {"cell_monitor": True}},
            "CellMonitor": {"locked_settings": ["serverUrl", "teamName"]},
        }

    async def test_locks_settings_all_the_same(self, jp_serverapp: Any) -> None:
        assert told(jp_serverapp) == {"cellMonitorLocked": '["serverUrl", "teamName"]'}

    async def test_asks_who_was_asked_before(self, jp_serverapp: Any) -> None:
        settings = jp_serverapp.web_app.settings
        settings["page_config_hook"] = lambda _, page_config: page_config | {"theirs": "kept"}
        jp_serverapp.extension_manager.extension_apps["cell_monitor"].copy().pop().initialize_settings()
        assert told(jp_serverapp)["theirs"] == "kept"

    async def test_has_no_notice_and_still_its_metrics(self, jp_fetch: Any) -> None:
        assert (await jp_fetch("cell-monitor", "notice")).code == 204
        metrics = (await jp_fetch("cell-monitor", "metrics", params={"format": "prometheus"})).body.decode()
        assert "cell_monitor_build_info" in metrics
        assert "cell_monitor_spool" not in metrics

    async def test_collects_nothing(self, jp_fetch: Any, jp_serverapp: Any) -> None:
        report = json.loads((await jp_fetch("cell-monitor", "health")).body)
        assert (report["status"], report["collecting"]) == ("healthy", False)
        assert "cellMonitorCollector" not in told(jp_serverapp, cellMonitorCollector="true")
        code, _, _ = await refused(post(jp_fetch, [make_event()]))
        assert code == 404


def test_defaults() -> None:
    extension = CellMonitor()
    assert extension.event_server_url == ""
    assert extension.spool_dir.endswith(str(Path("cell-monitor", "spool")))


@pytest.mark.parametrize("url", ["fastapi:8000", "ftp://h/", "http://", "/api/v1/events"])
def test_refuses_an_address_that_is_none(url: str) -> None:
    with pytest.raises(TraitError, match="event_server_url is"):
        CellMonitor(event_server_url=url)


def test_locks_only_settings_that_there_are() -> None:
    assert CellMonitor(locked_settings=list(SETTINGS)).locked_settings == list(SETTINGS)
    with pytest.raises(TraitError, match="names 'teamname': it may name any of serverUrl, teamName, "):
        CellMonitor(locked_settings=["serverUrl", "teamname"])


def test_knows_the_settings_of_the_schema() -> None:
    schema = json.loads((SOURCES / "schema" / "plugin.json").read_text(encoding="utf-8"))
    assert set(schema["properties"]) == set(SETTINGS)


def test_the_release_is_the_environments(tmp_path: Path) -> None:
    assert RunningRelease(tmp_path).told() == "development"
    (tmp_path / "release.json").write_text('{"release": "1.2.0-1a2b3c4d"}')
    assert RunningRelease(tmp_path).told() == "1.2.0-1a2b3c4d"
    assert release_coverage(tmp_path) is None
    (tmp_path / "release.json").write_text("[]")
    assert RunningRelease(tmp_path).told() == "development"


def test_a_front_end_that_is_switched_is_told_without_a_restart(tmp_path: Path) -> None:
    for name, server in (("a", "same"), ("b", "same"), ("c", "other")):
        folder = tmp_path / "releases" / name
        folder.mkdir(parents=True)
        (folder / "release.json").write_text(json.dumps({"release": name, "server": server}))
    running = RunningRelease(tmp_path / "releases" / "a")
    for current, told in (("a", "a"), ("b", "b"), ("c", "a")):
        (tmp_path / "current").unlink(missing_ok=True)
        (tmp_path / "current").symlink_to(f"releases/{current}")
        assert running.told() == told


@pytest.mark.parametrize(
    ("value", "coverage"),
    [("93.4", 93.4), ("100", 100.0), ("true", None), ("null", None), ('"93"', None), ("-1", None), ("101", None)],
)
def test_the_test_coverage_is_the_releases(tmp_path: Path, value: str, coverage: float | None) -> None:
    (tmp_path / "release.json").write_text(f'{{"release": "1.2.0-1a2b3c4d", "testCoverage": {value}}}')
    assert release_coverage(tmp_path) == coverage


def test_one_version_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cell_monitor.__version__ == json.loads((SOURCES / "package.json").read_text())["version"]
    assert cell_monitor._jupyter_labextension_paths() == [{"src": "labextension", "dest": "cell-monitor"}]
    monkeypatch.setattr(cell_monitor.importlib.metadata, "version", lambda name: f"installed {name}")
    monkeypatch.setattr(cell_monitor, "__file__", str(Path(sys.prefix, "lib", "cell_monitor", "__init__.py")))
    assert cell_monitor._version() == "installed cell_monitor"
