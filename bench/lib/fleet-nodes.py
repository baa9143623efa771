#!/usr/bin/env python3
"""A fleet of nodes on one machine, for bench/fleet. Starts them, measures when each is ready, ends them.

usage: fleet-nodes.py boot  [OPTION...] --trace TRACE --image FILE --dir DIR --dlfuse PROGRAM --nodes N URL
       fleet-nodes.py fetch --nodes N URL

boot: a node is one "dlfuse mount -f" and one process that reads what the trace touched until ready, in
order, past the page cache. fetch: a node is one curl to /dev/null. Prints JSON: for each node the seconds
from the start of the first one until its last byte, and the CPU seconds of all of them until then.
When no clock runs any more, what each node read is compared with FILE.

  --count PID:DEVICE    may be repeated: bytes that TCP sent from there until all were ready ("sent")
  --options TEXT        for dlfuse mount -o
  --think               reads are as far apart as in the trace, less what they waited there
  --late N              when all are ready, and --settle seconds (2) later, N more nodes boot with
                        --late-options; the times are then theirs
"""

import argparse
import ctypes
import json
import mmap
import os
import resource
import signal
import subprocess
import sys
import time

BLOCK = 4096
APPEAR_SECONDS = 120


class Failed(Exception):
    pass


def load_trace(path):
    """Touches up to "ready": (offset, bytes, seconds to think before it)."""
    touches, before_us = [], None
    with open(path, encoding="ascii") as file:
        if file.readline().rstrip("\n") != "dlfuse-trace 1":
            raise Failed(f"{path}: not a trace of version 1")
        for line in file:
            words = line.split()
            if words[0] == "ready":
                break
            if words[0] != "touch":
                continue
            us, offset, length, waited_us = int(words[1]), int(words[2]), int(words[3]), int(words[5])
            # The first touch comes when the image is mounted: that is not thinking.
            think_us = 0 if before_us is None else max(0, us - before_us)
            touches.append((offset, length, think_us / 1e6))
            before_us = us + waited_us
    if not touches:
        raise Failed(f"{path}: nothing was read in it")
    return touches


def open_direct(path):
    end = time.monotonic() + APPEAR_SECONDS
    while True:
        try:
            return os.open(path, os.O_RDONLY | os.O_DIRECT)
        except FileNotFoundError:
            if time.monotonic() > end:
                raise
        time.sleep(0.002)


def tcp_sent(where):
    """Bytes sent by a device in the network of a process. A burst of segments counts as one packet with one
    header of 66 bytes: without those it is what TCP carried, whatever the size of bursts."""
    pid, device = where.split(":")
    with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
        for line in file:
            fields = line.replace(":", " ").split()
            if fields[0] == device:
                return int(fields[9]) - 66 * int(fields[10])
    raise Failed(f"no device {device} in the network of {pid}")


class Reader:
    """Reads whole blocks around a touch. The file may end inside the last one."""

    def __init__(self, path, touches):
        self.fd = open_direct(path)
        self.buffer = memoryview(mmap.mmap(-1, max(length for _, length, _ in touches) + 2 * BLOCK))

    def read(self, offset, length):
        begin = offset // BLOCK * BLOCK
        end = (offset + length + BLOCK - 1) // BLOCK * BLOCK
        done = 0
        while done < offset + length - begin:
            n = os.preadv(self.fd, [self.buffer[done:end - begin]], begin + done)
            if n == 0:
                raise Failed(f"the image ends at {begin + done}")
            done += n
        return self.buffer[offset - begin:offset - begin + length]


