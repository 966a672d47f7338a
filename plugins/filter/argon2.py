"""A Jinja2 filter that hashes the passwords people log in with."""

from __future__ import annotations

from collections.abc import Callable

from ansible.errors import AnsibleFilterError
from argon2 import low_level, profiles

DOCUMENTATION = r"""
name: cell_monitor_argon2id
short_description: Hash a password with argon2id
version_added: 1.2.0
author: Cell Monitor project
description:
  - Returns the encoded argon2id hash of a password, as argon2-cffi's V(PasswordHasher.verify) accepts it.
  - The same password and salt always give the same string, so that a play that runs again changes nothing.
  - The parameters are argon2-cffi's default, the low-memory profile of RFC 9106.
requirements:
  - argon2-cffi on the controller
positional: salt
options:
  _input:
    description: The password, not empty.
    type: str
    required: true
  salt:
    description:
      - At least 16 characters, different for each password.
      - No secret (it is part of the result), but to be generated at random and kept as long as the password.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Keep the hash of a password for jupyter_server
  ansible.builtin.set_fact:
    hashed_password: "{{ 'argon2:' ~ (password | cell_monitor_argon2id(salt)) }}"
  no_log: true
"""

RETURN = r"""
_value:
  description: The encoded hash, as in C($argon2id$v=19$m=65536,t=3,p=4$...).
  type: str
"""

MINIMUM_SALT_LENGTH = 16


def cell_monitor_argon2id(password: object, salt: object) -> str:
    """Hash a password with argon2id in argon2-cffi's default profile.

    Args:
        password: The password; its UTF-8 bytes are hashed.
        salt: At least 16 characters; its UTF-8 bytes are the salt.

    Returns:
        The encoded hash (RFC 9106 parameters, salt and hash in the PHC string format).

    Raises:
        AnsibleFilterError: The password or the salt is not a string, or too short. The message holds neither.
    """
    if not isinstance(password, str):
        raise AnsibleFilterError(
            f"cell_monitor_argon2id: the password is of type {type(password).__name__}, it must be a string"
        )
    if not password:
        raise AnsibleFilterError("cell_monitor_argon2id: the password is empty, it must have at least 1 character")
    if not isinstance(salt, str):
        raise AnsibleFilterError(f"cell_monitor_argon2id: salt is of type {type(salt).__name__}, it must be a string")
    if len(salt) < MINIMUM_SALT_LENGTH:
        raise AnsibleFilterError(
            f"cell_monitor_argon2id: salt has {len(salt)} characters, it must have at least {MINIMUM_SALT_LENGTH}"
        )
    profile = profiles.RFC_9106_LOW_MEMORY
    return low_level.hash_secret(
        password.encode(),
        salt.encode(),
        time_cost=profile.time_cost,
        memory_cost=profile.memory_cost,
        parallelism=profile.parallelism,
        hash_len=profile.hash_len,
        type=profile.type,
        version=profile.version,
    ).decode("ascii")


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Name the filters of this file."""
        return {"cell_monitor_argon2id": cell_monitor_argon2id}
