"""Types of columns that both databases have in a way of their own."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# What SQLite has no type for.
FLAG = sa.Boolean().with_variant(sa.Integer(), "sqlite")
# Compared as bytes: an index of a language's order would be slower to keep, and depends on the system's library.
KEY = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def row_id() -> sa.Column[int]:
    """Returns the column that numbers the rows of a table in the order in which they came."""
    return sa.Column("id", INTEGER, sa.Identity(always=True), primary_key=True)