class Node:
    def __init__(self, fleet, name, options, verify_fd):
        self.dir = os.path.join(fleet.args.dir, name)
        self.log = self.dir + ".log"
        os.mkdir(self.dir)
        command = [fleet.args.dlfuse, "mount", "-f"] + (["-o", options] if options else []) + [fleet.args.url, self.dir]
        with open(self.log, "wb") as log:
            # A daemon must not outlive a bench that was killed.
            self.daemon = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=die_with_parent)
        out, into = os.pipe()
        self.reader = os.fork()
        if self.reader == 0:
            os.close(out)
            os._exit(self.boot(fleet, into, verify_fd))
        os.close(into)
        self.result = os.fdopen(out)

    def boot(self, fleet, result_fd, verify_fd):
        """The reader's process: its exit status."""
        try:
            die_with_parent()
            os.close(fleet.verify[1])
            reader = Reader(os.path.join(self.dir, "root.img"), fleet.touches)
            mounted = time.monotonic()
            for offset, length, think in fleet.touches:
                if fleet.args.think and think:
                    time.sleep(think)
                reader.read(offset, length)
            ready = time.monotonic()
            os.write(result_fd, f"{mounted} {ready} {time.process_time()}\n".encode())
            os.close(result_fd)
            with open(os.path.join(self.dir, "control"), "w", encoding="ascii") as control:
                control.write("ready\n")
            os.read(verify_fd, 1)
            image = os.open(fleet.args.image, os.O_RDONLY)
            for offset, length, _ in fleet.touches:
                if reader.read(offset, length) != os.pread(image, length, offset):
                    raise Failed(f"at {offset}: not the image's bytes")
            return 0
        except (OSError, Failed) as error:
            print(f"fleet-nodes: {self.dir}: {error}", file=sys.stderr)
            return 1

    def wait_ready(self):
        """(mounted, ready, the reader's CPU seconds), times as the monotonic clock says."""
        line = self.result.readline().split()
        if not line:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                raise Failed(f"a node is not ready: {log.read()[-500:]}")
        return tuple(map(float, line))

    def cpu_s(self):
        with open(f"/proc/{self.daemon.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def verified(self):
        """To be called once the verify pipe is closed; False also when the reader did not get so far."""
        pid, self.reader = self.reader, None
        return os.waitpid(pid, 0)[1] == 0

    def end(self):
        if self.reader is not None:
            os.kill(self.reader, signal.SIGKILL)
            os.waitpid(self.reader, 0)
        self.daemon.send_signal(signal.SIGTERM)
        try:
            self.daemon.wait(10)
        except subprocess.TimeoutExpired:
            subprocess.run(["fusermount3", "-u", "-z", self.dir], check=False)
            self.daemon.kill()
            self.daemon.wait()


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Fleet:
    def __init__(self, args):
        self.args = args
        self.touches = load_trace(args.trace)
        self.verify = os.pipe()
        self.nodes = []

    def wave(self, count, name, options):
        """Boots count nodes and waits for all: what main prints."""
        start, sent = time.monotonic(), [tcp_sent(where) for where in self.args.count]
        nodes = []
        for i in range(count):
            nodes.append(Node(self, f"{name}{i}", options, self.verify[0]))
            self.nodes.append(nodes[-1])
        times = [node.wait_ready() for node in nodes]
        sent = [tcp_sent(where) - before for where, before in zip(self.args.count, sent)]
        return {"sent": sent, "mount_s": [round(t[0] - start, 6) for t in times], "node_s": [round(t[1] - start, 6) for t in times],
                "cpu_s": round(sum(t[2] for t in times) + sum(node.cpu_s() for node in nodes), 3),
                "bytes_read": count * sum(length for _, length, _ in self.touches)}

    def check(self):
        os.close(self.verify[1])
        # All of them, not only up to the first bad one.
        if not all([node.verified() for node in self.nodes]):
            raise Failed("a node has read something else than the image")

    def end(self):
        for node in self.nodes:
            node.end()


def boot(args):
    fleet = Fleet(args)
    try:
        result = fleet.wave(args.nodes, "node", args.options)
        if args.late:
            time.sleep(args.settle)
            result = fleet.wave(args.late, "late", args.late_options)
        fleet.check()
        return result
    finally:
        fleet.end()


def fetch(args):
    start, sent = time.monotonic(), [tcp_sent(where) for where in args.count]
    running = {}
    times = []
    try:
        for _ in range(args.nodes):
            curl = subprocess.Popen(["curl", "--fail", "--silent", "--show-error", "-o", "/dev/null", args.url], preexec_fn=die_with_parent)
            running[curl.pid] = curl
        while running:
            pid, status = os.wait()
            times.append(round(time.monotonic() - start, 6))
            running.pop(pid).returncode = os.waitstatus_to_exitcode(status)
            if status != 0:
                raise Failed(f"curl of {args.url} fails")
    finally:
        for curl in running.values():
            curl.kill()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    sent = [tcp_sent(where) - before for where, before in zip(args.count, sent)]
    return {"sent": sent, "mount_s": None, "node_s": times, "cpu_s": round(usage.ru_utime + usage.ru_stime, 3), "bytes_read": None}


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("what", choices=("boot", "fetch"))
    parser.add_argument("--nodes", type=int, required=True)
    for name in ("--trace", "--image", "--dir", "--dlfuse", "--options", "--late-options"):
        parser.add_argument(name)
    parser.add_argument("--count", action="append", default=[])
    parser.add_argument("--think", action="store_true")
    parser.add_argument("--late", type=int, default=0)
    parser.add_argument("--settle", type=float, default=2)
    parser.add_argument("url")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        print(json.dumps(boot(args) if args.what == "boot" else fetch(args)))
    except Failed as error:
        print(f"fleet-nodes: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
