"""eslint and the TypeScript compiler."""

import json
import re
from pathlib import Path
from typing import Any

from quality_gates.project import Project
from quality_gates.results import Measured, MeasurementError

TIMEOUT_SECONDS = 300


def eslint_violations(project: Project) -> Measured:
    """How many errors and warnings eslint has, in the extension and in the instructor's screen."""

    def measure() -> Measured:
        files, found = 0, []
        for name, folder in project.typescript.items():
            for file in _eslint(project, f"eslint-{name}", folder):
                files += 1
                found += [
                    f"{Path(file['filePath']).relative_to(folder)}:{violation.get('line', 1)} "
                    f"{violation['ruleId'] or violation['message']}"
                    for violation in file["messages"]
                ]
        return Measured(len(found), found[0] if found else f"{files} files")

    return project.remembered("eslint", [*project.typescript.values()], measure)


def typescript_errors(project: Project) -> Measured:
    """How many errors the compiler has, in the sources and in their tests."""

    def measure() -> Measured:
        errors = [
            error
            for name, folder in project.typescript.items()
            for error in _compile(project, f"typescript-{name}", folder)
        ]
        return Measured(len(errors), errors[0] if errors else "sources and tests")

    return project.remembered("typescript", [*project.typescript.values()], measure)


def _eslint(project: Project, log: str, folder: Path) -> list[dict[str, Any]]:
    ended = project.run(log, ["jlpm", "eslint:check", "--format", "json"], folder, timeout=TIMEOUT_SECONDS)
    try:
        files: list[dict[str, Any]] = json.loads(ended.stdout)
    except ValueError:
        raise MeasurementError(f"eslint broke off; see {project.log(log)}") from None
    return files


def _compile(project: Project, log: str, folder: Path) -> list[str]:
    ended = project.run(log, ["jlpm", "types:check", "--pretty", "false"], folder, timeout=TIMEOUT_SECONDS)
    errors = re.findall(r".*error TS\d+: .*", ended.stdout)
    if ended.returncode and not errors:
        raise MeasurementError(f"the TypeScript compiler broke off; see {project.log(log)}")
    return errors
