#!/usr/bin/env python3
"""Firmware that looks for something to boot, as far as a DHCP server sees it: dhcp-client.py INTERFACE [KEY=VALUE]...

    mac=52:54:00:12:34:01   arch=0 (option 93; 7 is x64 EFI)   ipxe=1 (option 175)
    server=ADDRESS          ask this one on port 4011, as firmware does after an answer of a proxy
    item=N                  for that entry of the menu which the proxy offered

Prints what it is offered: address, next server, file and some options, KEY=VALUE, one a line; "no answer" after three
seconds. The interface needs an address of its own.
"""
import os
import socket
import struct
import sys

NAMES = {1: "netmask", 3: "router", 6: "dns", 12: "hostname", 51: "lease", 60: "class"}
settings = dict(word.split("=", 1) for word in sys.argv[2:])
mac = bytes.fromhex(settings.get("mac", "52:54:00:00:00:01").replace(":", ""))
arch = int(settings.get("arch", "0"))
server = settings.get("server")


def option(code, value):
    return bytes((code, len(value))) + value


client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, sys.argv[1].encode() + b"\0")
client.bind(("", 68))
client.settimeout(3)

transaction = os.urandom(4)
address = bytes(4)
if server:
    # By now firmware has an address.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((server, 4011))
        address = socket.inet_aton(probe.getsockname()[0])
packet = struct.pack(">BBBB4sHH", 1, 1, 6, 0, transaction, 0, 0x8000) + address + bytes(12) + mac + bytes(10 + 64 + 128)
packet += b"\x63\x82\x53\x63" + option(53, b"\x03" if server else b"\x01")
packet += option(55, bytes((1, 3, 6, 12, 43, 60, 66, 67)))
packet += option(60, f"PXEClient:Arch:{arch:05}:UNDI:002001".encode()) + option(93, struct.pack(">H", arch))
packet += option(94, b"\x01\x02\x01") + option(97, b"\x00" + bytes(10) + mac)
if settings.get("ipxe"):
    packet += option(175, option(0xEB, b"\x01\x00\x00")) + option(77, b"iPXE")
if settings.get("item"):
    packet += option(43, option(71, struct.pack(">HH", int(settings["item"]), 0)) + b"\xff")
packet += b"\xff"

client.sendto(packet, (server, 4011) if server else ("255.255.255.255", 67))
try:
    answer = b""
    while answer[4:8] != transaction:
        answer = client.recv(2048)
except TimeoutError:
    sys.exit("no answer")

print(f"address={socket.inet_ntoa(answer[16:20])}")
print(f"next-server={socket.inet_ntoa(answer[20:24])}")
file = answer[108:236].split(bytes(1))[0]
at = 240
while answer[at] != 255:
    if answer[at] == 0:
        at += 1
        continue
    code, length = answer[at], answer[at + 1]
    value = answer[at + 2 : at + 2 + length]
    at += 2 + length
    if code in (1, 3, 6):
        addresses = [socket.inet_ntoa(value[n : n + 4]) for n in range(0, length, 4)]
        print(f"{NAMES[code]}={','.join(addresses)}")
    elif code == 51:
        print(f"{NAMES[code]}={struct.unpack('>I', value)[0]}")
    elif code == 43:
        # PXE's own options; 9 is the menu, each entry of which begins with its number.
        inner = 0
        while inner < length and value[inner] != 255:
            if value[inner] == 9:
                print(f"item={struct.unpack_from('>H', value, inner + 2)[0]}")
            inner += 2 + value[inner + 1]
    elif code == 67:
        file = value.rstrip(bytes(1))
    elif code in NAMES:
        print(f"{NAMES[code]}={value.rstrip(bytes(1)).decode()}")
print(f"file={file.decode()}")
