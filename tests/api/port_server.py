"""An HTTP server for tests of ports, without a framework: what it sends is what is written here."""

import base64
import gzip
import hashlib
import http.server
import json
import os
import random
import socket
import struct
import sys
import time

PATTERN = bytes(range(256)) * 256
LONG_PATTERN = PATTERN * 64


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def blocks(self):
        """The body, in the blocks that come."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length", 0))
        while left:
            block = self.rfile.read(min(left, 1 << 16))
            if not block:
                raise ConnectionError("the body broke off")
            left -= len(block)
            yield block

    def answer(self, status, headers, body=b""):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status not in (204, 304) and not any(name in ("Content-Length", "Transfer-Encoding") for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def handle_any(self):
        with open("requests", "a") as requests:
            requests.write(f"{self.requestline}\n")
        name = self.path.split("?")[0].strip("/").split("/")[0]
        handler = getattr(self, f"on_{name}", self.on_request)
        try:
            handler()
        except (ConnectionError, ValueError):
            open(f"broken-{name}", "w").close()
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_OPTIONS = handle_any

    def on_request(self):
        """What the server sees of the request."""
        body = b"".join(self.blocks())
        seen = {
            "method": self.command,
            "target": self.path,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "body": body.decode(),
        }
        self.answer(200, [("Content-Type", "application/json")], json.dumps(seen).encode())

    def on_compare(self):
        """Whether the body is the bytes of `on_bytes`."""
        size, is_same = 0, True
        for block in self.blocks():
            start = size % 256
            is_same = is_same and block == LONG_PATTERN[start : start + len(block)]
            size += len(block)
        open("compared", "w").close()
        body = {"size": size, "same": is_same, "chunked": "Transfer-Encoding" in self.headers}
        self.answer(200, [], json.dumps(body).encode())

    def on_ignore(self):
        """Reads nothing of the body until it may."""
        while not os.path.exists("read"):
            time.sleep(0.02)
        self.on_compare()

    def on_bytes(self):
        left = int(self.path.split("=")[1])
        self.answer(200, [("Content-Length", str(left))])
        while left:
            block = PATTERN[:left]
            self.wfile.write(block)
            left -= len(block)
            self.server.sent += len(block)

    def on_sent(self):
        """How many bytes `on_bytes` has written."""
        self.answer(200, [], str(self.server.sent).encode())

    def on_page(self):
        """Ten bytes, with conditions and ranges."""
        if self.headers.get("If-None-Match") == '"e"':
            return self.answer(304, [("ETag", '"e"'), ("Cache-Control", "max-age=5")])
        wanted = self.headers.get("Range")
        if not wanted:
            return self.answer(200, [("ETag", '"e"'), ("Accept-Ranges", "bytes")], b"0123456789")
        first, last = (int(end) for end in wanted.removeprefix("bytes=").split("-"))
        if first > 9:
            return self.answer(416, [("Content-Range", "bytes */10")])
        self.answer(206, [("Content-Range", f"bytes {first}-{last}/10")], b"0123456789"[first : last + 1])

    def on_redirect(self):
        """`/redirect/STATUS/BASE64`: to there."""
        _, _, status, location = self.path.split("/")
        self.answer(int(status), [("Location", base64.urlsafe_b64decode(location).decode())], b"moved")

    def on_long(self):
        """`/long?n=N`: an answer with a header of N bytes."""
        self.answer(200, [("X-Long", "x" * int(self.path.split("=")[1]))])

    def on_many(self):
        """`/many?n=N`: an answer with N headers."""
        self.answer(200, [("X-Many", "1")] * int(self.path.split("=")[1]))

    def on_raw(self):
        """`/raw/BASE64`: these bytes in place of an answer."""
        self.wfile.write(base64.urlsafe_b64decode(self.path.split("/")[2]))
        self.close_connection = True

    def on_events(self):
        self.answer(200, [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")])
        self.chunk(b"data: first\n\n")
        while not os.path.exists("go"):
            time.sleep(0.02)
        self.chunk(b"data: second\n\n")
        self.chunk(b"")

    def on_duplex(self):
        self.answer(200, [("Transfer-Encoding", "chunked")])
        for block in self.blocks():
            self.chunk(block.upper())
        self.chunk(b"")

    def on_set(self):
        port = self.server.server_address[1]
        location = f"http://localhost:{port}/elsewhere"
        cookies = [("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; HttpOnly")]
        self.answer(302, [("Location", location), *cookies, ("Connection", "close, X-Hop"), ("X-Hop", "1")])
        self.close_connection = True

    def on_status(self):
        self.answer(int(self.path.split("=")[1]), [("ETag", '"e"')])

    def on_encoded(self):
        """`/encoded?coding=N`: 40,000 bytes that are said to be encoded, with or without their length."""
        coding, is_chunked = self.path.split("=")[1], self.path.startswith("/encoded/chunked")
        body = gzip.compress(random.Random(1).randbytes(40_000), mtime=0) if coding == "gzip" else PATTERN[:40_000]
        headers = [("Content-Encoding", coding), ("Vary", "Accept-Encoding")]
        if not is_chunked:
            return self.answer(200, headers, body)
        self.answer(200, [*headers, ("Transfer-Encoding", "chunked")])
        if self.command != "HEAD":
            self.chunk(body)
            self.chunk(b"")

    def on_cut(self):
        self.answer(200, [("Content-Length", "1000")])
        self.wfile.write(b"x" * 10)
        self.close_connection = True

    def on_cut_chunked(self):
        self.answer(200, [("Transfer-Encoding", "chunked")])
        self.chunk(b"x" * 10)
        self.close_connection = True

    def on_nothing(self):
        self.close_connection = True

    def on_endless(self):
        self.answer(200, [("Transfer-Encoding", "chunked")])
        while True:
            self.chunk(b"x")
            time.sleep(0.02)

    def on_refuse(self):
        self.answer(403, [("X-Reason", "no")], b"refused")

    def on_html(self):
        page = b"""<!doctype html><meta charset="utf-8"><title>page</title>
        <link rel="icon" href="data:,"><link rel="stylesheet" href="/style"><body><script src="/script"></script>"""
        self.answer(200, [("Content-Type", "text/html")], page)

    def on_style(self):
        self.answer(200, [("Content-Type", "text/css")], b"body { color: rgb(1, 2, 3) }")

    def on_script(self):
        script = b"""
        document.title = "script ran";
        const socket = new WebSocket(`ws://${location.host}/socket`);
        socket.onopen = () => socket.send("frame of the page");
        socket.onmessage = ({ data }) => { document.body.dataset.echo = data; };
        """
        self.answer(200, [("Content-Type", "text/javascript")], script)

    def on_socket(self):
        """A WebSocket that echoes its frames."""
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        if protocol := self.headers.get("Sec-WebSocket-Protocol"):
            self.send_header("Sec-WebSocket-Protocol", protocol.split(",")[0].strip())
        self.end_headers()
        self.close_connection = True
        first = {"target": self.path, "host": self.headers["Host"], "origin": self.headers.get("Origin")}
        self.frame(1, json.dumps(first).encode())
        while True:
            head = self.rfile.read(2)
            if len(head) < 2:
                raise ConnectionError("the client left")
            opcode, size = head[0] & 15, head[1] & 127
            if size == 126:
                (size,) = struct.unpack(">H", self.rfile.read(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", self.rfile.read(8))
            mask = self.rfile.read(4)
            data = self.rfile.read(size)
            mask = (mask * (size // 4 + 1))[:size]
            data = (int.from_bytes(data, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")
            if opcode == 9:
                self.frame(10, data)
            elif opcode == 8 or data == b"close":
                self.frame(8, data if opcode == 8 else struct.pack(">H", 4321) + b"bye")
                open("closed-socket", "w").close()
                return
            elif opcode in (1, 2):
                self.frame(opcode, data)

    def frame(self, opcode, data):
        size = len(data)
        if size < 126:
            head = struct.pack(">BB", 128 | opcode, size)
        elif size < 1 << 16:
            head = struct.pack(">BBH", 128 | opcode, 126, size)
        else:
            head = struct.pack(">BBQ", 128 | opcode, 127, size)
        self.wfile.write(head + data)
        self.wfile.flush()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    sent = 0

    def __init__(self, address):
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, 0), Handler)


server = Server(sys.argv[1])
print(f"port {server.server_address[1]}", flush=True)
server.serve_forever()
