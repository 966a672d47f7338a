"""The files of the instructor's screen, as the build puts them beside this module."""

import hashlib
import mimetypes
from pathlib import Path

from starlette.responses import PlainTextResponse, Response

STATIC = Path(__file__).parent / "static"

_POLICY = "; ".join(
    [
        "default-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "object-src 'none'",
        # No script can make HTML out of text, by mistake or otherwise.
        "require-trusted-types-for 'script'",
    ]
)
_TYPES = {".js": "text/javascript", ".html": "text/html", ".css": "text/css", ".svg": "image/svg+xml"}


def page_headers() -> dict[str, str]:
    """Returns the headers that every page and file of the screen is sent with."""
    return {
        "Cache-Control": "no-store",
        "Content-Security-Policy": _POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }


class ScreenFiles:
    """The files, held in memory: they are few and small."""

    def __init__(self, folder: Path = STATIC) -> None:
        """Reads the files of a folder; without one, every answer says that the screen was not built."""
        self._files = {
            path.relative_to(folder).as_posix(): (content := path.read_bytes(), _etag(content))
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def answer(self, name: str, if_none_match: str | None = None) -> Response:
        """Returns a file, 304 if the browser has it, or 404."""
        if not self._files:
            return PlainTextResponse("The screen is missing from this build of the event server.", 503)
        if name not in self._files:
            return PlainTextResponse("Not found", 404)
        content, etag = self._files[name]
        # Asked for anew each time, so that a page never mixes the files of two releases.
        headers = page_headers() | {"Cache-Control": "no-cache", "ETag": etag}
        if if_none_match is not None and etag in if_none_match:
            return Response(status_code=304, headers=headers)
        return Response(content, 200, headers, _media_type(name))


def _etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def _media_type(name: str) -> str:
    media_type = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type
