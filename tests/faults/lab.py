"""What the fault cases and the soak stand on: a store behind a real nginx, names and certificates
of their own, and the node program with what can be seen of it from outside.
"""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import server

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE_DIR = os.path.dirname(os.path.dirname(HERE))
BIN_DIR = os.path.abspath(os.environ.get("DLFUSE_BIN_DIR") or os.path.join(SOURCE_DIR, "build/release/bin"))
DLFUSE = os.path.join(BIN_DIR, "dlfuse")
CHUNKER = os.path.join(BIN_DIR, "dlfuse-chunker")
RANDOM_READS = os.path.join(BIN_DIR, "../tests/bin/random-reads")
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
SANITIZERS = ("ASAN", "UBSAN", "TSAN", "LSAN")


class Missing(Exception):
    """Something that the tests need is not here: exit status 77, said by name."""


class Failed(Exception):
    """A check did not hold."""


def check(holds, text):
    if not holds:
        raise Failed(text)


def wait_for(seconds, condition, step=0.02):
    """Polls; what condition gave last: false when the time is over."""
    deadline = time.monotonic() + seconds
    while not (got := condition()) and time.monotonic() < deadline:
        time.sleep(step)
    return got


def sanitizer():
    """The one that the program was built with: asan, tsan or ""."""
    libraries = subprocess.run(["ldd", DLFUSE], capture_output=True, text=True, check=False).stdout
    return "tsan" if "libtsan" in libraries else "asan" if "libasan" in libraries else ""


def in_own_mounts():
    """Starts the script again in a mount namespace of its own, where it may cover files."""
    if os.geteuid() != 0:
        raise Missing("needs root")
    if not os.environ.get("DLFUSE_FAULTS_MOUNTS"):
        os.environ["DLFUSE_FAULTS_MOUNTS"] = "yes"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])
    # The copies of other tests' mounts would keep those alive.
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        for line in reversed(mounts.readlines()):
            at = line.split()[1]
            if at.startswith(tempfile.gettempdir() + "/dlfuse-"):
                subprocess.run(["umount", "-l", at], check=False)


