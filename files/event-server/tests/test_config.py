import ipaddress
from pathlib import Path

import pytest
from event_server.auth import Instructors
from event_server.cli import main
from event_server.config import ConfigError, load_config
from event_server.secret_files import read_secrets

GOOD = """
host = "::1"
port = 8001
database_path = "/var/lib/event-server/events.sqlite3"
tokenless_networks = ["192.168.10.0/24", "fd00::/8"]
cors_origins = ["https://lab.example.jp", "http://localhost:*", "*"]

[limits]
max_body_bytes = 1048576
"""


def test_a_good_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    config = load_config(path)
    assert config.tokenless_networks[0] == ipaddress.ip_network("192.168.10.0/24")
    assert config.limits.max_body_bytes == 2**20
    assert config.classroom.significant_errors == 3
    assert main(["check-config", str(path)]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("port = 80", "port is 80; it has to be a number from 1024 to 65535."),
        ('port = "http"', 'port is "http"; it has to be a number from 1024 to 65535.'),
        ("port = true", "port is true; it has to be a number from 1024 to 65535."),
        ('host = "lab"', 'host is "lab"; it has to be an IP address.'),
        ('log_level = "loud"', 'log_level is "loud"; it has to be debug, info, warning or error.'),
        ('cors_origins = ["lab.example"]', 'cors_origins is "lab.example"; it has to be a list of origins'),
        ('tokenless_networks = ["10.0.0.1/8"]', 'tokenless_networks is "10.0.0.1/8"; it has to be a list of networks'),
        ("retention_days = 6", "retention_days is 6; it has to be 0, which keeps events for ever, or a number of days"),
        ('writers_file = "w"', 'writers_file is "w"; it has to be an absolute path.'),
        ("prot = 1", "prot is not a known key; allowed here are host, port,"),
        ("[limits]\nmax_body_bytes = 1", "limits.max_body_bytes is 1; it has to be a number of bytes from 65536"),
        ("[limits]\nbody = 1", "limits.body is not a known key; allowed here are max_body_bytes,"),
        ("limits = 1", "limits is 1; it has to be a table."),
        ("port", "cannot be read as TOML"),
    ],
)
def test_a_bad_one(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text('database_path = "/x"\n' + text)
    assert main(["check-config", str(path)]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.toml").touch()
    assert main(["check-config", str(tmp_path / "empty.toml")]) == 1
    assert capsys.readouterr().err == "database_path is missing; it has to be an absolute path.\n"
    assert main(["check-config", str(tmp_path / "none.toml")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_secrets_come_from_the_service_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    assert load_config(path).credential("writers") is None
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/event-server.service")
    assert load_config(path).credential("writers") == Path("/run/credentials/event-server.service/writers")
    path.write_text(f'instructors_file = "{tmp_path}/instructors"\n' + GOOD)
    assert load_config(path).credential("instructors") == tmp_path / "instructors"


@pytest.mark.parametrize("line", ["name", "name:", ":hash"])
def test_bad_files_of_secrets(tmp_path: Path, line: str) -> None:
    path = tmp_path / "writers"
    path.write_text(line)
    with pytest.raises(ConfigError, match=r"Line 1 of"):
        read_secrets(path)
    path.write_text("a:1\na:2")
    with pytest.raises(ConfigError, match=r"a is in .* twice"):
        read_secrets(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_secrets(path)


def test_comments_and_empty_lines_are_no_secrets(tmp_path: Path) -> None:
    path = tmp_path / "writers"
    path.write_text("# who\n\na:1\n")
    assert read_secrets(path) == {"a": "1"}


def test_hashes_of_another_kind() -> None:
    for digest in ("secret", "$2b$12$abc", "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA"):
        with pytest.raises(ConfigError, match="instructor teacher"):
            Instructors({"teacher": digest})
