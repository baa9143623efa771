"""The parts of dlfuse-pxe: each module names the things that it owns. Arrows point one way: the program -> check, tree, migrate -> syslinux,
loaders, dnsmasq -> inventory. Only tree writes files, only check uses the network.
"""

VERSION = "0.1.0"
