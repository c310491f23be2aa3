"""A host on the loopback interface whose files behave as badly as a test wants."""

import http.server
import re
import socket
import threading
from dataclasses import dataclass, field


@dataclass
class Served:
    """One file of a host, and its manners.

    ``cuts`` are the numbers of bytes after which the next connections end, ``status`` what
    requests are answered with instead of the file, ``stalls_after`` the bytes after which nothing
    more is sent.
    """

    body: bytes
    content_type: str = "application/octet-stream"
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    status: int | None = None
    stalls_after: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Host:
    """Serves files while the block runs.

    ``asked`` lists the requests, path and range; ``stalled`` is set when a file has stalled.
    """

    def __init__(self):
        self.files: dict[str, Served] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.stalled, self.released = threading.Event(), threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self):
        return f"http://127.0.0.1:{self._server.server_port}"

    def serve(self, path, body, **manners):
        """Serve ``body`` at ``path`` and return its address."""
        self.files[path] = Served(body, **manners)
        return f"{self.address}{path}"

    def ranges(self, path):
        """Return the ranges that the requests for ``path`` asked for."""
        return [asked for name, asked in self.asked if name == path]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.host = host

    def handle_error(self, request, client_address):
        """Ignore clients that go away: tests make them do so."""


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers a request in the manners of the file that it is for."""

    server: _Server

    def do_GET(self):
        """Send the file, or what its manners have instead."""
        host = self.server.host
        host.asked.append((self.path, self.headers.get("Range")))
        served = host.files.get(self.path)
        if served is None or served.status:
            self.send_error(served.status if served else 404)
            return
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(match[1]) if match and served.ranges else None
        whole, body = len(served.body), served.body[first or 0 :]
        self.send_response(200 if first is None else 206)
        self.send_header("Content-Type", served.content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in served.headers.items():
            self.send_header(name, value)
        if first is not None:
            self.send_header("Content-Range", f"bytes {first}-{whole - 1}/{whole}")
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(served, body)

    do_HEAD = do_GET

    def _send_body(self, served, body):
        if served.cuts:
            self.wfile.write(body[: served.cuts.pop(0)])
            self.connection.shutdown(socket.SHUT_RDWR)
        elif served.stalls_after is not None:
            self.wfile.write(body[: served.stalls_after])
            self.server.host.stalled.set()
            self.server.host.released.wait()
        else:
            self.wfile.write(body)

    def log_message(self, *_):
        """Log nothing."""
