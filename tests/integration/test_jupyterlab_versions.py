"""The oldest and the newest JupyterLab that the wheel claims take it, and do with it what they should."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from conftest import EXTENSION, Environment, EventServer, run
from playwright.sync_api import Browser, Page, expect

PLUGIN = "cell-monitor:plugin"
OURS = re.compile("cell.monitor|unknown format|^uncaught", re.IGNORECASE)
STOCK = {"emailAddress": "student001@example.com", "userName": "テスト学生001"}
SITE = {"teamName": "チームC"}


def oldest_server() -> str:
    """The oldest Jupyter server that the wheel claims."""
    project = tomllib.loads((EXTENSION / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    match = re.fullmatch(r"(jupyter_server)>=([\d.]+),<3", project["dependencies"][0])
    assert match is not None
    return f"{match[1]}=={match[2]}"


@pytest.fixture(scope="module", params=["oldest", "newest"])
def environment(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """JupyterLab with the extension and Japanese."""
    home = tmp_path_factory.mktemp(request.param)
    path = home / "venv"
    versions = ["jupyterlab==4.0.0", oldest_server()] if request.param == "oldest" else ["jupyterlab>=4,<5"]
    run("uv", "venv", "--quiet", "--python", "3.11", path)
    packages = [*versions, "ipykernel", "jupyterlab-language-pack-ja-JP", str(wheel)]
    run("uv", "pip", "install", "--quiet", "--python", path / "bin" / "python", *packages)
    return Environment(path, home)


def test_it_is_listed_as_enabled_and_ok(environment: Environment) -> None:
    labextensions = environment.jupyter("labextension", "list")
    assert re.search(r"cell-monitor v[\d.]+ .*enabled.*OK", labextensions), labextensions
    servers = environment.jupyter("server", "extension", "list")
    assert re.search(r"cell_monitor .*enabled", servers), servers
    assert re.search(r"cell_monitor [\d.]+ .*OK", servers), servers


def test_its_shared_packages_are_those_of_this_jupyterlab(environment: Environment) -> None:
    root = environment.path / "share/jupyter"
    wanted = json.loads((root / "labextensions/cell-monitor/package.json").read_text(encoding="utf-8"))
    core = json.loads((root / "lab/static/package.json").read_text(encoding="utf-8"))
    given = core["resolutions"] | core["dependencies"]
    for name, shared in wanted["jupyterlab"]["sharedPackages"].items():
        assert not shared["bundled"]
        oldest = tuple(int(part) for part in shared["requiredVersion"].removeprefix("^").split("."))
        version = tuple(int(part) for part in re.findall(r"\d+", given[name])[:3])
        assert version[0] == oldest[0], (name, version, oldest)
        assert version >= oldest, (name, version, oldest)


def open_lab(page: Page, url: str) -> list[str]:
    """Open JupyterLab; what its console says, also later."""
    messages: list[str] = []
    page.on("console", lambda message: messages.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: messages.append(f"uncaught: {error}"))
    page.goto(f"{url}/lab?reset")
    wait_for_lab(page)
    return messages


def wait_for_lab(page: Page) -> None:
    """Wait until JupyterLab has put back what was open."""
    page.wait_for_function("window.jupyterapp")
    page.evaluate("window.jupyterapp.restored.then(() => undefined)")


def execute(page: Page, command: str, arguments: dict[str, Any] | None = None) -> None:
    """Run a command of JupyterLab, without waiting for its end."""
    page.evaluate("([id, args]) => void window.jupyterapp.commands.execute(id, args)", [command, arguments or {}])


def open_notebook(page: Page) -> None:
    """Open a new notebook with a kernel that answers: JupyterLab drops what is run before."""
    with page.expect_websocket(lambda socket: "/channels" in socket.url, timeout=60_000) as kernel:
        execute(page, "notebook:create-new", {"kernelName": "python3"})
    kernel.value.wait_for_event("framereceived")
    panel = page.locator(".jp-NotebookPanel:visible")
    expect(panel.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute("data-status", "idle", timeout=60_000)


def run_code(page: Page, code: str) -> None:
    """Type into the notebook's first cell, and run it."""
    panel = page.locator(".jp-NotebookPanel:visible")
    panel.locator(".jp-CodeCell .cm-content").first.click()
    page.keyboard.type(code)
    execute(page, "notebook:run-cell")
    expect(panel.locator(".jp-OutputArea-output")).to_be_visible(timeout=60_000)


def field(page: Page, key: str) -> Any:
    """A setting's field in the settings editor."""
    return page.locator(f'[id$="_{key}"]:is(input, textarea, select)')


