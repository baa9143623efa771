#!/usr/bin/env python3
"""A DNS server that knows one address for every name: name-server.py ADDRESS ANSWER LOG.

Listens on UDP port 53 of ADDRESS. Each question is a line in LOG: its type and its name. Questions
for IPv4 addresses are answered with ANSWER, all others with nothing.
"""
import socket
import struct
import sys

address, answer, log = sys.argv[1:]
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((address, 53))
while True:
    query, client = server.recvfrom(512)
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    at += 1
    (kind,) = struct.unpack_from(">H", query, at)
    with open(log, "a", encoding="ascii") as lines:
        lines.write(f"{kind} {'.'.join(labels)}\n")
    records = b""
    if kind == 1:
        records = struct.pack(">HHHIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(answer)
    head = query[:2] + struct.pack(">HHHHH", 0x8580, 1, int(bool(records)), 0, 0)
    server.sendto(head + query[12 : at + 4] + records, client)
