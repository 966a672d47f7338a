"""Each role's argument_specs.yml agrees with its defaults, and its variables carry its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).parents[2] / "roles"


def load(path: Path) -> Any:
    """Content of a YAML file, empty when there is none."""
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


@pytest.mark.parametrize("role", sorted(path.name for path in ROLES.iterdir()))
class TestRole:
    """The checks, for every role that there is."""

    def test_every_default_is_specified_and_every_specification_true(self, role: str) -> None:
        defaults = load(ROLES / role / "defaults" / "main.yml")
        specs = load(ROLES / role / "meta" / "argument_specs.yml")["argument_specs"].values()
        options = {name: option for spec in specs for name, option in spec["options"].items()}
        optional = {name: option.get("default") for name, option in options.items() if not option.get("required")}
        assert optional == defaults

    def test_every_option_is_described(self, role: str) -> None:
        for spec in load(ROLES / role / "meta" / "argument_specs.yml")["argument_specs"].values():
            assert spec["short_description"]
            for name, option in spec["options"].items():
                assert option["description"], name
                assert option["type"] in {"str", "int", "float", "bool", "list", "dict", "path"}, name
                assert option["type"] != "list" or "elements" in option, name

    def test_variables_carry_the_roles_name(self, role: str) -> None:
        assert all(name.startswith(f"{role}_") for name in load(ROLES / role / "defaults" / "main.yml"))
        assert all(name.startswith(f"__{role}_") for name in load(ROLES / role / "vars" / "main.yml"))

    def test_every_default_has_a_comment(self, role: str) -> None:
        blocks = (
            (ROLES / role / "defaults" / "main.yml").read_text(encoding="utf-8").removeprefix("---\n").split("\n\n")
        )
        assert [block for block in blocks if block.strip() and not block.lstrip().startswith("#")] == []
