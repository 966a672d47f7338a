"""Deploys to a host whose services really run: what is proven, what is refused, what comes back."""

import contextlib
import os
import sqlite3
import time

import pytest
from cell_monitor_release import deploy, rollback
from cell_monitor_release.errors import GateError, ReleaseError
from release_host import UNIT, Host


def fail(host: Host, release: str, config: str = "b") -> str:
    """A deploy that fails; returns the sentence."""
    deploy.begin(host.state, host.target(release), "tester")
    host.configure(config)
    with pytest.raises(GateError) as caught:
        deploy.turn(host.state, "app")
    return str(caught.value)


def test_a_deploy_switches_and_is_written_down(host: Host) -> None:
    host.deploy("B", "b")
    assert host.runs() == ("B", "b")
    assert (host.state.number, host.state.progress) == (2, None)
    assert [line["result"] for line in host.state.history()] == ["done", "done"]
    assert host.state.history()[-1]["from"]["releases"] == {"app": "A"}


def test_a_second_deploy_changes_nothing(host: Host) -> None:
    pid, calls = host.pid, len(host.state.history())
    deploy.begin(host.state, host.target("A"), "tester")
    assert deploy.turn(host.state, "app") == 0
    assert deploy.commit(host.state, 3) is None
    assert (host.pid, host.state.number, len(host.state.history())) == (pid, 1, calls)


def test_a_new_secret_restarts_the_service_and_is_no_new_generation(host: Host) -> None:
    pid = host.pid
    host.secret.write_text("s2")
    host.deploy("A", "a")
    assert host.pid != pid
    assert host.state.number == 1


def test_a_new_secret_is_taken_up_without_a_deploy(host: Host) -> None:
    pid = host.pid
    assert deploy.turn(host.state, "app") == 0
    host.secret.write_text("s2")
    deploy.turn(host.state, "app")
    assert host.pid != pid
    assert len(host.state.history()) == 1


@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [
        ("exits", "it ends by itself"),
        ("unhealthy", "it answers 503"),
        ("wrong id", "it answers as release another"),
    ],
)
@pytest.mark.parametrize("is_beside", [True, False], ids=["beside", "in place"])
def test_a_release_that_does_not_work_gives_way_to_the_one_before(
    host: Host, behaviour: str, sentence: str, is_beside: bool
) -> None:
    host.has_candidates = is_beside
    host.install("bad", behaviour)
    pid = host.pid
    said = fail(host, "bad")
    assert sentence in said or (behaviour == "exits" and "does not start" in said)
    assert host.runs() == host.there() == ("A", "a")
    # Where it was tried beside the old one, nobody noticed.
    assert (host.pid == pid) == is_beside
    assert host.state.progress is None
    assert host.state.history()[-1]["result"] == "failed"
    evidence = host.state.failed / "bad"
    assert "bad" in (evidence / "state.json").read_text()
    assert (evidence / "journal.txt").exists()


def test_a_bad_release_is_refused_until_it_is_forced(host: Host) -> None:
    path = host.install("bad", "unhealthy")
    fail(host, "bad")
    with pytest.raises(ReleaseError, match=r"release bad of app failed here at .*release_force=true"):
        deploy.begin(host.state, host.target("bad"), "tester")
    assert host.state.progress is None
    (path / "behaviour").write_text("healthy")
    (path / "files.json").unlink()
    deploy.begin(host.state, host.target("bad"), "tester", is_forced=True)
    deploy.turn(host.state, "app")
    deploy.commit(host.state, 3)
    assert host.runs()[0] == "bad"


def test_a_configuration_that_does_not_work_is_taken_back_and_the_release_is_not_to_blame(host: Host) -> None:
    assert "ends by itself" in fail(host, "A", "refused")
    assert host.runs() == host.there() == ("A", "a")
    assert host.state.bad == {}


def test_a_damaged_release_is_not_switched_to(host: Host) -> None:
    (host.folder / "opt/app/releases/B/behaviour").unlink()
    assert "behaviour is missing" in fail(host, "B")
    assert host.runs() == host.there() == ("A", "a")


