"""Kernels that outlive the server, as a notebook sees it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Server, new_id

COUNT = """
import itertools, pathlib, time
for i in itertools.count():
    print(i, flush=True)
    time.sleep(0.1)
    if pathlib.Path("stop").exists():
        pathlib.Path("stop").unlink()
        break
"""
WAIT = "import time; time.sleep(60)"
# Goes on once the browser is away.
AWAY = (
    "import pathlib, time\nwhile not pathlib.Path('away').exists(): time.sleep(0.01)\npathlib.Path('away').unlink()\n"
)


def begun(message: dict[str, Any]) -> bool:
    return bool(message["header"]["msg_type"] == "execute_input")


def leave(server: Server, name: str) -> None:
    (server.home / "notebooks" / name).touch()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
async def test_a_running_cell_finishes_and_nothing_it_says_is_lost(server: Server, browse: Any, signum: int) -> None:
    kernel = server.open_notebook()
    browser = await browse(server, kernel)
    await browser.run("kept = 'kept'")
    unit = server.unit(kernel)
    request = await browser.execute(COUNT)
    await browser.receive(lambda m: "7" in str(m["content"].get("text")))

    await asyncio.to_thread(server.restart, signum)
    assert server.kernels()[kernel]["execution_state"] == "busy"
    await browser.connect()
    leave(server, "stop")
    reply = await browser.finished(request)

    assert reply["content"]["status"] == "ok"
    said = browser.text(request).split()
    if signum == signal.SIGKILL:
        # What a killed server had no time to confirm comes twice.
        said = list(dict.fromkeys(said))
    assert said == [str(i) for i in range(len(said))]
    assert server.unit(kernel) == unit
    assert await browser.run("print(kept)") == "kept\n"
    assert [s["kernel"]["id"] for s in server.client.get("/api/sessions").json()] == [kernel]


async def test_what_ends_while_no_server_is_there_is_told_later(server: Server, browse: Any) -> None:
    kernel = server.open_notebook()
    browsers = [await browse(server, kernel) for _ in range(2)]
    request = await browsers[0].execute(AWAY + "print('done')")
    for browser in browsers:
        await browser.receive(begun)
    server.stop(signal.SIGKILL)
    leave(server, "away")
    server.wait(lambda: (server.runtime / kernel / "state").read_text() == "idle")
    server.start()
    for browser in reversed(browsers):
        await browser.connect()
    assert (await browsers[0].finished(request))["content"]["status"] == "ok"
    await browsers[1].receive(lambda m: m["content"].get("execution_state") == "idle")
    assert [browser.text(request) for browser in browsers] == ["done\n", "done\n"]
    assert server.kernels()[kernel]["execution_state"] == "idle"


async def test_what_a_sleeping_computer_did_not_get_comes_when_it_wakes(server: Server, browse: Any) -> None:
    browser = await browse(server, server.open_notebook())
    # More at once than a server passes on in three seconds, not more than a kernel can get rid of.
    request = await browser.execute(AWAY + "for i in range(600):\n print(i, flush=True)\n i % 20 or time.sleep(0.02)")
    await browser.receive(begun)
    browser.sleep()
    leave(server, "away")
    server.wait(lambda: server.kernels()[browser.kernel_id]["execution_state"] == "idle")
    browser.lose_connection()
    await browser.connect()
    assert (await browser.finished(request))["content"]["status"] == "ok"
    assert browser.text(request).split() == [str(i) for i in range(600)]


async def test_a_student_is_told_that_more_was_said_than_is_kept(server: Server, browse: Any) -> None:
    browser = await browse(server, server.open_notebook())
    request = await browser.execute(AWAY + "for i in range(200): print(i, 'x' * 100_000, flush=True)")
    await browser.receive(begun)
    browser.lose_connection()
    leave(server, "away")
    server.wait(lambda: server.kernels()[browser.kernel_id]["execution_state"] == "idle")
    await browser.connect()
    await browser.finished(request)
    lines = [line.split()[0] for line in browser.text(request).splitlines()]
    kept = lines[1:]
    # Beside the lines, the cell's beginning; a line may be in two messages.
    assert 100 < 200 - len(kept) <= int(lines[0])
    assert "messages of the kernel are missing here" in browser.text(request)
    assert kept == [str(i) for i in range(200 - len(kept), 200)]


async def test_input_is_asked_for_and_given_across_a_restart(server: Server, browse: Any) -> None:
    browser = await browse(server, server.open_notebook())
    request = await browser.execute(AWAY + "print('Hello', input('Name? '))")
    await browser.receive(begun)
    server.stop()
    leave(server, "away")
    server.start()
    await browser.connect()
    await browser.receive(lambda m: m["header"]["msg_type"] == "input_request")
    await browser.send("stdin", "input_reply", {"value": "Taro"})
    await browser.finished(request)
    assert browser.text(request) == "Hello Taro\n"


ECHO = """
def opened(comm, message):
    comm.on_msg(lambda message: comm.send({"echo": message["content"]["data"]}))
