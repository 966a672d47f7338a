"""The quality gates: what passes, what stops a build, and what is only called checked when it was."""

import argparse
import json
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from loopback import Request, serve
from quality_gates import audits
from quality_gates.__main__ import measurements
from quality_gates.changelog import changelog_updated
from quality_gates.documentation import api_documentation_coverage, python_declarations
from quality_gates.front_end import build_time, bundle_size, compressed_bundle_size
from quality_gates.gates import Gate
from quality_gates.project import Project
from quality_gates.results import Measured, MeasurementError, NotCheckedError
from quality_gates.suites import Suite, floor

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "roles/quality_gates"
GATES = [Gate(**gate) for gate in yaml.safe_load((ROLE / "vars/main.yml").read_text())["__quality_gates_limits"]]


class LocalProject(Project):
    """A project without a lock."""

    def locked(self, group: str) -> str:  # noqa: ARG002
        return ""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("build/\nnode_modules\n")
    project = LocalProject(tmp_path)
    project.extension.mkdir(parents=True)
    return project


class TestGate:
    """Limits."""

    @pytest.mark.parametrize(
        ("bound", "limit", "passing", "failing"),
        [("at most", 60, [0, 60], [60.1]), ("at least", 85, [85, 100], [84.9]), ("exactly", True, [True], [False])],
    )
    def test_the_limit_itself_is_allowed(
        self, bound: str, limit: float, passing: list[float], failing: list[float]
    ) -> None:
        gate = Gate("figure", bound, limit, "")
        assert [gate.judge(lambda: Measured(value))["status"] for value in passing] == ["passed"] * len(passing)  # noqa: B023
        assert [gate.judge(lambda: Measured(value))["status"] for value in failing] == ["failed"] * len(failing)  # noqa: B023

    def test_a_refusal_names_figure_and_limit(self) -> None:
        judged = Gate("testCoverage", "at least", 85, "%").judge(lambda: Measured(84.9, "the front end 84.9 %"))
        assert judged["detail"] == "testCoverage is 84.9 % (the front end 84.9 %); allowed is at least 85 %"

    def test_what_is_broken_fails_without_a_figure(self) -> None:
        def broken() -> Measured:
            raise MeasurementError("its tests failed")

        judged = Gate("testCoverage", "at least", 85, "%").judge(broken)
        assert (judged["value"], judged["status"]) == (None, "failed")
        assert judged["detail"] == "testCoverage has no figure because its tests failed"

    def test_what_cannot_be_asked_never_passes(self) -> None:
        def away() -> Measured:
            raise NotCheckedError("nobody answers")

        judged = Gate("audit", "at most", 0, "").judge(away)
        assert (judged["value"], judged["status"], judged["detail"]) == (None, "not checked", "nobody answers")

    def test_every_gate_of_the_role_is_measured_and_nothing_else(self) -> None:
        assert [gate.name for gate in GATES] == list(measurements(Project(ROOT), argparse.Namespace()))

    def test_the_table_is_aligned(self) -> None:
        def away() -> Measured:
            raise NotCheckedError("nobody answers")

        figures: list[Callable[[], Measured]] = [lambda: Measured(12.5, "d"), lambda: Measured(True, "d"), away]
        results = [gate.judge(measure) for gate, measure in zip([GATES[2], GATES[-1], GATES[7]], figures, strict=True)]
        template = jinja2.Template((ROLE / "templates/table.txt.j2").read_text(), trim_blocks=True)
        lines = template.render(quality_gates_results=results).splitlines()
        assert (
            len(
                {
                    line.index(result["status"])
                    for line, result in zip(lines, results, strict=True)
                    if result["status"] != "failed"
                }
            )
            == 1
        )
        assert "at least 85" in lines[0]
        assert "true" in lines[1]


class TestRemembered:
    """Results that hold for as long as the files do."""

    def test_measures_again_when_a_file_has_changed(self, project: Project) -> None:
        source = project.extension / "a.ts"
        source.write_text("1")
        figures = iter([1.0, 2.0, 3.0])

        def measured(**options: bool) -> float | bool:
            return project.remembered("x", [project.extension], lambda: Measured(next(figures)), **options).value

        assert [measured(), measured()] == [1.0, 1.0]
        source.write_text("2")
        assert [measured(), measured()] == [2.0, 2.0]
        assert [measured(anew=True), measured()] == [3.0, 3.0]

    def test_what_changed_while_it_was_measured_is_not_remembered(self, project: Project) -> None:
        source = project.extension / "a.ts"
        source.write_text("1")

        def measure() -> Measured:
            source.write_text("2")
            return Measured(1)

        project.remembered("x", [project.extension], measure)
        assert project.remembered("x", [project.extension], lambda: Measured(2)).value == 2

    def test_failed_tests_are_run_again(self, project: Project) -> None:
        command = ("sh", "-c", "test -e passes && echo 90 > {report}")
        suite = Suite(
            "unit", "it", "files/extension", command, "build/report", lambda report: float(report.read_text())
        )
        with pytest.raises(MeasurementError, match=r"the unit tests of it failed; see .*/build/gates/unit\.log"):
            suite.run(project)
        (project.root / ".git/info/exclude").write_text("passes\n")
        (project.extension / "passes").touch()
        assert suite.run(project).value == 90


