"""The usual way to take events: FastAPI, Pydantic models, SQLAlchemy's ORM and a commit for each request.

As durable as ours (SQLite with a write-ahead log and ``synchronous=FULL``), the same fields and indexes, and spared
what ours has to do besides: no token is checked, no overview is kept up to date. Duplicates cost only who sends them.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from event_server.config import Config
from fastapi import Depends, FastAPI
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from sqlalchemy import JSON, Index, create_engine, event
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker


class EventIn(BaseModel):
    """An event as a client sends it."""

    model_config = ConfigDict(alias_generator=to_camel)

    event_id: Annotated[str, Field(min_length=1, max_length=128)]
    event_type: Annotated[str, Field(min_length=1, max_length=64)]
    event_time: datetime
    email_address: Annotated[str, Field(min_length=1, max_length=320)]
    user_name: str | None = None
    team_name: str | None = None
    session_id: str | None = None
    notebook_path: str | None = None
    cell_id: str | None = None
    cell_index: int | None = None
    cell_type: str | None = None
    code: str | None = None
    execution_count: int | None = None
    has_error: bool | None = None
    error_message: str | None = None
    result: str | None = None
    execution_duration_ms: int | None = None
    metadata: dict[str, Any] | None = None


class _Base(DeclarativeBase):
    pass


class Event(_Base):
    """A row."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(unique=True)
    event_type: Mapped[str]
    event_time: Mapped[datetime]
    received_at: Mapped[datetime]
    occurred_at: Mapped[datetime]
    email_address: Mapped[str]
    user_name: Mapped[str | None]
    team_name: Mapped[str | None]
    session_id: Mapped[str | None]
    notebook_path: Mapped[str | None]
    cell_id: Mapped[str | None]
    cell_index: Mapped[int | None]
    cell_type: Mapped[str | None]
    code: Mapped[str | None]
    execution_count: Mapped[int | None]
    has_error: Mapped[bool | None]
    error_message: Mapped[str | None]
    result: Mapped[str | None]
    execution_duration_ms: Mapped[int | None]
    extra: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSON)

    __table_args__ = (Index("events_by_time", "occurred_at", "event_type", "email_address"),)


def make_app(config: Config) -> FastAPI:
    """Builds the application."""
    engine = create_engine(f"sqlite:///{config.database_path}", connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _: object) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    _Base.metadata.create_all(engine)
    make_session = sessionmaker(engine)

    def session() -> Iterator[Session]:
        with make_session() as opened:
            yield opened

    app = FastAPI()

    @app.post("/api/v1/events", status_code=202)
    def store(events: list[EventIn], session: Annotated[Session, Depends(session)]) -> dict[str, int]:
        received_at = datetime.now(UTC)
        rows = [_row(event, received_at) for event in events]
        try:
            session.add_all(rows)
            session.commit()
        except IntegrityError:
            session.rollback()
            for row in (_row(event, received_at) for event in events):
                _add_new(session, row)
        return {"accepted": len(events)}

    return app


def _row(event: EventIn, received_at: datetime) -> Event:
    fields = event.model_dump()
    extra = fields.pop("metadata")
    return Event(**fields, extra=extra, received_at=received_at, occurred_at=min(event.event_time, received_at))


def _add_new(session: Session, row: Event) -> None:
    try:
        session.add(row)
        session.commit()
    except IntegrityError:
        session.rollback()
