"""The alerts' rules, judged by promtool as Prometheus judges them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

PROJECT = Path(__file__).parents[2]
ROLE = PROJECT / "roles" / "monitoring"
CASES = Path(__file__).parent / "alerts.test.yml"
DEFAULTS = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))


def render(folder: Path, **variables: Any) -> None:
    """Write the rules as the role does, and the cases beside them."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROLE / "templates"),
        variable_start_string="<<",
        variable_end_string=">>",
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701
    )
    values = DEFAULTS | {"ansible_managed": "test", "monitoring_runbook_url": "https://class1/status/runbooks"}
    for name in ("recording.yml", "alerts.yml"):
        text = environment.get_template(f"rules/{name}.j2").render(values | variables)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "cases.yml").write_text(CASES.read_text(encoding="utf-8"), encoding="utf-8")


def promtool(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], cwd=folder, check=False, capture_output=True, text=True)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A folder with the rules as they are by default."""
    render(tmp_path)
    return tmp_path


@pytest.fixture
def alerts(rules: Path) -> list[dict[str, Any]]:
    """The alerts."""
    groups = yaml.safe_load((rules / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.parametrize("factor", [1, 0.05])
def test_promtool_accepts_the_rules(tmp_path: Path, factor: float) -> None:
    render(tmp_path, monitoring_time_factor=factor)
    done = promtool(tmp_path, "check", "rules", "--lint=all", "--lint-fatal", "recording.yml", "alerts.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_when_it_must_and_not_otherwise(rules: Path) -> None:
    done = promtool(rules, "test", "rules", "cases.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_alert_is_left_out(alerts: list[dict[str, Any]]) -> None:
    """Of each, a case in which it fires, one in which it does not yet, and a host for which it never does."""
    cases = {case["name"]: case for case in yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]}
    assert list(cases) == [alert["alert"] for alert in alerts]
    for name, case in cases.items():
        wanted = [bool(test["exp_samples"]) for test in case["promql_expr_test"]]
        assert wanted == ([True] if name == "Watchdog" else [False, True]), name
        hosts = re.findall(r'instance="([^"]+)"', str(case["input_series"]))
        assert name in ("Watchdog", "ReleaseMismatch") or {"bad", "good"} <= set(hosts), name


def test_what_an_alert_says_can_be_said(rules: Path) -> None:
    """Where promtool expects no alert, it shows the texts of those that it gets."""
    cases = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    for case in cases["tests"]:
        firing = case.pop("promql_expr_test")[-1]
        case["alert_rule_test"] = [{"eval_time": firing["eval_time"], "alertname": case["name"], "exp_alerts": []}]
    (rules / "cases.yml").write_text(yaml.safe_dump(cases), encoding="utf-8")
    told = promtool(rules, "test", "rules", "cases.yml")
    shown = told.stdout + told.stderr
    assert shown.count("summary_ja") >= len(cases["tests"])
    assert "error expanding" not in shown
    assert "<no value>" not in shown
    assert "%!" not in shown


def test_each_alert_says_who_has_to_do_what(alerts: list[dict[str, Any]]) -> None:
    for alert in alerts:
        assert "for" in alert, alert["alert"]
        assert alert["labels"]["severity"] in {"critical", "warning", "none"}
        assert set(alert["annotations"]) == {"summary", "description", "summary_ja", "description_ja", "runbook_url"}
        assert re.search("[ぁ-ん]", alert["annotations"]["summary_ja"])
        assert alert["annotations"]["runbook_url"] == f"https://class1/status/runbooks/{alert['alert']}.md"


def test_each_alert_has_a_page_and_each_page_an_alert(alerts: list[dict[str, Any]]) -> None:
    pages = {page.stem: page.read_text(encoding="utf-8") for page in (PROJECT / "docs" / "runbooks").glob("*.md")}
    assert set(pages) == {alert["alert"] for alert in alerts}
    handbook = (PROJECT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    for alert in alerts:
        page = pages[alert["alert"]]
        assert alert["annotations"]["description"] in page
        assert alert["annotations"]["description_ja"] in page
        assert f"| [{alert['alert']}](runbooks/{alert['alert']}.md) | {alert['labels']['severity']} |" in handbook


def test_panels_have_both_languages_and_queries_that_promtool_can_read(tmp_path: Path) -> None:
    sections = yaml.safe_load((ROLE / "files" / "panels.yml").read_text(encoding="utf-8"))
    panels = [panel for section in sections for panel in section["panels"]]
    assert len(sections[0]["panels"]) == 9
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert set(panel["title"]) == {"en", "ja"}
        assert panel["unit"] in {"seconds", "bytes", "ratio", "rate", "count"}
        assert f"monitoring_{panel.get('threshold', 'memory_bytes')}" in DEFAULTS
    rules = [
        {"record": f"panel:{panel['id']}", "expr": query["expr"]} for panel in panels for query in panel["queries"]
    ]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = promtool(tmp_path, "check", "rules", "panels.yml")
    assert done.returncode == 0, done.stdout + done.stderr