class TestPipAudit:
    """What pip-audit tells."""

    @pytest.fixture(autouse=True)
    def ratings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        severities = {"GHSA-bad": "CRITICAL", "GHSA-mild": "MODERATE"}

        def fetch(request: Any) -> Any:
            advisory = request.full_url.rpartition("/")[2]
            if advisory not in severities:
                raise NotCheckedError("nobody answers")
            return {"database_specific": {"severity": severities[advisory]}}

        monkeypatch.setattr(audits, "_fetch", fetch)

    def test_packages_that_were_skipped_are_not_checked(self) -> None:
        skipped: list[dict[str, Any]] = [
            {"name": "a", "skip_reason": "not found"},
            {"name": "b", "skip_reason": "not found"},
        ]
        with pytest.raises(NotCheckedError, match="answered for 0 of 2 packages"):
            audits.judge_pip_audit(skipped, 2)
        with pytest.raises(NotCheckedError, match="answered for 1 of 2 packages"):
            audits.judge_pip_audit([{"name": "a", "vulns": []}, skipped[1]], 2)

    def test_a_package_that_is_missing_from_the_answer_is_not_checked(self) -> None:
        with pytest.raises(NotCheckedError, match="answered for 1 of 2 packages"):
            audits.judge_pip_audit([{"name": "a", "vulns": []}], 2)

    def test_nothing_found_in_all_packages_is_zero(self) -> None:
        assert audits.judge_pip_audit([{"name": "a", "vulns": []}], 1).value == 0

    @pytest.mark.parametrize(
        ("entry", "count"),
        [
            ({"id": "GHSA-bad", "aliases": []}, 1),
            ({"id": "PYSEC-1", "aliases": ["CVE-1", "GHSA-mild"]}, 0),
            ({"id": "PYSEC-2", "aliases": ["GHSA-unknown"]}, 1),
            ({"id": "PYSEC-3", "aliases": []}, 1),
        ],
    )
    def test_counts_what_is_severe_or_not_known_to_be_mild(self, entry: dict[str, Any], count: int) -> None:
        assert audits.judge_pip_audit([{"name": "a", "vulns": [entry]}], 1).value == count

    def test_a_finding_counts_even_where_others_were_skipped(self) -> None:
        audited: list[dict[str, Any]] = [
            {"name": "a", "vulns": [{"id": "GHSA-bad"}]},
            {"name": "b", "skip_reason": "not found"},
        ]
        measured = audits.judge_pip_audit(audited, 2)
        assert measured.value == 1
        assert "a GHSA-bad" in measured.detail


LOCK = {
    "__metadata": {"version": 6},
    "@jupyterlab/application@npm:^4.0.0": {
        "version": "4.2.5",
        "resolution": "@jupyterlab/application@npm:4.2.5",
        "dependencies": {"shared": "^1.0.0"},
    },
    "left-pad@npm:^1.0.0, left-pad@npm:^1.1.0": {
        "version": "1.3.0",
        "resolution": "left-pad@npm:1.3.0",
        "dependencies": {"shared": "^1.0.0"},
    },
    "shared@npm:^1.0.0": {"version": "1.0.1", "resolution": "shared@npm:1.0.1"},
    "tool@npm:^2.0.0": {"version": "2.0.0", "resolution": "tool@npm:2.0.0"},
    "cell-monitor@workspace:.": {"version": "0.0.0-use.local", "resolution": "cell-monitor@workspace:."},
}
MANIFEST = {
    "dependencies": {"@jupyterlab/application": "^4.0.0", "left-pad": "^1.0.0"},
    "devDependencies": {"tool": "^2.0.0"},
    "jupyterlab": {"sharedPackages": {"@jupyterlab/application": {"bundled": False}}},
}


