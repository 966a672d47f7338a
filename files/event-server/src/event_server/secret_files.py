"""Files of ``name:hash`` lines: who may write, and who may read."""

from pathlib import Path

from event_server.config import ConfigError


def read_secrets(path: Path | None) -> dict[str, str]:
    """Reads the hashes by name; no path is no names.

    Raises:
        ConfigError: the file cannot be read, a line of it is not of that form, or a name comes twice.
    """
    lines = read_lines(path)
    found = dict(lines)
    if len(found) < len(lines):
        names = [name for name, _ in lines]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"{twice} is in {path} twice; each name may have one hash.")
    return found


def read_lines(path: Path | None) -> list[tuple[str, str]]:
    """Reads names and hashes; no path is none.

    Raises:
        ConfigError: the file cannot be read, or a line of it is not of that form.
    """
    if path is None:
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None
    found: list[tuple[str, str]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, digest = line.strip().partition(":")
        if not name or not digest:
            raise ConfigError(f"Line {number} of {path} has to be name:hash.")
        found.append((name, digest))
    return found
