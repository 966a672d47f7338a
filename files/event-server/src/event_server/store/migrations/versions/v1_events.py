"""The events, and a row to probe the store with."""

import sqlalchemy as sa
from alembic import op
from event_server.store.migrations.types import FLAG, INTEGER, KEY, row_id

revision = "1"
down_revision = None


def upgrade() -> None:
    """Takes the step."""
    op.create_table(
        "schema_version",
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("readable_from", sa.Integer, nullable=False),
    )
    op.create_table(
        "events",
        row_id(),
        sa.Column("event_id", KEY, nullable=False, unique=True),
        sa.Column("event_type", KEY, nullable=False),
        sa.Column("event_time", INTEGER, nullable=False),
        sa.Column("received_at", INTEGER, nullable=False),
        sa.Column("occurred_at", INTEGER, nullable=False),
        sa.Column("email_address", KEY, nullable=False),
        sa.Column("user_name", sa.Text),
        sa.Column("team_name", sa.Text),
        sa.Column("session_id", sa.Text),
        sa.Column("notebook_path", sa.Text),
        sa.Column("cell_id", sa.Text),
        sa.Column("cell_index", INTEGER),
        sa.Column("cell_type", sa.Text),
        sa.Column("execution_count", INTEGER),
        sa.Column("has_error", FLAG),
        sa.Column("execution_duration_ms", INTEGER),
        sa.Column("writer", sa.Text),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("events_occurred_at", "events", ["occurred_at"])
    op.create_table(
        "probe",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
        sa.Column("written_at", INTEGER, nullable=False),
    )