def require():
    for path in (DLFUSE, CHUNKER):
        check(os.access(path, os.X_OK), f"{path} is not built")
    for program in ("nginx", "openssl", "fusermount3", "unshare"):
        if not shutil.which(program):
            raise Missing(f"{program} is missing")
    if not os.path.exists("/dev/fuse"):
        raise Missing("/dev/fuse is missing")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Dns(threading.Thread):
    """A name server on UDP. zone: what a name is, an address, "nothing" (NXDOMAIN), "broken"
    (SERVFAIL) or "silent". Names that it does not have are nothing."""

    def __init__(self):
        super().__init__(daemon=True)
        self.zone = {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.address = f"127.{os.getpid() % 250 + 2}.{os.getpid() // 250 % 250}.53"
        self.socket.bind((self.address, 53))
        self.start()

    def run(self):
        while True:
            question, who = self.socket.recvfrom(2000)
            name, at = [], 12
            while question[at]:
                name.append(question[at + 1 : at + 1 + question[at]].decode())
                at += 1 + question[at]
            kind = struct.unpack(">H", question[at + 1 : at + 3])[0]
            said = self.zone.get(".".join(name), "nothing")
            if said == "silent":
                continue
            code = {"nothing": 3, "broken": 2}.get(said, 0)
            records = b""
            if code == 0 and kind == 1:
                records = struct.pack(">HHHIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(said)
            head = question[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, bool(records), 0, 0)
            self.socket.sendto(head + question[12 : at + 5] + records, who)


class Lab:
    """A directory with everything; only one in a process. close() takes it away."""

    def __init__(self, name):
        self.dir = tempfile.mkdtemp(prefix=f"dlfuse-{name}.")
        os.chmod(self.dir, 0o755)
        self.store = self.path("store")
        self.origin = self.path("nginx.sock")
        self.sanitizer = sanitizer()
        self.slack = 3 if self.sanitizer else 1
        self.nginx = []
        self.nodes = set()
        self.lock = threading.Lock()

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def start_nginx(self, listen=None, extra=""):
        """A real server of the store, at a socket or a port of the loopback."""
        listen = listen or f"unix:{self.origin}"
        at = tempfile.mkdtemp(prefix="nginx-", dir=self.dir)
        temporary = "".join(
            f"{kind}_temp_path {at};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        with open(at + "/nginx.conf", "w", encoding="utf-8") as file:
            file.write(
                f"daemon off; master_process off; pid {at}/pid; error_log {at}/error.log warn;\n"
                "events { worker_connections 1000; }\n"
                f"http {{ access_log off; {temporary} default_type application/octet-stream;\n"
                "sendfile on; keepalive_requests 1000000; keepalive_timeout 600s;\n"
                f"server {{ listen {listen}; root {self.store}; {extra} }} }}\n"
            )
        with open(at + "/start.log", "w", encoding="utf-8") as log:
            command = ["nginx", "-p", at, "-c", at + "/nginx.conf", "-e", at + "/error.log"]
            process = subprocess.Popen(command, stdout=log, stderr=log)  # ended by close
        self.nginx.append(process)
        check(wait_for(20, lambda: os.path.exists(at + "/pid") or process.poll() is not None), "nginx")
        check(process.poll() is None, "nginx does not start: " + read_text(at + "/start.log"))

    def make_image(self, path, seed, mib):
        """Two thirds of noise, text, a hole: what chunks can be."""
        dice = random.Random(seed)
        with open(path, "wb") as file:
            for _ in range(mib * 2 // 3):
                file.write(dice.randbytes(1 << 20))
            text = b"".join(b"%d\n" % n for n in range(seed * 1000000, seed * 1000000 + 200000))
            file.write(text)
            file.truncate(mib << 20)

    def create(self, name, image, *arguments):
        run(CHUNKER, "create", "--quiet", "--store", self.store, "--name", name, *arguments, image)
        return self.manifest(name)

    def record(self, name, mib):
        """The profile of a boot that reads the image's first MiB: a file."""
        at = server.Server(self.origin)
        node = Node(self, "record")
        node.mount_begin(f"http://127.0.0.1:{at.port}/{name}.dlfuse", "fill=0,prefetch=0")
        check(node.serves(30 * self.slack), "the profile's mount: " + node.said())
        with open(node.file, "rb") as file:
            file.read(mib << 20)
        with open(node.mount + "/control", "w", encoding="utf-8") as control:
            control.write("ready\n")
        with open(self.path("trace"), "w", encoding="utf-8") as file:
            file.write(run(DLFUSE, "trace", node.mount))
        problem = node.unmount(20 * self.slack)
        check(not problem, f"the profile: {problem}: {node.said()[-300:]} {node.reports()[:2000]}")
        at.stop()
        return self.path("trace")

    def manifest(self, name):
        """The manifest's lines: {"index": ["SHA256", "SIZE"], ...}; and its own digest as "sha256"."""
        text = read_text(f"{self.store}/{name}.dlfuse")
        lines = {words[0]: words[1:] for words in map(str.split, text.splitlines())}
        lines["sha256"] = [hashlib.sha256(text.encode()).hexdigest()]
        return lines

    def make_certificates(self):
        """ca.pem vouches for good, expired and other-host; nobody for unknown. NAME.pem, NAME.key."""
        own = ["openssl", "req", "-x509", *NEW_KEY, "-days", "2"]
        for authority in ("ca", "unknown-ca"):
            names = ["-keyout", self.path(authority + ".key"), "-out", self.path(authority + ".pem")]
            run(*own, "-subj", f"/CN={authority}", *names)
        self.sign("good", "ca", "localhost", "30")
        self.sign("other-host", "ca", "elsewhere.test", "30")
        self.sign("unknown", "unknown-ca", "localhost", "30")
        # It ends as it begins; openssl 3.5 takes no date that has passed.
        self.sign("expired", "ca", "localhost", "0")

    def sign(self, name, authority, host, days):
        request, extra = self.path(name + ".csr"), self.path(name + ".ext")
        key = [*NEW_KEY, "-keyout", self.path(name + ".key")]
        run("openssl", "req", "-new", *key, "-subj", f"/CN={host}", "-out", request)
        with open(extra, "w", encoding="utf-8") as file:
            file.write(f"subjectAltName=DNS:{host}\n")
        by = ["-CA", self.path(authority + ".pem"), "-CAkey", self.path(authority + ".key"), "-CAcreateserial"]
        what = ["-in", request, "-days", days, "-extfile", extra, "-out", self.path(name + ".pem")]
        run("openssl", "x509", "-req", *by, *what)

    def cover(self, what, text):
        """Other content for a file of the machine, in this mount namespace only."""
        if not os.path.exists(what):
            raise Missing(f"{what} is missing")
        at = self.path("cover-" + os.path.basename(what))
        with open(at, "w", encoding="utf-8") as file:
            file.write(text)
        run("mount", "--bind", at, what)

    def close(self):
        for node in list(self.nodes):
            node.kill()
        for process in self.nginx:
            process.kill()
            process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def read_text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


class Node:
    """One dlfuse process."""

    def __init__(self, lab, name):
        self.lab = lab
        self.dir = lab.path("nodes", name)
        self.mount = self.dir + "/mnt"
        self.file = self.mount + "/root.img"
        self.log = self.dir + "/log"
        self.process = None
        self.peak_kib = 0
        os.makedirs(self.mount)

    def start(self, *arguments):
        with self.lab.lock:
            self.lab.nodes.add(self)
        environment = dict(os.environ)
        for name in SANITIZERS:
            before = environment.get(name + "_OPTIONS")
            environment[name + "_OPTIONS"] = (before + ":" if before else "") + f"log_path={self.dir}/sanitizer"
        plain = ["setarch", "-R"] if self.lab.sanitizer == "tsan" else []
        with open(self.log, "a", encoding="utf-8") as log:
            # Ended by unmount or kill.
            self.process = subprocess.Popen(
                [*plain, DLFUSE, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )

    def mount_begin(self, url, options):
        self.start("mount", "-f", "-o", options, url, self.mount)

    def serves(self, seconds):
        """True when it does, false when it ended or did not begin in time."""
        wait_for(seconds, lambda: self.ended() or os.path.exists(self.file))
        return not self.ended() and os.path.exists(self.file)

    def ended(self):
        self.note_peak()
        return self.process.poll() is not None

    def note_peak(self):
        found = re.search(r"VmHWM:\s+(\d+)", read_text(f"/proc/{self.process.pid}/status"))
        if found:
            self.peak_kib = max(self.peak_kib, int(found[1]))

    def status(self):
        return json.loads(run("timeout", "20", DLFUSE, "status", "--json", self.mount))

    def said(self):
        return read_text(self.log)

    def unmount(self, seconds):
        """As whoever uses it does; what is wrong with how it ends, or ""."""
        self.note_peak()
        deadline = time.monotonic() + seconds
        while subprocess.run(["fusermount3", "-u", self.mount], capture_output=True, check=False).returncode:
            if time.monotonic() > deadline:
                return "it cannot be unmounted"
            time.sleep(0.05)
        try:
            code = self.process.wait(max(1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return f"it does not end within {seconds:.0f} s of the unmount"
        return f"exit status {code} after the unmount" if code else ""

    def kill(self):
        """The way out after a failure. Whoever reads gets an error."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        subprocess.run(["umount", "-l", self.mount], capture_output=True, check=False)
        with self.lab.lock:
            self.lab.nodes.discard(self)

    def reports(self):
        """What sanitizers found."""
        return "".join(read_text(f"{self.dir}/{name}") for name in os.listdir(self.dir) if name.startswith("sanitizer"))
