"""The status page in a real browser, through nginx and TLS, with what Prometheus has seen of the hosts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from conftest import CREDENTIALS, Server, eventually, exposure
from lab import browse
from playwright.sync_api import Page, expect
from testinfra.host import Host

# The host of the inventory's group `monitoring`.
testinfra_hosts = ["ssh://debian12"]

PASSWORD = CREDENTIALS / "administrator_password"
EXPOSURE = 1.5


@pytest.fixture(scope="module")
def page(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page, as a browser shows it that has logged in."""
    with browse(
        server,
        tmp_path_factory.mktemp("administrator"),
        locale="ja-JP",
        timezone_id="Asia/Tokyo",
        viewport={"width": 1440, "height": 1000},
        http_credentials={"username": "administrator", "password": PASSWORD.read_text().strip()},
    ) as page:
        page.goto("/status/")
        # Of a host that is minutes old, a day has one moment.
        page.click("text=3 h")
        yield page


def test_the_page_and_prometheus_are_for_the_administrator_alone(server: Server) -> None:
    for path in ("/status/", "/status/panels.json", "/status/runbooks/DiskFull.md", "/prometheus/api/v1/alerts"):
        with server.client() as client:
            assert client.get(path).status_code == 401
        with server.client(auth=server.instructor) as client:
            assert client.get(path).status_code == 401
        with server.client(auth=("administrator", PASSWORD.read_text().strip())) as client:
            assert client.get(path).status_code == 200


def test_figures_of_other_hosts_need_a_password(server: Server) -> None:
    secret = (CREDENTIALS / "monitoring_password").read_text().strip()
    for name in ("node", "nginx", "event-server", "jupyterlab", "cell-monitor"):
        with server.client() as client:
            assert client.get(f"/monitoring/{name}").status_code == 401
        with server.client(auth=("prometheus", secret), headers={"Accept": "text/plain"}) as client:
            assert "# HELP" in client.get(f"/monitoring/{name}").text
    with server.client() as client:
        assert client.get("/metrics").status_code == 404


def test_every_host_is_seen(server: Server) -> None:
    def query() -> dict[tuple[str, str], str]:
        with server.client(auth=("administrator", PASSWORD.read_text().strip())) as client:
            seen = client.get("/prometheus/api/v1/query", params={"query": "up"}).json()["data"]["result"]
        return {(series["metric"]["instance"], series["metric"]["job"]): series["value"][1] for series in seen}

    # The other host may be starting again, for a check of its own.
    up = eventually(query, lambda up: set(up.values()) == {"1"}, seconds=90)
    assert {instance for instance, _ in up} == {"debian12", "debian13"}


def test_the_indicators_have_values(page: Page) -> None:
    # Other tests of this machine may have it fire.
    expect(page.locator("#state")).to_have_class(re.compile("^(good|warning|critical)$"), timeout=60_000)
    expect(page.locator(".grid.small article")).to_have_count(9)
    for indicator in ("averageResponseTime", "memoryUsage", "errorRate", "activeUsers", "testCoverage"):
        value = page.locator(f'[data-panel="{indicator}"] .value')
        expect(value).not_to_have_class("value unknown", timeout=60_000)
    expect(page.locator('[data-panel="memoryUsage"] .value')).to_contain_text("MB")
    # From one moment to the next; a line that is level has no height, and counts as hidden.
    line = page.locator('[data-panel="disk"] path.line').first
    expect(line).to_have_attribute("d", re.compile("L"), timeout=90_000)


def test_the_pointer_shows_a_moment(page: Page) -> None:
    chart = page.locator('[data-panel="memory"] .chart')

    def point() -> str:
        chart.scroll_into_view_if_needed()
        box = chart.locator("svg").bounding_box()
        assert box
        page.mouse.move(box["x"] + 40, box["y"] + 40)
        page.mouse.move(box["x"] + box["width"] - 10, box["y"] + 40)
        return chart.locator(".hint").text_content() or ""

    # There is none of a moment when the host was starting.
    assert "%" in eventually(point, lambda hint: "debian12" in hint, seconds=90)


def test_grafana_is_given_the_same_panels(server: Server, host: Host) -> None:
    with server.client(auth=("administrator", PASSWORD.read_text().strip())) as client:
        sections = client.get("/status/panels.json").json()
    given = json.loads(host.file("/usr/local/share/cell-monitor/grafana/cell-monitor.json").content_string)
    assert [
        (panel["title"]["ja"], [(query["expr"], query["legend"]) for query in panel["queries"]])
        for section in sections
        for panel in section["panels"]
    ] == [
        (panel["title"], [(target["expr"], target["legendFormat"]) for target in panel["targets"]])
        for panel in given["panels"]
        if panel["type"] != "row"
    ]


def test_the_other_language_stays(page: Page) -> None:
    page.click("text=English")
    expect(page.locator("h1")).to_have_text("Class server")
    page.reload()
    expect(page.locator("h1")).to_have_text("Class server")
    page.click("text=日本語")


@pytest.mark.parametrize("unit", ["prometheus", "prometheus-alertmanager", "prometheus-node-exporter"])
def test_the_unit_is_confined(host: Host, unit: str) -> None:
    assert exposure(host, f"{unit}.service") <= EXPOSURE


def test_nobody_on_the_host_silences_an_alert_without_the_password(host: Host) -> None:
    ask = (
        "import urllib.error, urllib.request\n"
        "try:\n"
        "    print(urllib.request.urlopen('http://127.0.0.1:9093/api/v2/silences').status)\n"
        "except urllib.error.HTTPError as error:\n"
        "    print(error.code)\n"
    )
    assert host.check_output("runuser -u jupyter -- python3 -c %s", ask) == "401"
    host.check_output(
        "amtool --http.config.file /etc/amtool/http.yml silence add alertname=Nothing"
        " --duration 1m --author a --comment test"
    )
