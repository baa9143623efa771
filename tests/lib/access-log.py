#!/usr/bin/env python3
"""Sums up an access log of nginx.sh or the server of faults as JSON.

For each kind of object (manifest, index, pack, boot, other): requests, body bytes sent, distinct bytes
(each byte of an object counted once), repeated bytes, requests without a Range header. Lines that
are still being written are left out.
"""

import json
import re
import sys

KINDS = ("manifest", "index", "pack", "boot", "other")


def kind_of(path):
    if path.endswith(".dlfuse") or "/manifest/" in path:
        return "manifest"
    for kind in ("index", "pack", "boot"):
        if f"/{kind}/" in path:
            return kind
    return "other"


def distinct(ranges):
    """Bytes that a list of [begin, end) covers."""
    total = 0
    reached = 0
    for begin, end in sorted(ranges):
        begin = max(begin, reached)
        if end > begin:
            total += end - begin
            reached = end
    return total


def main():
    sums = {k: {"requests": 0, "bytes": 0, "without_range": 0} for k in KINDS}
    covered = {k: {} for k in KINDS}
    statuses = {}
    connections = set()
    with open(sys.argv[1], encoding="utf-8") as log:
        for line in log:
            fields = line.rstrip("\n").split("\t")
            if not line.endswith("\n") or len(fields) != 7:
                continue
            _method, path, status, sent, http_range, connection, _seconds = fields
            kind = kind_of(path)
            statuses[status] = statuses.get(status, 0) + 1
            connections.add(connection)
            sums[kind]["requests"] += 1
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", http_range)
            if not found:
                sums[kind]["without_range"] += 1
            if not status.startswith("2"):
                continue
            sums[kind]["bytes"] += int(sent)
            begin = int(found.group(1)) if found and status == "206" else 0
            covered[kind].setdefault(path, []).append((begin, begin + int(sent)))
    for kind in KINDS:
        bytes_distinct = sum(distinct(r) for r in covered[kind].values())
        sums[kind]["distinct"] = bytes_distinct
        sums[kind]["repeated"] = sums[kind]["bytes"] - bytes_distinct
    sums["requests"] = sum(sums[k]["requests"] for k in KINDS)
    sums["bytes"] = sum(sums[k]["bytes"] for k in KINDS)
    sums["statuses"] = statuses
    sums["connections"] = len(connections)
    json.dump(sums, sys.stdout)


if __name__ == "__main__":
    main()
