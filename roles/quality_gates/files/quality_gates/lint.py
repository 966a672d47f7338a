"""eslint and the TypeScript compiler."""

import json
import re
from pathlib import Path

from quality_gates.project import Project
from quality_gates.results import Measured, MeasurementError

TIMEOUT_SECONDS = 300


def eslint_violations(project: Project) -> Measured:
    """How many errors and warnings eslint has."""

    def measure() -> Measured:
        command = ["jlpm", "eslint:check", "--format", "json"]
        ended = project.run("eslint", command, project.extension, timeout=TIMEOUT_SECONDS)
        try:
            files = json.loads(ended.stdout)
        except ValueError:
            raise MeasurementError(f"eslint broke off; see {project.log('eslint')}") from None
        found = [
            f"{Path(file['filePath']).relative_to(project.extension)}:{violation.get('line', 1)} "
            f"{violation['ruleId'] or violation['message']}"
            for file in files
            for violation in file["messages"]
        ]
        return Measured(len(found), found[0] if found else f"{len(files)} files")

    return project.remembered("eslint", [project.extension], measure)


def typescript_errors(project: Project) -> Measured:
    """How many errors the compiler has, in the sources and in their tests."""

    def measure() -> Measured:
        command = ["jlpm", "types:check", "--pretty", "false"]
        ended = project.run("typescript", command, project.extension, timeout=TIMEOUT_SECONDS)
        errors = re.findall(r".*error TS\d+: .*", ended.stdout)
        if ended.returncode and not errors:
            raise MeasurementError(f"the TypeScript compiler broke off; see {project.log('typescript')}")
        return Measured(len(errors), errors[0] if errors else "sources and tests")

    return project.remembered("typescript", [project.extension], measure)