def test_a_play_that_fails_between_two_parts_returns_all_of_them(host: Host) -> None:
    deploy.begin(host.state, host.target("B"), "tester")
    host.configure("b")
    (host.folder / "etc/served").write_text("new")
    deploy.turn(host.state, "app")
    assert host.runs() == ("B", "b")
    deploy.give_up(host.state, "the proxy did not answer")
    assert host.runs() == host.there() == ("A", "a")
    assert not (host.folder / "etc/served").exists()


class TestBackup:
    def test_there_is_one_before_the_first_switch_and_no_other(self, host: Host) -> None:
        made = host.folder / "made"
        deploy.begin(
            host.state,
            host.target("B"),
            "tester",
            backup=["sh", "-c", f"readlink {host.folder}/opt/app/current >> {made}"],
        )
        host.configure("b")
        deploy.turn(host.state, "app")
        host.configure("c")
        deploy.turn(host.state, "app")
        assert made.read_text() == "releases/A\n"
        assert deploy.commit(host.state, 3)
        assert "backup" in host.state.history()[-1]["seconds"]

    def test_none_where_nothing_changes(self, host: Host) -> None:
        deploy.begin(host.state, host.target("A"), "tester", backup=["false"])
        deploy.turn(host.state, "app")
        assert deploy.commit(host.state, 3) is None

    def test_one_that_fails_stops_the_deploy_and_blames_no_release(self, host: Host) -> None:
        deploy.begin(host.state, host.target("B"), "tester", backup=["sh", "-c", "echo the disk is full >&2; exit 1"])
        host.configure("b")
        with pytest.raises(
            ReleaseError, match=r"no backup .* the disk is full; nothing was switched.*release_backup=false"
        ):
            deploy.turn(host.state, "app")
        deploy.give_up(host.state, "no backup")
        assert (host.runs(), host.state.bad) == (("A", "a"), {})


def test_files_come_back_with_their_permissions(host: Host) -> None:
    host.config.chmod(0o640)
    host.deploy("A", "a")
    host.install("C")
    host.deploy("C", "b")
    host.config.unlink()
    rollback.roll_back(host.state, "", "tester", "")
    assert host.config.stat().st_mode & 0o777 == 0o640


def test_a_host_without_a_history_is_saved_as_it_is(host: Host) -> None:
    for path in ("current.json", "generations/1.json"):
        (host.state.folder / path).unlink()
    host.deploy("B", "b")
    assert [g.releases["app"] for g in host.state.generations()] == ["A", "B"]
    rollback.roll_back(host.state, "", "tester", "")
    assert host.runs() == ("A", "a")


def test_a_fresh_host_has_nothing_to_return_to(host: Host) -> None:
    for path in ("current.json", "generations/1.json"):
        (host.state.folder / path).unlink()
    (host.folder / "opt/app/current").unlink()
    host.reboot()
    host.install("bad", "exits")
    fail(host, "bad")
    assert host.state.bad == {}
    host.install("good")
    host.deploy("good", "c")
    assert host.runs() == ("good", "c")


def test_a_service_that_was_stopped_is_started(host: Host) -> None:
    host.reboot()
    host.deploy("A", "a")
    assert host.runs() == ("A", "a")


