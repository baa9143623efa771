#!/usr/bin/env python3
"""A server of scripted faults in front of a real one: each answer is the origin's, spoilt by a rule.

    server.py --origin URL|SOCKET [--rules FILE] [--rule LINE]... --port-file FILE [--log FILE]

The port that it got is written to FILE when it listens. The log is access-log.py's. As a module:
class Server. Each line of a rules file is a rule; the first that fits a request is applied, without
one the answer passes as it is. `#` begins a comment. A HEAD is answered rightly, and fits no rule.

    TARGET [nth=A[-[B]]] [for=SECONDS] [chance=P] FAULT [KEY=VALUE]...

TARGET   connect (a new connection), manifest, head (of the index), page, index (both), boot, pack,
         any, several with commas between them, or a path with * in it ("/pack/3f*")
nth      which of the requests that TARGET fits, counted from 1: 2 is the second, 2-4, 2- from then on
for      seconds from the first fault on after which the rule no longer applies
chance   0 to 1, by the server's own seeded random numbers

Faults of a connection (TARGET connect):
    reset                   accepted, then reset
    close                   accepted, then closed
    limit n=N then=wait     more than N connections wait until one ends
    limit n=N then=reset    more than N connections are reset

Faults of an answer:
    away [seconds=S]        all connections reset, the port refused for S seconds (0: until heal())
    no-answer  no-answer-reset  stall
    stall-header  reset-header  truncate-header  drip-header [rate=B]     after half of the head
    garbage  endless-header  huge-header [bytes=N]  endless-1xx  continue [n=N]  http10
    bad-length              Content-Length is no number
    flip-header [at=OFFSET] one bit of the head, anywhere if nothing is said
    stall-body  reset-body  truncate  truncate-unsaid  drip-body [rate=B]
                            after half of the body, or [after=N] bytes of it; "unsaid": without
                            Content-Length, so that the end looks like one
    short  longer  endless  empty  html  noise  flip [at=OFFSET]          (OFFSET: in the object)
    gzip  chunked  chunked-broken  chunked-truncated
    status code=N [retry=SECONDS|date]                                    date: two seconds from now
    no-range  no-range-cut  200 with the whole object for a range; half of it, then a reset
    partial                 206 for what was no range
    range-none  range-garbage  range-total  range-unknown-total  range-other  range-part  range-multi
                            Content-Range missing, unparsable, other total, "*", the bytes and range of
                            another place, only the first half, multipart/byteranges
    shifted                 the right head, the bytes one further
    redirect to=loop|URL    a URL that ends in / gets the path behind it
    serve path=PATH         another object's bytes under this name
    close-after             right, then the connection is closed without saying so
    slow rate=B [cut=N]     right, at B bytes a second; reset after N bytes
    late ms=N               right, N milliseconds late
    none                    right: for rules that let something pass

STALL_S bounds every stall: by then the client must have gone.
"""

import argparse
import email.utils
import fnmatch
import gzip
import http.client
import os
import random
import re
import select
import socket
import ssl
import struct
import threading
import time

STALL_S = 120
HTML = b"<html><body>Welcome to the hotel, please log in.</body></html>\n"
KINDS = {"head": ("head", "index"), "page": ("page", "index")}
FORWARDED = ("accept-encoding", "if-range")
REASONS = http.client.responses


class Gone(Exception):
    """The connection is over: closed by the fault, or by the client."""


class Rule:
    """One line of a rules file."""

    def __init__(self, line):
        words = line.split()
        self.line = line
        self.targets = words.pop(0).split(",")
        options = {}
        while words and "=" in words[0]:
            key, options[key] = words.pop(0).split("=", 1)
        if not words:
            raise ValueError(f"no fault in the rule: {line}")
        self.fault = words.pop(0)
        self.arguments = dict(word.split("=", 1) for word in words)
        first, dash, last = options.pop("nth", "1-").partition("-")
        self.first = int(first)
        self.last = int(last) if last else (float("inf") if dash else self.first)
        self.seconds = float(options.pop("for", "inf"))
        self.chance = float(options.pop("chance", "1"))
        if options or (self.fault not in FAULTS and "connect" not in self.targets):
            raise ValueError(f"not a rule: {line}")
        self.seen = 0
        self.begun = None
        self.hits = 0

    def fits(self, kinds, path):
        for target in self.targets:
            if target.startswith("/"):
                if fnmatch.fnmatch(path, target):
                    return True
            elif target in kinds or (target == "any" and "connect" not in kinds):
                return True
        return False

    def applies(self, dice):
        """For a request that fits; counts it."""
        self.seen += 1
        if not self.first <= self.seen <= self.last or dice.random() >= self.chance:
            return False
        now = time.monotonic()
        if self.begun is None:
            self.begun = now
        if now - self.begun > self.seconds:
            return False
        self.hits += 1
        return True