get_ipython().kernel.comm_manager.register_target("echo", opened)
"""


async def test_widgets_debuggers_and_subshells_go_on(server: Server, browse: Any) -> None:
    browser = await browse(server, server.open_notebook())
    await browser.run(ECHO)
    await browser.send("shell", "comm_open", {"comm_id": "1", "target_name": "echo", "data": {}})
    await browser.send("control", "create_subshell_request", {})
    made = await browser.receive(lambda m: m["header"]["msg_type"] == "create_subshell_reply")

    await asyncio.to_thread(server.restart)
    await browser.connect()

    await browser.send("shell", "comm_msg", {"comm_id": "1", "data": 42})
    await browser.receive(lambda m: m["content"].get("data") == {"echo": 42})

    request = await browser.execute(WAIT)
    await browser.receive(begun)
    content = {"code": "print('beside')", "silent": False, "store_history": False, "user_expressions": {}}
    beside = await browser.send("shell", "execute_request", content, subshell_id=made["content"]["subshell_id"])
    await browser.finished(beside)
    assert browser.text(beside) == "beside\n"

    await browser.send("control", "debug_request", {"type": "request", "seq": 1, "command": "debugInfo"})
    info = await browser.receive(lambda m: m["header"]["msg_type"] == "debug_reply")
    assert info["content"]["success"]
    await browser.send("control", "interrupt_request", {})
    assert (await browser.finished(request))["content"]["ename"] == "KeyboardInterrupt"


@pytest.mark.parametrize("mode", ["signal", "message"])
async def test_a_kernel_taken_over_is_interrupted_restarted_and_shut_down(
    server: Server, browse: Any, mode: str
) -> None:
    server.add_kernelspec(mode, interrupt_mode=mode)
    kernel = server.open_notebook(kernel=mode)
    browser = await browse(server, kernel)
    await browser.run("kept = 1")
    session = server.client.get("/api/sessions").json()[0]["id"]
    renamed = {"path": "renamed.ipynb", "name": "renamed.ipynb"}
    assert server.client.patch(f"/api/sessions/{session}", json=renamed).status_code == 200
    await asyncio.to_thread(server.restart)
    await browser.connect()

    request = await browser.execute(WAIT)
    await browser.receive(begun)
    assert server.client.post(f"/api/kernels/{kernel}/interrupt").status_code == 204
    assert (await browser.finished(request))["content"]["ename"] == "KeyboardInterrupt"

    before = server.unit(kernel)
    assert server.client.post(f"/api/kernels/{kernel}/restart").status_code == 200
    assert server.unit(kernel) != before
    assert await browser.run("print('kept' in globals())") == "False\n"
    launch = json.loads((server.runtime / kernel / "launch.json").read_text())
    assert launch["env"]["JPY_SESSION_NAME"].endswith("renamed.ipynb")

    assert list(server.kernels()) == [kernel]
    assert server.client.delete(f"/api/kernels/{kernel}").status_code == 204
    assert server.kernels() == {}
    assert not (server.runtime / kernel).exists()
    assert not any(server.notes.glob("*.service"))


async def test_a_kernel_that_dies_after_it_was_taken_over_starts_again(server: Server, browse: Any) -> None:
    kernel = server.open_notebook()
    await asyncio.to_thread(server.restart)
    browser = await browse(server, kernel)
    relay = server.unit(kernel)["MainPID"]
    await browser.execute("import os; os.kill(os.getpid(), 9)")
    await browser.receive(lambda m: m["content"].get("execution_state") == "restarting")
    server.wait(lambda: server.unit(kernel)["MainPID"] != relay)
    assert await browser.run("print(6 * 7)") == "42\n"


async def test_a_kernel_that_does_not_start_again_is_dead(server: Server, browse: Any) -> None:
    python = server.home / "python"
    python.symlink_to(Path(sys.executable))
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    server.add_kernelspec("vanishing", argv=argv, env={"PYTHONPATH": os.pathsep.join(sys.path)})
    kernel = server.open_notebook(kernel="vanishing")
    browser = await browse(server, kernel)
    python.unlink()
    await browser.execute("import os; os.kill(os.getpid(), 9)")
    await browser.receive(lambda m: m["content"].get("execution_state") == "dead")
    server.wait(lambda: kernel not in server.kernels())
    server.wait(lambda: not (server.runtime / kernel).exists())


def test_a_kernel_that_does_not_start_is_an_error_that_says_where_to_look(server: Server) -> None:
    server.add_kernelspec("broken", argv=["/nowhere/python", "{connection_file}"])
    answer = server.begin_session(kernel="broken")
    assert answer.status_code == 500
    assert "jupyter-kernel@" in answer.json()["message"]
    assert server.kernels() == {}
    assert not any(server.runtime.iterdir())
    server.stop()
    assert server.status == 0
    assert "Traceback" not in (server.home / "server.log").read_text().rpartition("Shutting down")[2]


def test_only_kernels_that_run_are_taken_over(server: Server) -> None:
    kept, died, other, unreachable, damaged = (server.open_notebook(f"{i}.ipynb") for i in range(5))
    server.stop()
    # It may have ended before the server did, its number may have been given to another process, a server may have
    # been killed while it started a kernel.
    os.kill(server.unit(died)["MainPID"], signal.SIGKILL)
    file = server.runtime / other / "saved.json"
    saved = json.loads(file.read_text())
    saved["provisioner"]["invocation"] = "0" * 32
    file.write_text(json.dumps(saved))
    (server.runtime / unreachable / "saved.json").unlink()
    # Another release's server may understand it.
    understood = (server.runtime / damaged / "saved.json").read_text()
    (server.runtime / damaged / "saved.json").write_text("{}")
    (server.runtime / new_id()).mkdir()
    (server.runtime / "note.txt").write_text("not a kernel")

    server.start()
    assert list(server.kernels()) == [kept]
    assert [session["kernel"]["id"] for session in server.client.get("/api/sessions").json()] == [kept]
    server.wait(
        lambda: (
            {note.name for note in server.notes.glob("*.service")}
            == {f"jupyter-kernel@{kernel}.service" for kernel in (kept, died, damaged)}
        )
    )
    assert {folder.name for folder in server.runtime.glob("*/")} == {kept, damaged}

    (server.runtime / damaged / "saved.json").write_text(understood.replace("{", '{"added later": 1, ', 1))
    (server.runtime / "note.txt").unlink()
    server.restart()
    assert set(server.kernels()) == {kept, damaged}


async def test_a_kernel_is_culled_by_when_it_was_used_not_by_when_it_was_taken_over(
    server: Server, browse: Any
) -> None:
    server.add_kernelspec("short", metadata={"cull_idle_timeout": 4})
    idle, busy = server.open_notebook("idle.ipynb", "short"), server.open_notebook("busy.ipynb", "short")
    browser = await browse(server, busy)
    await browser.execute(WAIT)
    await browser.receive(begun)
    used = server.kernels()[idle]["last_activity"]
    await asyncio.to_thread(server.restart)
    assert server.kernels()[idle]["last_activity"] <= used
    server.wait(lambda: idle not in server.kernels(), 15)
    assert not (server.runtime / idle).exists()
    assert server.kernels()[busy]["execution_state"] == "busy"


def test_the_servers_own_secrets_are_not_in_a_kernels_environment(server: Server) -> None:
    kernel = server.open_notebook()
    launch = json.loads((server.runtime / kernel / "launch.json").read_text())
    assert launch["env"]["JPY_SESSION_NAME"].endswith("lesson.ipynb")
    assert "CREDENTIALS_DIRECTORY" not in launch["env"]
    assert (server.runtime / kernel).stat().st_mode & 0o777 == 0o700
