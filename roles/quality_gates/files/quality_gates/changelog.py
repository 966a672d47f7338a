"""The changelog."""

import re
from pathlib import Path

from quality_gates.results import Measured


def changelog_updated(changelog: Path, version: str) -> Measured:
    """Whether the changelog has a heading for the version."""
    found = re.search(rf"^## \[?{re.escape(version)}\b(?![.-])", changelog.read_text(encoding="utf-8"), re.MULTILINE)
    return Measured(found is not None, f"{version} in {changelog.name}")