class Request:
    """What the client asks for."""

    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = lines[0].split(" ", 2)
        self.headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if colon:
                self.headers[name.strip().lower()] = value.strip()
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        self.range = (int(found[1]), int(found[2]) if found[2] else None) if found else None

    def kinds(self):
        if self.path.endswith(".dlfuse"):
            return ("manifest",)
        kind = self.path.rsplit("/", 2)[-2] if self.path.count("/") > 1 else ""
        if kind == "index":
            return KINDS["page" if self.range and self.range[0] else "head"]
        return (kind,)


class Answer:
    """What the origin said."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", headers.get("Content-Range", ""))
        self.begin = int(found[1]) if found else 0
        self.total = int(found[3]) if found else len(body)

    def head(self, **changes):
        """The head; changes of headers by name with _ for -, None takes one away."""
        headers = dict(self.headers)
        for name, value in changes.items():
            name = "-".join(word.capitalize() for word in name.split("_"))
            headers.pop(name, None)
            if value is not None:
                headers[name] = value
        return head_of(self.status, headers)


def head_of(status, headers, version="HTTP/1.1"):
    lines = [f"{version} {status} {REASONS.get(status, 'So')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Origin(http.client.HTTPConnection):
    """A connection to the real server, a URL's or a socket's in the file system."""

    def __init__(self, where):
        self.unix = None if where.startswith("http://") else where
        super().__init__("origin" if self.unix else where[7:].rstrip("/"), timeout=30)

    def connect(self):
        if not self.unix:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.unix)

    def ask(self, path, headers):
        self.putrequest("GET", path, skip_accept_encoding=True)
        for name, value in headers.items():
            self.putheader(name, value)
        self.endheaders()

    def get(self, path, asked=None, more=None):
        headers = dict(more or {})
        if asked:
            headers["Range"] = f"bytes={asked[0]}-{'' if asked[1] is None else asked[1]}"
        try:
            self.ask(path, headers)
            response = self.getresponse()
        except (http.client.HTTPException, ConnectionError):
            self.close()  # it was idle for too long: once more, anew
            self.ask(path, headers)
            response = self.getresponse()
        body = response.read()
        kept = ("content-type", "content-length", "content-range", "content-encoding", "accept-ranges")
        return Answer(
            response.status,
            {name.title(): value for name, value in response.getheaders() if name.lower() in kept},
            body,
        )


class Client:
    """One connection from a client, and what faults do to it."""

    def __init__(self, server, sock):
        self.server = server
        self.sock = sock
        self.sent = 0
        self.rest = b""

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (OSError, ValueError) as error:
            raise Gone from error
        self.sent += len(data)

    def drip(self, data, rate):
        step = max(1, int(rate / 10))
        for at in range(0, len(data), step):
            self.send(data[at : at + step])
            if self.over(0.1):
                raise Gone

    def over(self, seconds):
        """Waits; true when the client closes or says more than it should."""
        try:
            readable, _, _ = select.select([self.sock], [], [], seconds)
            return bool(readable)
        except (OSError, ValueError):
            return True

    def stall(self):
        self.over(STALL_S)
        raise Gone

    def reset(self):
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        raise Gone

    def close(self):
        raise Gone

    def request(self):
        data = self.rest
        while b"\r\n\r\n" not in data:
            try:
                more = self.sock.recv(65536)
            except (OSError, ValueError) as error:
                raise Gone from error
            if not more or len(data) > 65536:
                raise Gone
            data += more
        head, _, self.rest = data.partition(b"\r\n\r\n")
        return Request(head)


FAULTS = {}


def fault(function):
    FAULTS[function.__name__.replace("_", "-")] = function
    return function


def right(c, a):
    c.send(a.head())
    c.send(a.body)


@fault
def none(c, _r, a):
    right(c, a)


@fault
def away(c, _r, _a, seconds="0"):
    c.server.go_away(float(seconds))
    raise Gone


@fault
def no_answer(c, _r, _a):
    c.close()


@fault
def no_answer_reset(c, _r, _a):
    c.reset()


@fault
def stall(c, _r, _a):
    c.stall()


def half_head(c, a):
    head = a.head()
    c.send(head[: len(head) // 2])


@fault
def stall_header(c, _r, a):
    half_head(c, a)
    c.stall()


@fault
def reset_header(c, _r, a):
    half_head(c, a)
    time.sleep(0.05)  # or the reset overtakes the bytes
    c.reset()


@fault
def truncate_header(c, _r, a):
    half_head(c, a)
    c.close()


@fault
def drip_header(c, _r, a, rate="20"):
    c.drip(a.head(), float(rate))
    c.send(a.body)


@fault
def garbage(c, _r, _a):
    c.send(c.server.noise(2000))
    c.close()


@fault
def endless_header(c, _r, _a):
    c.send(b"HTTP/1.1 200 OK\r\n")
    for n in range(1 << 30):
        c.send(b"".join(b"X-Line-%d-%d: %s\r\n" % (n, i, b"x" * 200) for i in range(100)))


@fault
def huge_header(c, _r, a, bytes="1048576"):
    c.send(a.head(x_long="x" * int(bytes)))
    c.send(a.body)


@fault
def endless_1xx(c, _r, _a):
    while True:
        c.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" * 100)


@fault
def http_continue(c, _r, a, n="2"):
    for _ in range(int(n)):
        c.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Range: bytes 1-2/3\r\n\r\n")
    right(c, a)


FAULTS["continue"] = FAULTS.pop("http-continue")


@fault
def http10(c, _r, a):
    c.send(head_of(a.status, a.headers, "HTTP/1.0"))
    c.send(a.body)
    c.close()


@fault
def bad_length(c, _r, a):
    c.send(a.head(content_length="many"))
    c.send(a.body)
    c.close()


@fault
def flip_header(c, _r, a, at=None):
    head = bytearray(a.head())
    with c.server.lock:
        place = int(at) if at else c.server.dice.randrange(len(head) - 4)
        head[place] ^= 1 << c.server.dice.randrange(8)
    c.send(bytes(head))
    c.send(a.body)
    c.close()  # where the next answer would begin, nobody can know any more


def half_body(c, a, after=None, **changes):
    c.send(a.head(**changes))
    c.send(a.body[: int(after) if after else len(a.body) // 2])


@fault
def stall_body(c, _r, a, after=None):
    half_body(c, a, after)
    c.stall()


@fault
def reset_body(c, _r, a, after=None):
    half_body(c, a, after)
    time.sleep(0.05)
    c.reset()


@fault
def truncate(c, _r, a, after=None):
    half_body(c, a, after)
    c.close()


@fault
def truncate_unsaid(c, _r, a):
    half_body(c, a, content_length=None, connection="close")
    c.close()


@fault
def drip_body(c, _r, a, rate="100"):
    half_body(c, a)
    c.drip(a.body[len(a.body) // 2 :], float(rate))


@fault
def late(c, _r, a, ms):
    if c.over(float(ms) / 1000):
        raise Gone
    right(c, a)


@fault
def slow(c, _r, a, rate="100000", cut=None):
    c.send(a.head())
    c.drip(a.body[: int(cut) if cut else None], float(rate))
    if cut:
        c.reset()


@fault
def short(c, _r, a):
    c.send(a.head(content_length=str(len(a.body) // 2)))
    c.send(a.body[: len(a.body) // 2])


@fault
def longer(c, _r, a):
    c.send(a.head(content_length=str(len(a.body) + 1000)))
    c.send(a.body + b"x" * 1000)


@fault
def endless(c, _r, a):
    c.send(a.head(content_length=None, connection="close"))
    c.send(a.body)
    while True:
        c.send(b"dlfuse-manifest 1\n" * 4096)


@fault
def empty(c, _r, a):
    c.send(a.head(content_length="0"))


@fault
def html(c, _r, _a):
    c.send(head_of(200, {"Content-Type": "text/html", "Content-Length": str(len(HTML))}) + HTML)


@fault
def noise(c, _r, a):
    c.send(a.head())
    c.send(c.server.noise(len(a.body)))


@fault
def flip(c, _r, a, at=None):
    body = bytearray(a.body)
    place = int(at) - a.begin if at else len(body) // 2
    if 0 <= place < len(body):
        body[place] ^= 0x10
    c.send(a.head())
    c.send(bytes(body))


@fault
def http_gzip(c, _r, a):
    body = gzip.compress(a.body, 1)
    c.send(a.head(content_encoding="gzip", content_length=str(len(body))))
    c.send(body)


FAULTS["gzip"] = FAULTS.pop("http-gzip")


def chunk(data):
    return b"%x\r\n" % len(data) + data + b"\r\n"


@fault
def chunked(c, _r, a):
    c.send(a.head(content_length=None, transfer_encoding="chunked"))
    for at in range(0, len(a.body), 5000):
        c.send(chunk(a.body[at : at + 5000]))
    c.send(b"0\r\n\r\n")


@fault
def chunked_broken(c, _r, a):
    c.send(a.head(content_length=None, transfer_encoding="chunked"))
    c.send(chunk(a.body[: len(a.body) // 2]) + b"what?\r\n")
    c.send(a.body[len(a.body) // 2 :])
    c.close()


@fault
def chunked_truncated(c, _r, a):
    c.send(a.head(content_length=None, transfer_encoding="chunked"))
    c.send(chunk(a.body[: len(a.body) // 2]) + b"ffff\r\nnot so many")
    c.close()


@fault
def status(c, _r, _a, code, retry=None):
    headers = {"Content-Type": "text/plain", "Content-Length": "3"}
    if retry == "date":
        headers["Retry-After"] = email.utils.formatdate(time.time() + 2, usegmt=True)
    elif retry:
        headers["Retry-After"] = retry
    c.send(head_of(int(code), headers) + b"no\n")


@fault
def no_range(c, r, _a):
    right(c, c.server.fetch(r.path, None))


@fault
def no_range_cut(c, r, _a):
    half_body(c, c.server.fetch(r.path, None))
    time.sleep(0.05)
    c.reset()


@fault
def partial(c, _r, a):
    n = len(a.body)
    c.send(head_of(206, {**a.headers, "Content-Range": f"bytes 0-{n - 1}/{n}"}))
    c.send(a.body)


@fault
def range_none(c, _r, a):
    c.send(a.head(content_range=None))
    c.send(a.body)


@fault
def range_garbage(c, _r, a):
    c.send(a.head(content_range="bytes everything, please"))
    c.send(a.body)


@fault
def range_total(c, _r, a):
    c.send(a.head(content_range=f"bytes {a.begin}-{a.begin + len(a.body) - 1}/{a.total + 1}"))
    c.send(a.body)


@fault
def range_unknown_total(c, _r, a):
    c.send(a.head(content_range=f"bytes {a.begin}-{a.begin + len(a.body) - 1}/*"))
    c.send(a.body)


@fault
def range_other(c, r, a):
    n = len(a.body)
    at = a.begin - n if a.begin >= n else min(a.begin + 1, a.total - n)
    if at == a.begin:  # all of it was asked for: less of it is another range
        c.send(a.head(content_range=f"bytes 0-{n - 2}/{a.total}", content_length=str(n - 1)))
        c.send(a.body[:-1])
        return
    other = c.server.fetch(r.path, (at, at + n - 1))
    right(c, other)


@fault
def range_part(c, r, a):
    half = max(1, len(a.body) // 2)
    right(c, c.server.fetch(r.path, (a.begin, a.begin + half - 1)))


@fault
def range_multi(c, _r, a):
    body = (
        f"--limit\r\nContent-Type: application/octet-stream\r\n"
        f"Content-Range: bytes {a.begin}-{a.begin + len(a.body) - 1}/{a.total}\r\n\r\n"
    ).encode() + a.body
    body += b"\r\n--limit--\r\n"
    headers = {"Content-Type": "multipart/byteranges; boundary=limit", "Content-Length": str(len(body))}
    c.send(head_of(206, headers) + body)


@fault
def shifted(c, _r, a):
    c.send(a.head())
    c.send(a.body[1:] + b"\0")


@fault
def redirect(c, r, _a, to):
    if to == "loop":
        to = r.path
    elif to.endswith("/"):
        to += r.path.lstrip("/")
    c.send(head_of(302, {"Location": to, "Content-Length": "0"}))


@fault
def serve(c, r, a, path):
    body = c.server.fetch(path, None).body
    if r.range:
        body = (body + bytes(a.total))[a.begin : a.begin + len(a.body)]
    c.send(a.head(content_length=str(len(body))))
    c.send(body)


@fault
def close_after(c, _r, a):
    right(c, a)
    c.close()


class Server:
    """Listens from the start. Threads: one that accepts, one for each connection."""

    def __init__(self, origin, rules=(), seed=1, address="127.0.0.1", port=0, tls=None, log=None):
        self.origin = origin
        self.dice = random.Random(seed)
        self.tls = tls
        self.log = log
        self.lock = threading.Condition()
        self.rules = []
        self.clients = set()
        self.requests = 0
        self.accepted = 0
        self.local = threading.local()
        self.address = (address, port)
        self.back_at = None  # when the port is served again; None: it is
        self.ended = False
        self.set_rules(rules)
        self.listener = self.listen()
        self.address = self.listener.getsockname()
        self.port = self.address[1]
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def set_rules(self, lines):
        rules = [Rule(line) for line in (raw.split("#")[0].strip() for raw in lines) if line]
        with self.lock:
            self.rules = rules

    def heal(self):
        with self.lock:
            self.rules = []
            if self.back_at is not None:
                self.back_at = 0
            self.lock.notify_all()

    def hits(self):
        with self.lock:
            return sum(rule.hits for rule in self.rules)

    def stop(self):
        self.ended = True
        self.go_away(0)
        self.thread.join(5)

    def listen(self):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(self.address)
        listener.listen(64)
        return listener

    def go_away(self, seconds):
        with self.lock:
            self.back_at = time.monotonic() + seconds if seconds else float("inf")
            clients = list(self.clients)
            listener, self.listener = self.listener, None
        if listener:
            try:
                listener.shutdown(socket.SHUT_RDWR)  # wakes accept
            except OSError:
                pass
            listener.close()
        for sock in clients:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def come_back(self):
        while not self.ended and self.back_at is not None:
            wait = self.back_at - time.monotonic()
            if wait > 0:
                with self.lock:
                    self.lock.wait(min(wait, 0.2))
                continue
            try:
                listener = self.listen()
            except OSError:
                time.sleep(0.05)
                continue
            with self.lock:
                self.listener = listener
                self.back_at = None

    def accept(self):
        while not self.ended:
            listener = self.listener
            if listener is None:
                self.come_back()
                continue
            try:
                sock, _ = listener.accept()
            except OSError:
                time.sleep(0.01)
                continue
            self.accepted += 1
            self.admit(sock)

    def admit(self, sock):
        rule = self.rule(("connect",), "")
        arguments = rule.arguments if rule else {}
        if rule and rule.fault == "limit":
            most = int(arguments["n"])
            with self.lock:
                if arguments["then"] == "wait":
                    while len(self.clients) >= most and self.rules and not self.ended:
                        self.lock.wait(0.2)
                    rule = None
                elif len(self.clients) < most:
                    rule = None
        if rule:
            if rule.fault != "close":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.lock:
            self.clients.add(sock)
        threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def rule(self, kinds, path):
        with self.lock:
            for rule in self.rules:
                if rule.fits(kinds, path) and rule.applies(self.dice):
                    return rule
        return None

    def serve(self, raw):
        sock = raw
        try:
            if self.tls:
                raw.settimeout(20)
                sock = self.tls.wrap_socket(raw, server_side=True)
                sock.settimeout(None)
                with self.lock:  # the raw one is empty from now on
                    self.clients.discard(raw)
                    self.clients.add(sock)
            client = Client(self, sock)
            while True:
                self.one_request(client)
        except (Gone, OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.clients -= {raw, sock}
                self.lock.notify_all()
            sock.close()

    def one_request(self, client):
        request = client.request()
        with self.lock:
            self.requests += 1
        said = {name: request.headers[name] for name in FORWARDED if name in request.headers}
        answer = self.fetch(request.path, request.range, said)
        head_only = request.method == "HEAD"
        rule = None if head_only else self.rule(request.kinds(), request.path)
        before = client.sent
        try:
            if head_only:
                client.send(answer.head())
            elif rule:
                FAULTS[rule.fault](client, request, answer, **rule.arguments)
            else:
                right(client, answer)
        finally:
            self.write_log(request, answer.status if client.sent > before else 0, client.sent - before)

    def fetch(self, path, asked, more=None):
        if not hasattr(self.local, "origin"):
            self.local.origin = Origin(self.origin)
        return self.local.origin.get(path, asked, more)

    def noise(self, size):
        with self.lock:
            return self.dice.randbytes(size)

    def write_log(self, request, code, sent):
        if not self.log:
            return
        asked = request.headers.get("range", "-")
        with self.lock, open(self.log, "a", encoding="utf-8") as log:
            log.write(f"{request.method}\t{request.path}\t{code:03d}\t{sent}\t{asked}\t0\t0\n")


def tls_context(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def main():
    parser = argparse.ArgumentParser(description="A server of faults; see the head of this file.")
    parser.add_argument("--origin", required=True)
    parser.add_argument("--rules")
    parser.add_argument("--rule", action="append", default=[])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port-file", required=True)
    parser.add_argument("--log")
    options = parser.parse_args()
    lines = list(options.rule)
    if options.rules:
        with open(options.rules, encoding="utf-8") as file:
            lines += file.read().splitlines()
    server = Server(options.origin, lines, seed=options.seed, log=options.log)
    with open(options.port_file + ".new", "w", encoding="utf-8") as file:
        file.write(f"{server.port}\n")
    os.rename(options.port_file + ".new", options.port_file)
    server.thread.join()


if __name__ == "__main__":
    main()
