"""A Jinja2 filter that hashes passwords for programs that know bcrypt, such as nginx and Prometheus."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import bcrypt
from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: cell_monitor_bcrypt
short_description: Hash a password with bcrypt
version_added: 1.2.0
author: Cell Monitor project
description:
  - Returns the bcrypt hash of a password, as nginx's V(auth_basic_user_file) and Prometheus' web configuration take it.
  - The same password and salt always give the same string, so that a play that runs again changes nothing.
  - Both programs compute the hash anew for every request, in a thread that others wait for; so it is made to take a few
    milliseconds, and has to be one of a long password.
requirements:
  - bcrypt on the controller
positional: salt
options:
  _input:
    description: The password, 12 to 72 bytes.
    type: str
    required: true
  salt:
    description:
      - At least 16 characters, different for each password.
      - To be generated at random and kept as long as the password.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Let somebody in
  ansible.builtin.copy:
    content: "{{ name }}:{{ password | cell_monitor_bcrypt(salt) }}\n"
    dest: /etc/nginx/htpasswd
    mode: "0640"
  no_log: true
"""

RETURN = r"""
_value:
  description: The encoded hash, as in C($2b$06$...).
  type: str
"""

MINIMUM_PASSWORD_LENGTH = 12
MAXIMUM_PASSWORD_LENGTH = 72
MINIMUM_SALT_LENGTH = 16
ROUNDS = 6


def cell_monitor_bcrypt(password: object, salt: object) -> str:
    """Hash a password with bcrypt.

    Args:
        password: 12 to 72 bytes of UTF-8; bcrypt does not see more.
        salt: At least 16 characters; bcrypt's own salt is made of it.

    Returns:
        The encoded hash.

    Raises:
        AnsibleFilterError: The password or the salt is not a string, or of a wrong length. The message holds neither.
    """
    if not isinstance(password, str) or not isinstance(salt, str):
        raise AnsibleFilterError("cell_monitor_bcrypt: the password and the salt must be strings")
    encoded = password.encode()
    if not MINIMUM_PASSWORD_LENGTH <= len(encoded) <= MAXIMUM_PASSWORD_LENGTH:
        raise AnsibleFilterError(
            f"cell_monitor_bcrypt: the password has {len(encoded)} bytes, it must have"
            f" {MINIMUM_PASSWORD_LENGTH} to {MAXIMUM_PASSWORD_LENGTH}"
        )
    if len(salt) < MINIMUM_SALT_LENGTH:
        raise AnsibleFilterError(
            f"cell_monitor_bcrypt: salt has {len(salt)} characters, it must have at least {MINIMUM_SALT_LENGTH}"
        )
    return bcrypt.hashpw(encoded, _salt(salt)).decode("ascii")


def _salt(text: str) -> bytes:
    """The 16 bytes that bcrypt wants, in its own alphabet."""
    alphabet = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    digest = hashlib.sha256(text.encode()).digest()
    # Of the last of its 22 digits only two bits count; the others have to be 0.
    digits = bytes(alphabet[value % 64] for value in digest[:21]) + alphabet[digest[21] % 4 * 16 :][:1]
    return b"$2b$%02d$%b" % (ROUNDS, digits)


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Name the filters of this file."""
        return {"cell_monitor_bcrypt": cell_monitor_bcrypt}
