import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Used from the roles, without an installation.
for role in ("backup", "bundle", "host_program", "incident", "jobs", "maintenance", "quality_gates", "release"):
    sys.path.insert(0, str(Path(__file__).parents[2] / "roles" / role / "files"))

# The event server's tests make a PostgreSQL for themselves, and these use it.
for folder in ("src", "tests"):
    sys.path.append(str(Path(__file__).parents[2] / "files/event-server" / folder))

from release_host import Host, use  # noqa: E402


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host that runs release A with the configuration ``a`` as its first generation; B is installed."""
    host = Host(tmp_path)
    use(host, monkeypatch)
    host.install("A")
    host.deploy("A", "a")
    host.install("B")
    yield host
    host.close()
