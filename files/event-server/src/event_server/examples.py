"""An example of every request and answer, for the description of the interface."""

from typing import Any

from event_server.ingest import PATH as EVENTS

_EVENT = {
    "eventId": "0193536b-8d2e-7c11-a7a4-54f4b2c0d9e1",
    "eventType": "cell_executed",
    "eventTime": "2026-11-24T01:30:00.000Z",
    "emailAddress": "taro@example.jp",
    "userName": "太郎",
    "teamName": "チームA",
    "sessionId": "11111111-1111-4111-8111-111111111111",
    "notebookPath": "lesson/1.ipynb",
    "cellId": "c1",
    "cellIndex": 0,
    "cellType": "code",
    "code": "print(1/0)",
    "executionCount": 1,
    "hasError": True,
    "errorMessage": "ZeroDivisionError: division by zero",
    "result": "",
    "executionDurationMs": 12,
}
_RECEIPT = {
    "message": "1 of 2 events accepted",
    "batch_stats": {
        "batch_id": "5d1c5a3e-6a54-4a5a-9a38-0d8f7f6f1f2b",
        "total_events": 2,
        "successful_events": 1,
        "duplicate_events": 0,
        "failed_events": [{"index": 1, "reason": "Object missing required field `eventType`", "event": {}}],
        "event_types": {"cell_executed": 1},
        "processing_time_ms": 2.5,
        "dismissed_help": [],
    },
}
_STUDENT = {
    "emailAddress": "taro@example.jp",
    "userName": "太郎",
    "teamName": "チームA",
    "currentNotebook": "lesson/1.ipynb",
    "lastActivity": "2026-11-24T01:30:00.000Z",
    "status": "error",
    "isRequestingHelp": False,
    "cellExecutions": 1,
    "errorCount": 1,
    "consecutiveErrorCount": 1,
    "hasSignificantError": False,
}
_OVERVIEW = {
    "students": [_STUDENT],
    "metrics": {
        "totalStudents": 1,
        "totalActive": 1,
        "errorCount": 1,
        "significantErrorCount": 0,
        "totalExecutions": 1,
        "helpCount": 0,
    },
    "activityChart": [{"time": "2026-11-24T01:30:00.000Z", "executionCount": 1, "errorCount": 1, "helpCount": 0}],
}
_LEFT_OUT = ("eventType", "emailAddress", "userName", "teamName")
_ACTIVITY = {
    "student": _STUDENT,
    "recentExecutions": [{key: value for key, value in _EVENT.items() if key not in _LEFT_OUT}],
    "sessions": [
        {
            "sessionId": _EVENT["sessionId"],
            "startedAt": "2026-11-24T01:20:00.000Z",
            "lastActivity": "2026-11-24T01:30:00.000Z",
            "notebookPath": "lesson/1.ipynb",
            "cellExecutions": 1,
            "errorCount": 1,
        }
    ],
}


def _health(status: str, message: str) -> dict[str, Any]:
    return {
        "status": status,
        "release": "1.2.0-1a2b3c4d",
        "version": "1.2.0",
        "timestamp": "2026-11-24T01:30:00.000Z",
        "services": {"store": {"status": status, "message": message, "response_time_ms": 1.2}},
        "details": {"uptime_seconds": 3600.0, "queued_events": 0},
    }


def _outcome(message: str) -> dict[str, Any]:
    return {"success": True, "message": message, "emailAddress": "taro@example.jp"}


_HEALTH = {
    "200": _health("healthy", "written and read back"),
    "503": _health("unhealthy", "unable to open database file"),
}
_DASHBOARD = "/api/v1/dashboard"
_STUDENTS = _DASHBOARD + "/students/{email}"

REQUESTS: dict[str, Any] = {EVENTS: [_EVENT]}
"""An example of a body, by path."""

ANSWERS: dict[str, dict[str, Any]] = {
    EVENTS: {
        "202": _RECEIPT,
        "401": {"detail": "a writer's token is needed"},
        "403": {"detail": "events are not taken from this origin"},
        "413": {"detail": "201 events in one request; at most 200"},
        "422": {"detail": "the body is not a JSON array of events"},
        "503": {"detail": "the events are not stored; send them again"},
    },
    "/health": _HEALTH,
    "/api/v1/health": _HEALTH,
    "/api/v1/health/live": {"200": {"status": "alive"}},
    "/api/v1/health/ready": {"200": {"status": "ready"}, "503": {"status": "not ready"}},
    "/api/v1/health/simple": {"200": {"status": "ok"}},
    _DASHBOARD + "/overview": {"200": _OVERVIEW},
    _STUDENTS + "/activity": {"200": _ACTIVITY},
    _STUDENTS + "/dismiss-help": {"200": _outcome("The request for help is dismissed.")},
    _STUDENTS + "/resolve-error": {"200": _outcome("The errors are resolved.")},
}
"""Examples of answers in JSON, by path and status."""

_OF_ALL = {
    "401": {"detail": "an instructor's login is needed"},
    "403": {"detail": "send it from the dashboard's own page, or as application/json"},
    "404": {"detail": "unknown student"},
    "422": {
        "detail": [
            {
                "type": "literal_error",
                "loc": ["query", "time_range"],
                "msg": "Input should be '1h', '24h' or '7d'",
                "input": "1y",
            }
        ]
    },
    "429": {"detail": "too many wrong passwords; try again in 30 s"},
    "503": {"detail": "the store cannot be used now"},
}
_EMAIL = "taro@example.jp"


def add_examples(document: dict[str, Any]) -> None:
    """Puts the examples into a description of the interface."""
    for path, item in document["paths"].items():
        for operation in item.values():
            _add_to_operation(path, operation)


def _add_to_operation(path: str, operation: dict[str, Any]) -> None:
    if path in REQUESTS:
        operation["requestBody"]["content"]["application/json"]["example"] = REQUESTS[path]
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == "email":
            parameter["example"] = _EMAIL
    examples = _OF_ALL | ANSWERS.get(path, {})
    for status, answer in operation["responses"].items():
        content = answer.setdefault("content", {})
        if status in examples and (not content or "application/json" in content):
            content.setdefault("application/json", {})["example"] = examples[status]
