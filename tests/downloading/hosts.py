"""A host on the loopback interface whose files behave as badly as a test wants."""

from __future__ import annotations

import http.server
import re
import socket
import struct
import threading
from dataclasses import dataclass, field


@dataclass
class Served:
    """One file of a host, and its manners.

    ``cuts`` are the numbers of bytes after which the next connections end, ``statuses`` what the
    next requests are answered with instead of the file.
    """

    body: bytes
    content_type: str = "application/octet-stream"
    ranges: bool = True
    etag: str | None = '"1"'
    announces_length: bool = True
    cuts: list[int] = field(default_factory=list)
    resets: bool = False
    statuses: list[int] = field(default_factory=list)
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
        """Say nothing of clients that go away: tests make them do so."""


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers a request in the manners of the file that it is for."""

    server: _Server

    def do_HEAD(self):
        """Send the headers of the file."""
        self._answer(head=True)

    def do_GET(self):
        """Send the file, or what its manners have instead."""
        self.server.host.asked.append((self.path, self.headers.get("Range")))
        self._answer(head=False)

    def _answer(self, *, head):
        served = self.server.host.files.get(self.path)
        if served is None:
            self.send_error(404)
        elif served.statuses:
            self.send_error(served.statuses.pop(0))
        else:
            self._send(served, head)

    def _send(self, served, head):
        first = self._first_byte(served)
        whole = len(served.body)
        if first is not None and first >= whole:
            self.send_error(416)
            return
        body = served.body[first or 0 :]
        headers = {"Content-Type": served.content_type} | served.headers
        if served.announces_length:
            headers["Content-Length"] = len(body)
        if served.etag is not None:
            headers["ETag"] = served.etag
        if first is not None:
            headers["Content-Range"] = f"bytes {first}-{whole - 1}/{whole}"
        self.send_response(200 if first is None else 206)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        if not head:
            self._send_body(served, body)

    def _first_byte(self, served):
        """Return the byte that a range begins with; None if the whole file is to be sent."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if match is None or not served.ranges:
            return None
        if self.headers.get("If-Range", served.etag) != served.etag:
            return None
        return int(match[1])

    def _send_body(self, served, body):
        if served.cuts:
            self.wfile.write(body[: served.cuts.pop(0)])
            self._end(served.resets)
        elif served.stalls_after is not None:
            self.wfile.write(body[: served.stalls_after])
            self.server.host.stalled.set()
            self.server.host.released.wait()
        else:
            self.wfile.write(body)

    def _end(self, resets):
        """Close the connection, abruptly or not."""
        if resets:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_):
        """Say nothing."""
