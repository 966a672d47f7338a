"""A service as small as can be: answers health requests by its release, as the release's ``behaviour`` says.

Arguments: the release's folder, the configuration, and where to listen: a port or the path of a socket.
"""

import json
import socket
import sys
from pathlib import Path

release, configuration, where = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
behaviour, config = (release / "behaviour").read_text(), configuration.read_text()
if behaviour == "exits" or config == "refused":
    sys.exit(1)
if where.isdigit():
    listener = socket.create_server(("127.0.0.1", int(where)))
else:
    Path(where).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(where)
    listener.listen()
name = "another" if behaviour == "wrong id" else release.name
status = "503 Service Unavailable" if behaviour == "unhealthy" else "200 OK"
body = json.dumps({"status": status, "release": name, "config": config}).encode()
while True:
    connection, _ = listener.accept()
    connection.recv(65536)
    connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
    connection.close()
