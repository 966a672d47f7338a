"""Command line: `judge` reads gates and prints them with their figures, as JSON; `test` runs the unit tests.

`advisories` asks for known vulnerabilities.
"""

import argparse
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from quality_gates.audits import advisories, npm_vulnerabilities, python_vulnerabilities
from quality_gates.changelog import changelog_updated
from quality_gates.documentation import api_documentation_coverage
from quality_gates.front_end import build_time, bundle_size, compressed_bundle_size
from quality_gates.gates import Gate
from quality_gates.lint import eslint_violations, typescript_errors
from quality_gates.memory import memory_usage
from quality_gates.project import Project
from quality_gates.results import Measured, MeasurementError, NotCheckedError
from quality_gates.suites import SUITES, test_coverage


def main() -> int:
    """Runs a command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="quality_gates", description=__doc__)
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="root of the project")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("test", help="run the unit tests, whether they have passed before or not")
    judge = commands.add_parser("judge", help="measure; figures are known where the files are as they were")
    judge.add_argument("--version", required=True, help="version that is built")
    judge.add_argument("--wheel", type=Path, required=True, help="wheel of the extension")
    judge.add_argument("--groups", type=_names, required=True, help="dependency groups that are bundled")
    judge.add_argument("--skip", type=_names, default=[], help="gates to leave out")
    ask = commands.add_parser("advisories", help="ask for known vulnerabilities of what is bundled")
    ask.add_argument("file", type=Path, help="where to write them, as JSON")
    ask.add_argument("--groups", type=_names, default=["event-server", "jupyterlab", "kernel"])
    options = parser.parse_args()
    project = Project(options.project.resolve())
    if options.command == "advisories":
        new = options.file.with_suffix(".new")
        new.write_text(json.dumps(advisories(project, options.groups), indent=1) + "\n", encoding="utf-8")
        new.replace(options.file)
        return 0
    return run_tests(project) if options.command == "test" else judge_gates(project, options)


def run_tests(project: Project) -> int:
    """Runs the unit tests where they can be watched; returns 1 as soon as one part's fail."""
    for suite in SUITES:
        try:
            share = suite.run(project, anew=True, show=True).value
        except MeasurementError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        print(f"The tests of {suite.title} run {share:.1f} % of its lines.", flush=True)
    return 0


def judge_gates(project: Project, options: argparse.Namespace) -> int:
    """Measures side by side what the gates on standard input are about, and prints them with what came of it."""
    measure = measurements(project, options) | dict.fromkeys(options.skip, _left_out)
    gates = [Gate(**gate) for gate in json.load(sys.stdin)]
    # The tests take the longest; two of the others wait for a network.
    with ThreadPoolExecutor(max_workers=4) as pool:
        begun = [pool.submit(gate.judge, measure[gate.name]) for gate in gates]
    print(json.dumps([judged.result() for judged in begun], ensure_ascii=False))
    return 0


def measurements(project: Project, options: argparse.Namespace) -> dict[str, Callable[[], Measured]]:
    """What is measured, by the names of the gates."""
    return {
        "eslintViolations": lambda: eslint_violations(project),
        "typeScriptErrors": lambda: typescript_errors(project),
        "testCoverage": lambda: test_coverage(project),
        "bundleSize": lambda: bundle_size(options.wheel),
        "bundleSizeGzip": lambda: compressed_bundle_size(options.wheel),
        "buildTime": lambda: build_time(options.wheel.with_name("build.json")),
        "memoryUsage": lambda: memory_usage(project),
        "securityVulnerabilities": lambda: python_vulnerabilities(project, options.groups),
        "dependencyAuditIssues": lambda: npm_vulnerabilities(project),
        "apiDocumentationCoverage": lambda: api_documentation_coverage(project),
        "changelogUpdated": lambda: changelog_updated(project.root / "CHANGELOG.md", options.version),
    }


def _left_out() -> Measured:
    raise NotCheckedError("left out by quality_gates_skip")


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


if __name__ == "__main__":
    sys.exit(main())