class TestWithoutARestart:
    """A release that differs in files that the running process does not read."""

    def test_the_process_goes_on(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        for release in ("A", "B"):
            (host.folder / f"opt/app/releases/{release}/release.json").write_text('{"server": "same"}')
        # The played service cannot learn of its new release, as JupyterLab's does.
        monkeypatch.setattr("cell_monitor_release.gates.prove", lambda _: None)
        pid = host.pid
        host.deploy("B", "a")
        assert (host.pid, (host.folder / "opt/app/current").readlink().name) == (pid, "B")

    def test_the_process_is_restarted_where_its_own_part_differs(self, host: Host) -> None:
        for release in ("A", "B"):
            (host.folder / f"opt/app/releases/{release}/release.json").write_text(f'{{"server": "{release}"}}')
        host.deploy("B", "a")
        assert host.runs()[0] == "B"


class TestPruning:
    """What a host keeps."""

    def deploy(self, host: Host, *names: str) -> set[str]:
        for name in names:
            host.install(name)
            host.deploy(name, "a")
        return {path.name for path in (host.folder / "opt/app/releases").iterdir()}

    def test_the_last_releases_stay(self, host: Host) -> None:
        assert self.deploy(host, "C", "D", "E") == {"C", "D", "E"}
        assert [g.releases["app"] for g in host.state.generations()] == ["C", "D", "E"]
        contents = {kept.sha256 for g in host.state.generations() for kept in g.files.values() if kept}
        assert {path.name for path in (host.state.folder / "files").iterdir()} == contents

    def test_changes_of_the_configuration_do_not_count_as_releases(self, host: Host) -> None:
        for config in "bcd":
            host.deploy("A", config)
        assert self.deploy(host, "C", "D") == {"A", "C", "D"}

    def test_a_release_that_somebody_lives_in_stays(self, host: Host) -> None:
        import subprocess

        alive = host.folder / "opt/app/releases/A/behaviour"
        with subprocess.Popen(["python3", "-c", "import time; time.sleep(60)", alive]) as process:
            try:
                assert "A" in self.deploy(host, "C", "D", "E")
            finally:
                process.kill()
        host.install("F")
        host.deploy("F", "a")
        assert not alive.exists()

    def test_the_current_and_its_parent_stay_after_a_rollback(self, host: Host) -> None:
        self.deploy(host, "C", "D")
        rollback.roll_back(host.state, "C", "tester", "")
        deploy.prune(host.state, 2)
        assert {g.releases["app"] for g in host.state.generations()} >= {"A", "C"}

    def test_what_was_before_is_kept_rather_than_what_was_rolled_back(self, host: Host) -> None:
        host.deploy("B", "a")
        for name in "CDE":
            self.deploy(host, name)
            rollback.roll_back(host.state, "B", "tester", "")
        rollback.roll_back(host.state, "", "tester", "")
        assert host.runs()[0] == "A"


class TestRollback:
    """The way back."""

    def test_to_the_one_before_and_forward_again(self, host: Host) -> None:
        host.deploy("B", "b")
        told = rollback.roll_back(host.state, "", "tester", "it was slow")
        assert host.runs() == host.there() == ("A", "a")
        assert "generation 2" in told["before"]
        assert "generation 1" in told["after"]
        assert told["seconds"]["app"] > 0
        assert host.state.history()[-1]["why"] == "it was slow"
        rollback.roll_back(host.state, "B", "tester", "")
        assert host.runs() == ("B", "b")

    def test_twice_goes_further_back_and_not_forth(self, host: Host) -> None:
        host.deploy("B", "b")
        host.deploy("B", "c")
        rollback.roll_back(host.state, "", "tester", "")
        assert host.runs() == ("B", "b")
        rollback.roll_back(host.state, "", "tester", "")
        assert host.runs() == ("A", "a")
        with pytest.raises(ReleaseError, match="no earlier release"):
            rollback.roll_back(host.state, "", "tester", "")

    def test_when_the_service_is_down(self, host: Host) -> None:
        host.deploy("B", "b")
        (host.folder / "opt/app/releases/B/behaviour").write_text("exits")
        host.reboot()
        rollback.roll_back(host.state, "", "tester", "")
        assert host.runs() == ("A", "a")

    def test_the_same_release_with_other_files(self, host: Host) -> None:
        host.deploy("A", "b")
        rollback.roll_back(host.state, "", "tester", "")
        assert host.runs() == ("A", "a")

    def test_a_secret_stays_as_it_is(self, host: Host) -> None:
        host.deploy("B", "b")
        host.secret.write_text("rotated")
        rollback.roll_back(host.state, "", "tester", "")
        assert host.secret.read_text() == "rotated"

    def test_what_cannot_be_returned_to_is_named_with_reasons(self, host: Host) -> None:
        host.deploy("B", "b")
        (host.folder / "opt/app/releases/A/link").unlink()
        with pytest.raises(ReleaseError, match=r"no earlier release .*link is missing"):
            rollback.roll_back(host.state, "", "tester", "")
        with pytest.raises(ReleaseError, match="generation 1 cannot be returned to"):
            rollback.roll_back(host.state, "1", "tester", "")
        with pytest.raises(ReleaseError, match="release is nothing"):
            rollback.roll_back(host.state, "nothing", "tester", "")
        assert host.runs() == ("B", "b")
        assert "link is missing" in rollback.possible(host.state)[1]["obstacle"]

    @pytest.mark.parametrize("is_beside", [True, False], ids=["beside", "in place"])
    def test_to_one_that_does_not_work_any_more_stays_where_it_is(self, host: Host, is_beside: bool) -> None:
        host.deploy("B", "b")
        host.has_candidates = is_beside
        (host.folder / "opt/app/releases/A/behaviour").write_text("unhealthy")
        (host.folder / "opt/app/releases/A/files.json").unlink()
        with pytest.raises(GateError, match="503"):
            rollback.roll_back(host.state, "", "tester", "")
        assert host.runs() == host.there() == ("B", "b")
        assert (host.state.number, host.state.progress) == (2, None)

    def test_of_a_deploy_that_was_cut_off(self, host: Host) -> None:
        deploy.begin(host.state, host.target("B"), "tester")
        host.configure("b")
        deploy.turn(host.state, "app")
        rollback.roll_back(host.state, "", "tester", "")
        assert host.runs() == host.there() == ("A", "a")
        assert host.state.number == 1

    def test_a_damaged_file_of_the_same_size_is_found_by_a_thorough_look(self, host: Host) -> None:
        from cell_monitor_release import drift

        path = host.folder / "opt/app/releases/A/behaviour"
        before = path.stat()
        path.write_text("HEALTHY")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        generation = host.state.generations()[0]
        assert drift.differences(generation) == []
        assert drift.differences(generation, thorough=True) == [f"{path} is damaged."]


class TestDatabase:
    """A release that raises the schema of the service's database."""

    def set_schema(self, host: Host, version: int, readable_from: int) -> None:
        host.database = host.folder / "events.sqlite3"
        with contextlib.closing(sqlite3.connect(host.database)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER, readable_from INTEGER)")
            connection.execute("DELETE FROM schema_version")
            connection.execute("INSERT INTO schema_version VALUES (?, ?)", (version, readable_from))
            connection.commit()

    def test_it_is_copied_before(self, host: Host) -> None:
        host.install("C", schema=1)
        self.set_schema(host, 1, 1)
        host.deploy("C", "a")
        assert not (host.state.folder / "databases").exists()
        host.install("D", schema=2)
        host.deploy("D", "a")
        (copy,) = (host.state.folder / "databases").iterdir()
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            assert connection.execute("SELECT version FROM schema_version").fetchone() == (1,)

    def test_a_release_that_cannot_read_it_is_not_returned_to(self, host: Host) -> None:
        self.set_schema(host, 1, 1)
        host.install("C", schema=1)
        host.deploy("C", "a")
        host.install("D", schema=2)
        host.deploy("D", "a")
        self.set_schema(host, 2, 2)
        with pytest.raises(ReleaseError, match=r"schema 2, which needs .* knows 1; the database as it was before is /"):
            rollback.roll_back(host.state, "C", "tester", "")
        assert host.runs() == ("D", "a")

    def test_nor_deployed(self, host: Host) -> None:
        host.install("C", schema=1)
        self.set_schema(host, 2, 2)
        assert "needs a release that knows schema 2" in fail(host, "C")
        assert host.runs() == host.there() == ("A", "a")


def test_drift_names_what_is_not_as_it_was(host: Host) -> None:
    from cell_monitor_release import drift

    generation = host.state.generations()[0]
    assert drift.differences(generation) == []
    time.sleep(0.02)
    host.config.write_text("by hand")
    (host.folder / "etc/served").write_text("by hand")
    assert drift.differences(generation) == [
        f"{UNIT} is active, or runs with other files than those that are there.",
        f"{host.config} was changed.",
        f"{host.folder}/etc/served is there, and does not belong to the release.",
    ]


def test_what_another_version_of_the_program_wrote_is_understood() -> None:
    from cell_monitor_release.model import Part

    part = Part("app", seconds=3)
    assert Part.of(part.json() | {"unheard_of": 1}) == part
