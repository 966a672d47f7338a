"""How much of what others may use is documented where it is declared."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

from quality_gates.project import OWN_SOURCES, Project
from quality_gates.results import Measured, MeasurementError
from quality_gates.suites import floor

TIMEOUT_SECONDS = 120

Declared = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def api_documentation_coverage(project: Project) -> Measured:
    """The lower share, in percent, of the documented declarations in TypeScript and in Python.

    In TypeScript these are what modules export and the public methods of exported classes, in Python public modules,
    classes, functions and methods.
    """

    def measure() -> Measured:
        python = dict(
            declaration
            for package in (
                project.extension / "cell_monitor",
                project.event_server / "src/event_server",
                project.systemd_kernels / "src",
            )
            for declaration in python_declarations(package)
        )
        shares = {"TypeScript": _typescript_declarations(project), "Python": python}
        missing = [
            name for declarations in shares.values() for name, documented in declarations.items() if not documented
        ]
        figures = {language: 100 * sum(found.values()) / len(found) for language, found in shares.items()}
        return Measured(
            floor(min(figures.values())),
            ", ".join(f"{language} {floor(share)} %" for language, share in figures.items())
            + (f"; without: {', '.join(missing[:3])}{', …' if len(missing) > 3 else ''}" if missing else ""),
        )

    return project.remembered(
        "documentation", [project.extension, project.event_server, project.systemd_kernels], measure
    )


def python_declarations(package: Path) -> Iterator[tuple[str, bool]]:
    """The public declarations of a package, and whether each has a docstring."""
    for file in sorted(package.rglob("*.py")):
        name = ".".join(file.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
        if not any(part.startswith("_") and part != "__main__" for part in name.split(".")):
            yield from _declarations(name, ast.parse(file.read_bytes()))


def _declarations(name: str, declared: Declared) -> Iterator[tuple[str, bool]]:
    yield name, ast.get_docstring(declared) is not None
    if isinstance(declared, ast.Module | ast.ClassDef):
        for child in declared.body:
            if isinstance(child, Declared) and not child.name.startswith("_"):
                yield from _declarations(f"{name}.{child.name}", child)


def _typescript_declarations(project: Project) -> dict[str, bool]:
    command = ["node", str(OWN_SOURCES / "exports.mjs"), str(project.extension)]
    ended = project.run("documentation", command, project.extension, timeout=TIMEOUT_SECONDS)
    if ended.returncode:
        raise MeasurementError(f"the TypeScript sources could not be read; see {project.log('documentation')}")
    return dict(json.loads(ended.stdout))
