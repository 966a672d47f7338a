"""The filter that hashes passwords: what it returns is what the servers verify."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from jupyter_server.auth.security import passwd_check

PLUGIN = Path(__file__).parents[2] / "plugins" / "filter" / "argon2.py"
SALT = "0123456789abcdef"


@pytest.fixture(scope="module")
def argon2id() -> Callable[..., str]:
    # By its path: the file has the name of the package that it imports.
    spec = importlib.util.spec_from_file_location("cell_monitor_argon2_filter", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    filters: dict[str, Callable[..., str]] = module.FilterModule().filters()
    return filters["cell_monitor_argon2id"]


@pytest.mark.parametrize("password", ["correct horse", "パスワード", "x" * 200, " ", "$argon2id$"])
def test_servers_accept_the_hash(argon2id: Callable[..., str], password: str) -> None:
    encoded = argon2id(password, SALT)
    assert encoded.startswith("$argon2id$v=19$m=")
    assert PasswordHasher().verify(encoded, password)
    assert not PasswordHasher().check_needs_rehash(encoded)
    assert passwd_check(f"argon2:{encoded}", password)  # type: ignore[no-untyped-call]
    with pytest.raises(VerifyMismatchError):
        PasswordHasher().verify(encoded, password + "x")


def test_same_input_same_hash_other_salt_other_hash(argon2id: Callable[..., str]) -> None:
    assert argon2id("secret", SALT) == argon2id("secret", SALT)
    assert argon2id("secret", SALT) != argon2id("secret", SALT[::-1])


@pytest.mark.parametrize(
    ("password", "salt", "message"),
    [
        ("hunter2", "short", "salt has 5 characters"),
        ("hunter2", 1234567890123456, "salt is of type int"),
        (["hunter2"], SALT, "password is of type list"),
        ("", SALT, "password is empty"),
    ],
)
def test_refusals_name_what_is_wrong_and_keep_the_password(
    argon2id: Callable[..., str], password: object, salt: object, message: str
) -> None:
    with pytest.raises(AnsibleFilterError, match=message) as refusal:
        argon2id(password, salt)
    assert "hunter2" not in str(refusal.value)
