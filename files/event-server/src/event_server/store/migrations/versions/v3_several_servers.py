"""What servers that share a database tell each other: who has logged out, and that something was deleted."""

import sqlalchemy as sa
from alembic import op
from event_server.store.migrations.types import INTEGER, KEY, row_id

revision = "3"
down_revision = "2"


def upgrade() -> None:
    """Takes the step."""
    op.create_table(
        "ended_sessions",
        row_id(),
        sa.Column("session_id", KEY, nullable=False),
        sa.Column("ends_at", INTEGER, nullable=False),
    )
    op.create_table("deletions", sa.Column("number", INTEGER, nullable=False))
    op.execute("INSERT INTO deletions VALUES (0)")
