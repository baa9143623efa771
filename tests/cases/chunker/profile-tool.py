#!/usr/bin/env python3
"""Boot traces and boot packs by hand, from docs/FORMAT.md and no line of dlfuse.

  profile-tool.py trace STORE NAME WORD...   a trace; WORD: a chunk's number, or "ready"
  profile-tool.py table STORE NAME           "boot: N N ..." and "later: N N ..."
  profile-tool.py head STORE NAME            the boot pack's copy of the index head, to stdout
  profile-tool.py at STORE NAME OFFSET...    the number of the chunk at each offset of the image
"""

import struct
import sys


def manifest(store, name):
    with open(f"{store}/{name}.dlfuse", encoding="ascii") as f:
        return dict(line.rstrip("\n").split(" ", 1) for line in f)


def records(store, m):
    """(offset, length, xxh3) of each chunk."""
    digest, size = m["index"].split()
    head = int(m["index-head"].split()[1])
    with open(f"{store}/index/{digest}", "rb") as f:
        data = f.read()
    assert len(data) == int(size)
    for at in range(head, len(data), 72):
        yield struct.unpack_from("<QI", data, at) + struct.unpack_from("<Q", data, at + 32)


def print_trace(m, chunks, words):
    print("dlfuse-trace 1")
    print("image", m["name"], m["serial"], m["index"].split()[0])
    us = 0
    for us, word in enumerate(words, 1000):
        if word == "ready":
            print("ready", us)
            continue
        offset, length, xxh3 = chunks[int(word)]
        print("touch", us, offset, length, f"{xxh3:016x}", 17)
        # Lines that say nothing about order.
        print("fetch", us, offset, length, 1, "demand", us - 1)
        print("fill", us, 4096)
    print("complete", us)
    print("end", us + 1)


def print_table(store, m):
    digest, _ = m["boot"].split()
    with open(f"{store}/boot/{digest}", "rb") as f:
        data = f.read()
    count, later = struct.unpack_from("<II", data, 16)
    print("boot:", *(struct.unpack_from("<I", data, 64 + 72 * i + 16)[0] for i in range(count)))
    print("later:", *struct.unpack_from(f"<{later}I", data, 64 + 72 * count))


def copy_head(store, m):
    digest, _ = m["boot"].split()
    with open(f"{store}/boot/{digest}", "rb") as f:
        data = f.read()
    count, later = struct.unpack_from("<II", data, 16)
    begin = 64 + 72 * count + 4 * later
    end = struct.unpack_from("<I", data, 64 + 20)[0]  # where the first chunk lies
    sys.stdout.buffer.write(data[begin:end])


def main():
    command, store, name, *words = sys.argv[1:]
    m = manifest(store, name)
    if command == "trace":
        print_trace(m, list(records(store, m)), words)
    elif command == "table":
        print_table(store, m)
    elif command == "head":
        copy_head(store, m)
    elif command == "at":
        chunks = list(records(store, m))
        for word in words:
            found = [i for i, c in enumerate(chunks) if c[0] <= int(word) < c[0] + c[1]]
            print(*found)
    else:
        sys.exit(__doc__)


main()
