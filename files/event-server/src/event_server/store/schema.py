"""Which tables this release makes, and which releases can use those that are there."""

from typing import NamedTuple

from event_server.store import SchemaError

# The latest of migrations/versions. Also read by the role bundle, for the manifest.
SCHEMA_VERSION = 3
# Steps only add what an earlier release does not look at, so that one can be rolled back to. A step after which that
# is no longer true raises this to its own number.
READABLE_FROM = 1


class Schema(NamedTuple):
    """A version of the tables, and the earliest release's that can use them; zeros if there are none."""

    version: int
    readable_from: int


def check_schema(found: Schema) -> bool:
    """Returns whether tables are those of this release, or of a later one that it can use.

    Raises:
        SchemaError: a later release has made tables that this one cannot use.
    """
    if not is_readable(found):
        raise SchemaError(
            f"the database has schema {found.version}, which needs a release that knows schema {found.readable_from};"
            f" this one knows schema {SCHEMA_VERSION}"
        )
    return found.version >= SCHEMA_VERSION


def is_readable(found: Schema) -> bool:
    """Tells whether this release can use tables, if need be after adding to them."""
    return found.readable_from <= SCHEMA_VERSION
