"""Kernels that outlive the server, as a notebook sees it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any

import pytest
from conftest import Server, new_id

COUNT = """
import itertools, pathlib, time
for i in itertools.count():
    print(i, flush=True)
    time.sleep(0.1)
    if pathlib.Path("stop").exists():
        break
"""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
async def test_a_running_cell_finishes_and_nothing_it_says_is_lost(server: Server, browse: Any, signum: int) -> None:
    kernel = server.open_notebook()
    browser = await browse(server, kernel)
    await browser.run("kept = 'kept'")
    unit = server.unit(kernel)
    request = await browser.execute(COUNT)
    await browser.receive(lambda m: "7" in str(m["content"].get("text")))
    # A server that is killed in the moment between passing on and confirming lets its successor pass it on again.
    await asyncio.sleep(0.05)

    server.restart(signum)
    assert server.kernels()[kernel]["execution_state"] == "busy"
    await browser.connect()
    (server.home / "notebooks" / "stop").touch()
    reply = await browser.finished(request)

    assert reply["content"]["status"] == "ok"
    said = browser.text(request).split()
    assert said == [str(i) for i in range(len(said))]
    assert server.unit(kernel) == unit
    assert await browser.run("print(kept)") == "kept\n"
    assert [s["kernel"]["id"] for s in server.client.get("/api/sessions").json()] == [kernel]


async def test_what_ends_while_no_server_is_there_is_told_later(server: Server, browse: Any) -> None:
    kernel = server.open_notebook()
    browsers = [await browse(server, kernel) for _ in range(2)]
    request = await browsers[0].execute("import time; time.sleep(1); print('done')")
    for browser in browsers:
        await browser.receive(lambda m: m["header"]["msg_type"] == "execute_input")
    server.stop(signal.SIGKILL)
    server.wait(lambda: (server.runtime / kernel / "state").read_text() == "idle")
    server.start()
    for browser in reversed(browsers):
        await browser.connect()
    assert (await browsers[0].finished(request))["content"]["status"] == "ok"
    await browsers[1].receive(lambda m: m["content"].get("execution_state") == "idle")
    assert [browser.text(request) for browser in browsers] == ["done\n", "done\n"]
    assert server.kernels()[kernel]["execution_state"] == "idle"


async def test_input_is_asked_for_and_given_across_a_restart(server: Server, browse: Any) -> None:
    kernel = server.open_notebook()
    browser = await browse(server, kernel)
    request = await browser.execute("import time; time.sleep(1); print('Hello', input('Name? '))")
    await browser.receive(lambda m: m["header"]["msg_type"] == "execute_input")
    server.restart()
    await browser.connect()
    await browser.receive(lambda m: m["header"]["msg_type"] == "input_request")
    await browser.send("stdin", "input_reply", {"value": "Taro"})
    await browser.finished(request)
    assert browser.text(request) == "Hello Taro\n"


async def test_a_kernel_taken_over_is_interrupted_restarted_and_shut_down(server: Server, browse: Any) -> None:
    kernel = server.open_notebook()
    browser = await browse(server, kernel)
    await browser.run("kept = 1")
    server.restart()
    await browser.connect()

    request = await browser.execute("import time; time.sleep(60)")
    await browser.receive(lambda m: m["header"]["msg_type"] == "execute_input")
    assert server.client.post(f"/api/kernels/{kernel}/interrupt").status_code == 204
    assert (await browser.finished(request))["content"]["ename"] == "KeyboardInterrupt"

    before = server.unit(kernel)
    assert server.client.post(f"/api/kernels/{kernel}/restart").status_code == 200
    assert server.unit(kernel) != before
    assert await browser.run("print('kept' in globals())") == "False\n"

    server.restart()
    assert list(server.kernels()) == [kernel]
    assert server.client.delete(f"/api/kernels/{kernel}").status_code == 204
    assert server.kernels() == {}
    assert not (server.runtime / kernel).exists()
    assert not any(server.notes.glob("*.service"))


async def test_a_kernel_that_dies_after_it_was_taken_over_starts_again(server: Server, browse: Any) -> None:
    kernel = server.open_notebook()
    server.restart()
    browser = await browse(server, kernel)
    before = server.unit(kernel)["MainPID"]
    await browser.execute("import os; os.kill(os.getpid(), 9)")
    await browser.receive(lambda m: m["content"].get("execution_state") == "restarting")
    server.wait(lambda: server.unit(kernel)["MainPID"] != before)
    assert await browser.run("print(6 * 7)") == "42\n"


def test_a_kernel_that_died_meanwhile_is_gone(server: Server) -> None:
    kernel = server.open_notebook()
    server.stop()
    os.kill(server.unit(kernel)["MainPID"], signal.SIGKILL)
    server.start()
    assert server.kernels() == {}
    assert server.client.get("/api/sessions").json() == []
    assert not (server.runtime / kernel).exists()


def test_another_start_of_the_unit_is_not_taken_over(server: Server) -> None:
    kernel = server.open_notebook()
    server.stop()
    file = server.runtime / kernel / "saved.json"
    saved = json.loads(file.read_text())
    saved["provisioner"]["invocation"] = "0" * 32
    file.write_text(json.dumps(saved))
    server.start()
    assert server.kernels() == {}


def test_a_unit_that_nobody_can_reach_is_stopped(server: Server) -> None:
    kernel = server.open_notebook()
    server.stop()
    (server.runtime / kernel / "saved.json").unlink()
    server.start()
    assert server.kernels() == {}
    assert not (server.notes / f"jupyter-kernel@{kernel}.service").exists()


def test_what_is_damaged_does_not_keep_the_server_from_starting(server: Server) -> None:
    kernel = server.open_notebook()
    (server.runtime / new_id()).mkdir()
    (server.runtime / "note.txt").write_text("not a kernel")
    server.restart()
    assert list(server.kernels()) == [kernel]


async def test_a_kernel_is_culled_by_when_it_was_used_not_by_when_it_was_taken_over(
    make_server: Any, browse: Any
) -> None:
    server = make_server(MappingKernelManager={"cull_idle_timeout": 4, "cull_interval": 1})
    idle, busy = server.open_notebook("idle.ipynb"), server.open_notebook("busy.ipynb")
    browser = await browse(server, busy)
    await browser.execute("import time; time.sleep(60)")
    await browser.receive(lambda m: m["header"]["msg_type"] == "execute_input")
    used = server.kernels()[idle]["last_activity"]
    server.stop()
    server.start()
    assert server.kernels()[idle]["last_activity"] <= used
    server.wait(lambda: idle not in server.kernels(), 15)
    assert server.kernels()[busy]["execution_state"] == "busy"


def test_the_servers_own_secrets_are_not_in_a_kernels_environment(server: Server) -> None:
    kernel = server.open_notebook()
    launch = json.loads((server.runtime / kernel / "launch.json").read_text())
    assert launch["env"]["JPY_SESSION_NAME"].endswith("lesson.ipynb")
    assert "CREDENTIALS_DIRECTORY" not in launch["env"]
    assert (server.runtime / kernel).stat().st_mode & 0o777 == 0o700


def test_a_renamed_notebook_is_known_to_the_next_server(server: Server) -> None:
    kernel = server.open_notebook()
    session = server.client.get("/api/sessions").json()[0]["id"]
    body = {"path": "renamed.ipynb", "name": "renamed.ipynb"}
    assert server.client.patch(f"/api/sessions/{session}", json=body).status_code == 200
    server.restart()
    assert server.client.post(f"/api/kernels/{kernel}/restart").status_code == 200
    launch = json.loads((server.runtime / kernel / "launch.json").read_text())
    assert launch["env"]["JPY_SESSION_NAME"].endswith("renamed.ipynb")