def test_a_student_with_another_ones_settings(
    environment: Environment, browser: Browser, event_server: EventServer
) -> None:
    environment.site_settings({PLUGIN: SITE, "@jupyterlab/translation-extension:plugin": {"locale": "ja_JP"}})
    environment.student_settings({**STOCK, "teamName": "チームZ", "retryAttempts": 1})
    traits = {"event_server_url": event_server.url, "locked_settings": list(SITE)}
    with environment.lab(**traits) as url, browser.new_page(base_url=url, locale="ja-JP") as page:
        messages = open_lab(page, url)
        open_notebook(page)

        # Who a stock client said everybody is counts for nobody: the student is asked.
        dialog = page.locator(".jp-Dialog")
        dialog.get_by_label("氏名").fill("山田 太郎")
        dialog.get_by_label("メールアドレス").fill("taro")
        expect(dialog.get_by_text("のようなメールアドレス")).to_be_visible()
        dialog.get_by_label("メールアドレス").fill("taro@example.com")
        dialog.get_by_role("button", name="保存").click()
        expect(dialog).to_have_count(0)

        run_code(page, "6*7")
        executed = event_server.wait_for("cell_executed")
        assert executed["code"] == "6*7"
        assert "42" in executed["result"]
        assert {(e["emailAddress"], e["userName"], e["teamName"]) for e in event_server.events} == {
            ("taro@example.com", "山田 太郎", "チームC")
        }
        expect(page.locator('[data-testid="cell-monitor-help"]:visible')).to_have_text("質問する")

        # The locked keys went when the answer was saved, and nothing else did.
        assert json.loads(environment.student_file.read_text(encoding="utf-8")) == {
            "retryAttempts": 1,
            "emailAddress": "taro@example.com",
            "userName": "山田 太郎",
        }

        execute(page, "settingeditor:open", {"query": "Cell Monitor"})
        check_form(page)
        page.screenshot(path=environment.home / "settings.png")
        execute(page, "settingeditor:open-json")
        try_json_editor(page)
        page.screenshot(path=environment.home / "json.png")
        # Newer versions of JupyterLab save the text as it is; it counts for nothing all the same.
        page.goto(f"{url}/lab?reset")
        wait_for_lab(page)
        execute(page, "settingeditor:open", {"query": "Cell Monitor"})
        expect(field(page, "retryAttempts")).to_have_value("7")
        expect(field(page, "teamName")).to_have_value("チームC")
        assert [message for message in messages if OURS.search(message)] == []


def check_form(page: Page) -> None:
    """The settings editor is in Japanese, keeps what is locked, and checks the rest."""
    editor = page.locator(".jp-SettingsPanel")
    expect(field(page, "userName")).to_have_value("山田 太郎")
    expect(field(page, "teamName")).to_have_value("チームC")
    expect(field(page, "teamName")).not_to_be_editable()
    expect(editor).to_contain_text("チーム名")
    expect(editor).to_contain_text("講師が知っている氏名。")
    expect(editor.get_by_text("管理者が設定しているため、変更できません。")).to_have_count(1)
    # One holder for each field, filled when there is something to say.
    errors = editor.locator(".validationErrors:not(:empty)")
    for key, wrong, right in [("serverUrl", "monitor.school.jp", "https://a.jp/"), ("retryAttempts", "11", "2")]:
        field(page, key).fill(wrong)
        expect(errors).not_to_have_count(0)
        # The form saves what is right after a while.
        with page.expect_response(lambda answer: answer.request.method == "PUT" and PLUGIN in answer.url):
            field(page, key).fill(right)
        expect(errors).to_have_count(0)


def try_json_editor(page: Page) -> None:
    """Save what is locked, with something that is not, as JSON."""
    page.locator(".jp-PluginList-entry:visible", has_text="Cell Monitor").click(timeout=5000)
    user = page.locator(".jp-SettingsRawEditor .cm-content").last
    user.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text('{"teamName": "チームZ", "retryAttempts": 7}')
    with page.expect_response(lambda answer: answer.request.method == "PUT" and PLUGIN in answer.url) as saved:
        page.locator('[data-command="settingeditor:save"], .jp-SettingsRawEditor [title*="保存"]').first.click()
    assert saved.value.ok
    expect(user).to_contain_text("retryAttempts")
    expect(user).not_to_contain_text("teamName")


@pytest.mark.parametrize("platform", ["windows", "aarch64-apple-darwin"])
def test_pip_needs_no_compiler_for_it(wheel: Path, platform: str) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    resolve = ["uv", "pip", "compile", "--quiet", "--only-binary=:all:", "--python-version=3.12", "-"]
    done = subprocess.run(
        [*resolve, f"--python-platform={platform}"],
        input=f"cell_monitor @ {wheel.as_uri()}",
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert ("pywinpty==" in done.stdout) == (platform == "windows")
