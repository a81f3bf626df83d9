"""A real HTTP server on this machine that plays the mirrors, each of them good or bad in its own way."""

import gzip
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server
from urllib.parse import urlsplit

CERTIFICATE = Path(__file__).with_suffix(".pem")  # for 127.0.0.1, signed by itself, until 2126


class MirrorServer(ThreadingHTTPServer):
    """Serves some bytes at http://127.0.0.1:PORT/MIRROR, where the name of the mirror says how it behaves.

    Names: good, 404, html, truncated, wrong-hash, stalling (until `recovered` is set), silent (takes the request,
    never answers), hanging-up (closes the connection instead), slow-N (N kB/s), huge (announces more than any disk
    holds), endless (sends on and on), headers (its headers have no end), round (redirects to itself), round-endless
    (the same, and sends on and on), breaks-once (breaks off half-way, then resumes), breaks-at-end (the same after the
    last byte), no-range (breaks off half-way, then ignores Range), other-range (then sends another part than was asked
    for), packed (by gzip, whatever is asked for), and `dead`, where nothing listens. With `secure`, by https.

    `requests` has the name of the mirror and the first byte asked for, of every request in order.
    """

    def __init__(self, content, secure=False):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "https" if secure else "http"
        if secure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.content, self.requests, self.agents, self.sent = content, [], [], 0
        self.recovered, self.closing = threading.Event(), threading.Event()
        with create_server(("127.0.0.1", 0)) as unused:
            self._dead_port = unused.getsockname()[1]

    def url(self, mirror):
        return f"{self.scheme}://127.0.0.1:{self._dead_port if mirror == 'dead' else self.server_port}/{mirror}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except ConnectionError:  # the client left, as it should
            pass

    def do_GET(self):
        content, closing = self.server.content, self.server.closing
        size, half = len(content), content[: len(content) // 2]
        mirror = urlsplit(self.path).path.strip("/")
        start = int(re.search(r"\d+", self.headers.get("Range", "bytes=0-"))[0])
        first = mirror not in [name for name, _ in self.server.requests]
        self.server.requests.append((mirror, start))
        self.server.agents.append(self.headers["User-Agent"])
        match mirror:
            case "404":
                self.begin(404)
            case "html":
                self.begin(200, Content_Type="text/html; charset=utf-8")
                self.wfile.write(b"<html>Log in</html>\n")
            case "packed":
                packed = gzip.compress(content)
                self.begin(200, Content_Encoding="gzip", Content_Length=len(packed))
                self.wfile.write(packed)
            case "silent":
                closing.wait()
            case "hanging-up":
                self.close_connection = True
            case "huge":
                self.answer(content, 10**18)
            case "endless":
                self.begin(200)
                self.send_on_and_on(content)
            case "headers":
                self.send_response(200)
                self.flush_headers()
                self.send_on_and_on(b"x", pause=0.2)
            case "round":
                self.begin(302, Location=self.path)
            case "round-endless":
                self.begin(302, Location=self.path)
                self.send_on_and_on(content)
            case "stalling" if not self.server.recovered.is_set():
                self.answer(half, size)
                closing.wait()
            case "truncated":
                self.answer(half, size)
            case "breaks-once" | "no-range" | "other-range" if first:
                self.answer(half, size)
            case "breaks-at-end" if first:
                self.answer(content, size + 1)
            case "no-range":
                self.answer(content, size)
            case "wrong-hash":
                self.answer(bytes(size), size)
            case _ if start >= size:
                self.begin(416)
            case _ if start:
                sent = 0 if mirror == "other-range" else start
                self.begin(206, Content_Length=size - sent, Content_Range=f"bytes {sent}-{size - 1}/{size}")
                self.send_slowly(content[sent:], mirror)
            case _:
                self.begin(200, Content_Length=size)
                self.send_slowly(content, mirror)

    def begin(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def answer(self, body, announced):
        self.begin(200, Content_Length=announced)
        self.wfile.write(body)

    def send_on_and_on(self, content, pause=0):
        while not self.server.closing.wait(pause):
            self.server.sent += self.wfile.write(content)

    def send_slowly(self, content, mirror):
        speed = re.fullmatch(r"slow-(\d+)", mirror)
        step = int(speed[1]) * 50 if speed else len(content)
        for position in range(0, len(content), step):
            self.wfile.write(content[position : position + step])
            if step < len(content) and self.server.closing.wait(0.05):
                return
