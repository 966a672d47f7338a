"""The unit tests, and how much of the code they run."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quality_gates.project import Project
from quality_gates.results import Measured, MeasurementError

TIMEOUT_SECONDS = 900


@dataclass(frozen=True)
class Suite:
    """The unit tests of one part.

    Attributes:
        name: of its log and result.
        title: what is tested, for people.
        folder: the part's folder below the project's root.
        command: runs the tests; `{report}` stands for the file that the coverage goes to.
        report: that file, below the project's root.
        percentage: reads the covered lines, in percent, out of the report.
    """

    name: str
    title: str
    folder: str
    command: tuple[str, ...]
    report: str
    percentage: Callable[[Path], float]

    def run(self, project: Project, *, anew: bool = False, show: bool = False) -> Measured:
        """Runs the tests unless they have passed on the same files; returns the covered lines in percent.

        Args:
            project: the project.
            anew: runs them in any case.
            show: lets them write to the terminal.

        Raises:
            MeasurementError: a test failed.
        """
        folder = project.root / self.folder
        return project.remembered(self.name, [folder], lambda: self._measure(project, folder, show), anew=anew)

    def _measure(self, project: Project, folder: Path, show: bool) -> Measured:
        report = project.root / self.report
        report.unlink(missing_ok=True)
        command = [part.format(report=report) for part in self.command]
        database = str(project.results / f"{self.name}.coverage")
        ended = project.run(self.name, command, folder, timeout=TIMEOUT_SECONDS, show=show, COVERAGE_FILE=database)
        if ended.returncode:
            hint = "" if show else f"; see {project.log(self.name)}"
            raise MeasurementError(f"the unit tests of {self.title} failed{hint}")
        try:
            return Measured(self.percentage(report))
        except (OSError, ValueError, KeyError):
            raise MeasurementError(f"the unit tests of {self.title} left no coverage in {report}") from None


def _of_jest(report: Path) -> float:
    return float(json.loads(report.read_bytes())["total"]["lines"]["pct"])


def _of_coverage_py(report: Path) -> float:
    totals = json.loads(report.read_bytes())["totals"]
    return 100 * float(totals["covered_lines"]) / float(totals["num_statements"])


SUITES = (
    Suite(
        "event-server",
        "the event server",
        "files/event-server",
        ("pytest", "--numprocesses=2", "--dist=worksteal", "--cov", "--cov-report=json:{report}"),
        "build/gates/event-server-coverage.json",
        _of_coverage_py,
    ),
    Suite(
        "extension",
        "the Jupyter server extension",
        "files/extension",
        ("pytest", "--cov=cell_monitor", "--cov-report=json:{report}"),
        "build/gates/extension-coverage.json",
        _of_coverage_py,
    ),
    Suite(
        "front-end",
        "the front end",
        "files/extension",
        ("jlpm", "test", "--coverage", "--coverageReporters=json-summary"),
        "files/extension/coverage/coverage-summary.json",
        _of_jest,
    ),
)


def test_coverage(project: Project) -> Measured:
    """The lowest line coverage, in percent, of the front end, the Jupyter server extension and the event server."""
    # One after the other: tests that wait for each other's processors miss their deadlines.
    shares = {suite.title: suite.run(project).value for suite in SUITES}
    return Measured(
        floor(min(shares.values())), ", ".join(f"{title} {floor(share)} %" for title, share in shares.items())
    )


def floor(percentage: float) -> float:
    """Cuts to one decimal: 84.99 is not yet 85."""
    return int(percentage * 10 + 1e-9) / 10
