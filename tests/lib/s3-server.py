#!/usr/bin/python3
"""An S3 server: OpenStack Swift with its S3 API, all of it in one process, on loopback.

    s3-server.py DIR PORT

DIR is on a file system with extended attributes of users. The key is test:tester, the secret testing. What everybody may read is
also at http://127.0.0.1:PORT/v1/AUTH_test/BUCKET/OBJECT. Prints a line when it can be asked.
"""

import logging
import os
import sys

import eventlet

eventlet.monkey_patch()

from eventlet import wsgi
from swift.common import utils
from swift.common.ring import RingBuilder
from swift.common.wsgi import loadapp

PROXY = """[DEFAULT]
swift_dir = {dir}
[pipeline:main]
pipeline = catch_errors memory s3api tempauth slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:memory]
paste.filter_factory = dlfuse_s3_server:memory_factory
[filter:s3api]
use = egg:swift#s3api
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:slo]
use = egg:swift#slo
"""

STORAGE = """[DEFAULT]
swift_dir = {dir}
devices = {dir}/devices
mount_check = false
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""


class Memory:
    """As much of memcached as Swift asks for: nothing expires."""

    def __init__(self):
        self.values = {}

    def get(self, key, **_):
        return self.values.get(key)

    def set(self, key, value, **_):
        self.values[key] = value

    def incr(self, key, delta=1, **_):
        self.values[key] = self.values.get(key, 0) + delta
        return self.values[key]

    def decr(self, key, delta=1, **_):
        return self.incr(key, -delta)

    def delete(self, key, **_):
        self.values.pop(key, None)


def memory_factory(_global_conf, **_local_conf):
    memory = Memory()

    def with_memory(app):
        def call(environment, start_response):
            environment["swift.cache"] = memory
            return app(environment, start_response)
        return call
    return with_memory


def listen():
    return eventlet.listen(("127.0.0.1", 0))


def make_ring(directory, kind, port):
    builder = RingBuilder(1, 1, 0)
    builder.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1, "ip": "127.0.0.1", "port": port, "device": "disk",
                     "replication_ip": "127.0.0.1", "replication_port": port, "meta": ""})
    builder.rebalance()
    builder.get_ring().save(os.path.join(directory, f"{kind}.ring.gz"))


def serve(directory, kind, text, sock):
    path = os.path.join(directory, f"{kind}-server.conf")
    with open(path, "w", encoding="utf-8") as conf:
        conf.write(text.format(dir=directory, kind=kind))
    app = loadapp(path)
    eventlet.spawn(wsgi.server, sock, app, logging.getLogger(kind), max_size=64, log_output=False)


def main():
    directory, port = os.path.abspath(sys.argv[1]), int(sys.argv[2])
    sys.modules["dlfuse_s3_server"] = sys.modules["__main__"]
    os.makedirs(os.path.join(directory, "devices/disk"))
    with open(os.path.join(directory, "swift.conf"), "w", encoding="utf-8") as conf:
        conf.write("[swift-hash]\nswift_hash_path_suffix = dlfuse\n[storage-policy:0]\nname = only\ndefault = yes\n")
    utils.SWIFT_CONF_FILE = os.path.join(directory, "swift.conf")
    utils.HASH_PATH_SUFFIX = b"dlfuse"
    for kind in ("account", "container", "object"):
        sock = listen()
        make_ring(directory, kind, sock.getsockname()[1])
        serve(directory, kind, STORAGE, sock)
    serve(directory, "proxy", PROXY, eventlet.listen(("127.0.0.1", port)))
    print("listening", flush=True)
    eventlet.sleep(10 ** 6)


if __name__ == "__main__":
    main()
