"""What runs here, how it is, and how it came to that."""

from cell_monitor_release import drift, health, systemd
from cell_monitor_release.model import Generation, Json, Part
from cell_monitor_release.state import State

_LINES = 5


def status(state: State, *, thorough: bool = False) -> Json:
    """Returns all that an administrator wants to know of a host at once."""
    current = state.generation(state.number)
    progress = state.progress
    return {
        "current": _described(current) if current else None,
        "parts": [_part(part) for part in current.parts] if current else [],
        "drift": drift.differences(current, thorough=thorough) if current and not progress else [],
        "in_progress": {"verb": progress.verb, "who": progress.who, "to": progress.target.label} if progress else None,
        "bad": state.bad,
        "history": state.history()[-_LINES:],
    }


def _described(generation: Generation) -> Json:
    return {
        "generation": generation.number,
        "bundle": generation.bundle,
        "version": generation.version,
        "commit": generation.commit,
        "when": generation.when,
        "who": generation.who,
    }


def _part(part: Part) -> Json:
    service = systemd.show(part.unit) if part.unit else None
    told: Json = {"name": part.name, "release": part.release, "service": service.state if service else None}
    if part.health_url:
        code, answer = health.ask(part.health_url)
        told["health"] = health.fault(code, answer, part.release if part.tells_release else None) or "healthy"
        told["version"] = answer.get("version") if isinstance(answer, dict) else None
    elif service:
        told["health"] = "healthy" if service.active else service.state
    return told