class TestNpmAudit:
    """What npm's registry tells."""

    @pytest.fixture
    def advisories(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
        state: dict[str, Any] = {"status": 200, "answer": {}}

        def answer(request: Request) -> tuple[int, bytes]:
            state["path"] = request.path
            state["asked"] = json.loads(request.body)
            return state["status"], json.dumps(state["answer"]).encode()

        (project.extension / "package.json").write_text(json.dumps(MANIFEST))
        (project.extension / "yarn.lock").write_text(yaml.safe_dump(LOCK))
        with serve(answer) as address:
            monkeypatch.setenv("YARN_NPM_REGISTRY_SERVER", address)
            yield state

    def test_asks_about_every_locked_version(self, project: Project, advisories: dict[str, Any]) -> None:
        assert audits.npm_vulnerabilities(project).value == 0
        assert advisories["path"] == "/-/npm/v1/security/advisories/bulk"
        assert advisories["asked"] == {
            "@jupyterlab/application": ["4.2.5"],
            "left-pad": ["1.3.0"],
            "shared": ["1.0.1"],
            "tool": ["2.0.0"],
        }

    def test_counts_what_is_severe_and_bundled_and_tells_of_the_tools(
        self, project: Project, advisories: dict[str, Any]
    ) -> None:
        high, low = {"severity": "high", "url": "https://x/1"}, {"severity": "low", "url": "https://x/2"}
        advisories["answer"] = {"shared": [high, low], "tool": [high]}
        measured = audits.npm_vulnerabilities(project)
        assert measured.value == 1
        assert "shared https://x/1" in measured.detail
        assert "2 bundled packages; 1 high or critical in 2 not bundled" in measured.detail

    def test_a_refusal_is_not_checked(self, project: Project, advisories: dict[str, Any]) -> None:
        advisories["status"] = 405
        with pytest.raises(NotCheckedError, match="advisories/bulk answered 405"):
            audits.npm_vulnerabilities(project)

    def test_what_jupyterlab_brings_is_not_bundled(self) -> None:
        assert audits.bundled_packages(MANIFEST, LOCK) == {"left-pad", "shared"}


class TestFrontEnd:
    """What a browser loads."""

    def test_counts_scripts_and_not_maps_or_licenses(self, tmp_path: Path) -> None:
        wheel = tmp_path / "cell_monitor-1.whl"
        static = "cell_monitor-1.data/data/share/jupyter/labextensions/cell-monitor/static/"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"{static}remoteEntry.js", "x" * 150_000)
            archive.writestr(f"{static}style.js", "y" * 51_000)
            archive.writestr(f"{static}remoteEntry.js.map", "z" * 500_000)
            archive.writestr(f"{static}third-party-licenses.json", "z" * 500_000)
            archive.writestr("cell_monitor/app.py", "z" * 500_000)
        assert bundle_size(wheel).value == 201
        assert 0 < compressed_bundle_size(wheel).value < 1

    def test_a_wheel_without_a_front_end_is_broken(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.whl", "w"):
            pass
        with pytest.raises(MeasurementError, match="has no front end"):
            bundle_size(tmp_path / "a.whl")

    def test_the_time_is_what_was_noted(self, tmp_path: Path) -> None:
        (tmp_path / "build.json").write_text('{"seconds": 120.04}')
        assert build_time(tmp_path / "build.json").value == 120.0


class TestDocumentation:
    """What has a comment."""

    def test_python_asks_for_the_docstrings_of_what_is_public(self, tmp_path: Path) -> None:
        package = tmp_path / "pkg"
        package.mkdir()
        (package / "__init__.py").write_text('"""Doc."""')
        (package / "_private.py").write_text("def f(): ...")
        (package / "a.py").write_text(
            "class A:\n    '''Doc.'''\n    def m(self): ...\n    def _p(self): ...\n"
            "def f():\n    '''Doc.'''\n    def g(): ..."
        )
        declarations = dict(python_declarations(package))
        assert declarations == {"pkg": True, "pkg.a": False, "pkg.a.A": True, "pkg.a.A.m": False, "pkg.a.f": True}

    def test_the_lower_of_both_languages_counts(self, project: Project) -> None:
        (project.extension / "node_modules").symlink_to(ROOT / "files/extension/node_modules")
        (project.extension / "tsconfig.json").write_text('{"include": ["src"]}')
        (project.extension / "src").mkdir()
        (project.extension / "src/a.ts").write_text(
            "/** Doc. */\nexport interface I {\n  /** Doc. */\n  m(): void;\n}\n"
            "/** Doc. */\nexport class C implements I {\n  m(): void {}\n  private p(): void {}\n}\n"
            "export const bare = 1;\nconst hidden = 1;\n"
        )
        (project.extension / "src/b.ts").write_text("export { bare } from './a';\n")
        for package in (project.extension / "cell_monitor", project.event_server / "src/event_server"):
            package.mkdir(parents=True)
            (package / "__init__.py").write_text('"""Doc."""')
        measured = api_documentation_coverage(project)
        assert measured.value == 75
        assert measured.detail == "TypeScript 75.0 %, Python 100.0 %; without: a.ts:bare"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("## [1.2.0]\n", True),
        ("## [1.2.0] - 2026-11-24\n", True),
        ("## [1.2.0-rc1]\n", False),
        ("## [11.2.0]\n", False),
        ("See 1.2.0.\n", False),
    ],
)
def test_the_changelog_has_a_heading_for_the_version(tmp_path: Path, text: str, named: bool) -> None:
    (tmp_path / "CHANGELOG.md").write_text(text)
    assert changelog_updated(tmp_path / "CHANGELOG.md", "1.2.0").value is named


def test_almost_is_not_enough() -> None:
    assert [floor(share) for share in (84.99, 85.0, 100 * 17 / 20)] == [84.9, 85.0, 85.0]
