"""Real HTTP servers on this machine; one plays the mirrors, each of them good or bad in its own way."""

import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import NamedTuple
from urllib.parse import urlsplit


class Request(NamedTuple):
    method: str
    mirror: str
    start: int  # first byte asked for by the Range header, 0 without one


class QuietHandler(BaseHTTPRequestHandler):
    """Prints nothing, and takes no offence at a client that leaves."""

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except ConnectionError:  # the client left, as it should
            pass


class LocalServer(ThreadingHTTPServer):
    """A server at a free port of this machine, which answers for as long as its `with` block lasts."""

    daemon_threads = True

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.closing = threading.Event()  # what a handler waits for that never means to answer

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.shutdown()
        self.server_close()


class MirrorServer(LocalServer):
    """Serves one archive at http://127.0.0.1:PORT/MIRROR, where the name of the mirror says how it behaves.

    Names: good, 404, html, truncated, wrong-hash, stalling (until `recovered` is set), silent (takes the request,
    never answers), hanging-up (closes the connection instead), slow-N (N kB/s), dribbling (single bytes), huge
    (announces more than any disk holds), endless (sends on and on), breaks-once (breaks off half-way, then resumes),
    breaks-at-end (the same after the last byte), garbles-once (the same half-way, the first half being wrong),
    no-range (breaks off half-way, then ignores Range), and `dead`, where nothing listens.

    Args:
        content: bytes of the archive.
    """

    def __init__(self, content):
        super().__init__(_Handler)
        self.content = content
        self.requests = []
        self.recovered = threading.Event()
        with socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self._dead_port = unused.getsockname()[1]

    def url(self, mirror):
        """Address of the mirror with this behaviour."""
        return f"http://127.0.0.1:{self._dead_port}/dead" if mirror == "dead" else f"{self.address}/{mirror}"

    def downloads(self, mirror=None):
        """The GET requests so far, in order; of one mirror where it is named."""
        return [seen for seen in self.requests if seen.method == "GET" and mirror in (None, seen.mirror)]


class _Handler(QuietHandler):
    def do_HEAD(self):
        self._note()
        self._answer(200, 0)

    def do_GET(self):
        mirror, start, earlier = self._note()
        content, half = self.server.content, len(self.server.content) // 2
        if mirror == "404":
            self._answer(404, 0)
        elif mirror == "html":
            self._answer(200, 20, type="text/html; charset=utf-8")
            self.wfile.write(b"<html>Log in</html>\n")
        elif mirror == "silent":
            self.server.closing.wait()
        elif mirror == "hanging-up":
            self.close_connection = True
        elif mirror == "huge":
            self._answer(200, 10**18)
            self.wfile.write(content)
        elif mirror == "endless":
            self._answer(200, None)
            while not self.server.closing.is_set():
                self.wfile.write(content)
        elif mirror == "truncated" or mirror == "stalling" and not self.server.recovered.is_set():
            self._answer(200, len(content))
            self.wfile.write(content[:half])
            if mirror == "stalling":
                self.server.closing.wait()
        elif mirror in ("breaks-once", "garbles-once", "no-range") and not earlier:
            self._answer(200, len(content))
            self.wfile.write(bytes(half) if mirror == "garbles-once" else content[:half])
        elif mirror == "breaks-at-end" and not earlier:
            self._answer(200, len(content) + 1)
            self.wfile.write(content)
        elif mirror == "no-range":
            self._answer(200, len(content))
            self.wfile.write(content)
        elif mirror == "wrong-hash":
            self._answer(200, len(content))
            self.wfile.write(bytes(len(content)))
        else:
            self._send_from(start, mirror)

    def _note(self):
        """Write the request down; return its mirror, its first byte, and how often that was downloaded before."""
        mirror = urlsplit(self.path).path.strip("/")
        requested = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(requested[1]) if requested else 0
        earlier = Counter(seen.mirror for seen in self.server.downloads())[mirror]
        self.server.requests.append(Request(self.command, mirror, start))
        return mirror, start, earlier

    def _send_from(self, start, mirror):
        content = self.server.content
        if start >= len(content):
            self._answer(416, 0)
            return
        part = f"bytes {start}-{len(content) - 1}/{len(content)}" if start else None
        self._answer(206 if start else 200, len(content) - start, part=part)
        speed = re.fullmatch(r"slow-(\d+)", mirror)
        step = 1 if mirror == "dribbling" else int(speed[1]) * 50 if speed else len(content)
        for position in range(start, len(content), step):
            self.wfile.write(content[position : position + step])
            if step < len(content) and self.server.closing.wait(0.05):
                return

    def _answer(self, status, length, type="application/x-gzip", part=None):
        self.send_response(status)
        self.send_header("Content-Type", type)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if part:
            self.send_header("Content-Range", part)
        self.end_headers()
