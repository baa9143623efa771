#!/usr/bin/env python3
"""A static HTTP server that answers wrongly in one named way.

    faulty-server.py --root DIR --port-file FILE --log FILE --fault FAULT [--only KIND] [--times N] [--after BYTES]

KIND: manifest, index, pack, boot (default: all). N: so many wrong answers for each object, then right
ones; 0, the default: always wrong. With --only or --times the other answers are those of a correct
server with ranges. The port that it got is written to FILE when it listens.

Faults:
    none              a correct server
    no-range          200 and the whole object, whatever was asked for
    truncate          the right head, then half the body (or BYTES of it), then the connection is closed
    short             206 and Content-Range for half of what was asked, complete in itself
    shifted           206 with the Content-Range that was asked for and the bytes beside it
    other-range       206 with the Content-Range and the bytes of another range
    no-content-range  206 without Content-Range
    wrong-total       206 whose Content-Range gives a wrong size of the object
    longer            206 with the right Content-Range and more bytes than it says
    flip              one bit of the body is wrong
    garbage           the right head and random bytes
    html              200 and an HTML page
    error-503         503
    error-404         404
    close             the connection is closed without an answer
    stall             the head and one byte (or BYTES), then nothing for a minute
    endless           200 without a length and bytes without an end
    huge-header       a head of a megabyte
"""

import argparse
import collections
import os
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HTML = b"<html><body>Welcome to the hotel, please log in.</body></html>\n"


def kind_of(path):
    if path.endswith(".dlfuse"):
        return "manifest"
    for kind in ("index", "pack", "boot"):
        if f"/{kind}/" in path:
            return kind
    return "other"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "faulty"

    def log_message(self, *_args):
        pass

    def log_request_line(self, status, sent):
        fields = ("GET", self.path, status, sent, self.headers.get("Range", "-"), "0", "0")
        with self.server.log_lock, open(self.server.options.log, "a", encoding="utf-8") as log:
            log.write("\t".join(str(f) for f in fields) + "\n")

    def fault(self):
        options = self.server.options
        if options.only and kind_of(self.path) != options.only:
            return "none"
        with self.server.log_lock:
            self.server.asked[self.path] += 1
            if options.times and self.server.asked[self.path] > options.times:
                return "none"
        return options.fault

    def answer(self, status, body, content_range=None, length=None):
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        self.log_request_line(status, len(body))

    def asked_range(self, size):
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not found or int(found.group(1)) >= size:
            return None
        end = int(found.group(2)) + 1 if found.group(2) else size
        return int(found.group(1)), min(end, size)

    def do_GET(self):  # noqa: N802 (the base class's name)
        fault = self.fault()
        name = os.path.join(self.server.options.root, self.path.split("?")[0].lstrip("/"))
        try:
            with open(name, "rb") as file:
                content = file.read()
        except OSError:
            self.answer(404, b"not found\n")
            return
        asked = self.asked_range(len(content))
        begin, end = asked or (0, len(content))
        self.wrong(fault, content, begin, end, asked is not None)

    def wrong(self, fault, content, begin, end, ranged):
        size = len(content)
        body = content[begin:end]
        status = 206 if ranged else 200
        said = f"bytes {begin}-{end - 1}/{size}" if ranged else None
        if fault == "none":
            self.answer(status, body, said)
        elif fault == "no-range":
            self.answer(200, content)
        elif fault == "truncate":
            self.answer(status, body[: self.server.options.after or len(body) // 2], said, len(body))
            self.close_connection = True
        elif fault == "short":
            half = max(1, len(body) // 2)
            said = f"bytes {begin}-{begin + half - 1}/{size}" if ranged else None
            self.answer(status, body[:half], said)
        elif fault == "shifted":
            moved = content[begin + 1 : end] + b"\0"
            self.answer(status, moved, said)
        elif fault == "other-range":
            other = begin - len(body) if begin >= len(body) else begin + 1
            body = content[other : other + len(body)]
            self.answer(206, body, f"bytes {other}-{other + len(body) - 1}/{size}")
        elif fault == "no-content-range":
            self.answer(206, body)
        elif fault == "wrong-total":
            self.answer(206, body, f"bytes {begin}-{end - 1}/{size + 1}")
        elif fault == "longer":
            self.answer(status, body + b"x" * 1000, said)
        elif fault == "flip":
            flipped = bytearray(body)
            flipped[len(flipped) // 2] ^= 0x10
            self.answer(status, bytes(flipped), said)
        elif fault == "garbage":
            self.answer(status, os.urandom(len(body)), said)
        elif fault == "html":
            self.answer(200, HTML)
        elif fault.startswith("error-"):
            self.answer(int(fault[6:]), b"no\n")
        elif fault == "close":
            self.log_request_line("000", 0)
            self.close_connection = True
        elif fault == "stall":
            self.answer(status, body[: self.server.options.after or 1], said, len(body))
            time.sleep(60)
            self.close_connection = True
        elif fault == "endless":
            self.endless()
        elif fault == "huge-header":
            self.send_response(status)
            self.send_header("X-Long", "x" * (1 << 20))
            self.end_headers()
            self.log_request_line(status, 0)
            self.close_connection = True

    def endless(self):
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.log_request_line(200, 0)
        self.close_connection = True
        while True:
            self.wfile.write(b"dlfuse-manifest 1\n" * 4096)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, _request, _client_address):
        """A client that goes away is what half of the faults lead to."""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True)
    parser.add_argument("--port-file", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--fault", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--times", type=int, default=0)
    parser.add_argument("--after", type=int, default=0)
    server = Server(("127.0.0.1", 0), Handler)
    server.options = parser.parse_args()
    server.log_lock = threading.Lock()
    server.asked = collections.Counter()
    with open(server.options.port_file + ".new", "w", encoding="utf-8") as file:
        file.write(f"{server.server_address[1]}\n")
    os.rename(server.options.port_file + ".new", server.options.port_file)
    server.serve_forever()


if __name__ == "__main__":
    main()
