"""The hashes that nginx and Alertmanager compare passwords with."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import bcrypt
import pytest
from ansible.errors import AnsibleFilterError

PLUGIN = Path(__file__).parents[2] / "plugins" / "filter" / "bcrypt.py"
PASSWORD = "correct horse 正しい"
SALT = "abcdefghijklmnopqrstuv"


@pytest.fixture(scope="module")
def plugin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bcrypt_filter", PLUGIN)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_hash_is_of_the_password_alone(plugin: ModuleType) -> None:
    digest = plugin.cell_monitor_bcrypt(PASSWORD, SALT)
    assert digest.startswith("$2b$")
    assert bcrypt.checkpw(PASSWORD.encode(), digest.encode())
    assert not bcrypt.checkpw(b"another password", digest.encode())


def test_the_same_salt_makes_the_same_hash_and_another_another(plugin: ModuleType) -> None:
    digests = {plugin.cell_monitor_bcrypt(PASSWORD, salt) for salt in (SALT, SALT, SALT[::-1])}
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("password", "salt", "reason"),
    [
        ("short", SALT, "12 to 72"),
        ("x" * 73, SALT, "12 to 72"),
        (PASSWORD, "short", "at least 16"),
        (None, SALT, "strings"),
        (PASSWORD, 1, "strings"),
    ],
)
def test_what_cannot_be_hashed_is_refused(plugin: ModuleType, password: object, salt: object, reason: str) -> None:
    with pytest.raises(AnsibleFilterError, match=reason) as refusal:
        plugin.cell_monitor_bcrypt(password, salt)
    assert str(password) not in str(refusal.value) or password is None
