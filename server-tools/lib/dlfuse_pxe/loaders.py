"""The boot loaders' files: texts for pxelinux, iPXE and GRUB, one for each MAC address, and the texts that find these.

How a machine gets its address without asking for it twice:

  The inventory has it       a complete ip=, the same for all loaders.
  Otherwise, ip = firmware   iPXE knows address, netmask and gateway and puts them in. GRUB knows the address; the rest is the
                             [network]'s, if there is one only. pxelinux appends ip=ADDRESS:SERVER:GATEWAY:NETMASK and BOOTIF=01-MAC
                             (IPAPPEND 3), which initramfs-tools takes. dracut 059 does not: no autoconf field is DHCP to it,
                             and DHCP with an address an error; systemd's generator wants an interface. There the initramfs
                             turns the two into our words for GRUB, before anything reads them (dlfuse-ip.sh).
                             A name server and the host name it has of us, or not at all: where a URL has a name and the
                             [network] no name server, it asks again, and with interface, which pxelinux cannot say.
  ip = dhcp                  The initramfs asks.

Which interface that is: dracut gets ifname=bootnet:MAC, a rule for udev, so that ip=…:bootnet:… is right under any names that the
kernel and the policy of systemd would give. initramfs-tools finds the interface of BOOTIF= by its MAC address.
"""

import ipaddress
import re

from .inventory import COMMAND_LINE_BYTES, Faulty

INTERFACE = "bootnet"
RETRY_SECONDS = 10
# A loader's own words beside ours: file names, and with IPAPPEND 3 four addresses and a MAC address.
LOADER_CHARACTERS = 64
IPAPPEND_CHARACTERS = 96


def file_mac(mac):
    return mac.replace(":", "-")


def says_ip(machine):
    return any(word.split("=")[0] == "ip" for word in machine.args)


def interface_words(machine, mac):
    """(field of ip=, words that make the interface have this name); mac may be a loader's variable, or empty."""
    if machine.interface:
        return machine.interface, []
    if machine.initramfs == "dracut":
        return (INTERFACE, [f"ifname={INTERFACE}:{mac}"]) if mac else ("", [])
    return "", [f"BOOTIF=01-{file_mac(mac)}"] if mac else []


def static_words(machine, mac, address, gateway, netmask, name):
    interface, words = interface_words(machine, mac)
    return [f"ip={address}::{gateway}:{netmask}:{name}:{interface}:none"] + words


def dhcp_words(machine, mac):
    interface, words = interface_words(machine, mac)
    if machine.initramfs == "dracut":
        return [f"ip={interface}:dhcp" if interface else "ip=dhcp"] + words
    return [f"ip=:::::{interface}:dhcp" if interface else "ip=dhcp"] + words


def nameserver_words(machine):
    return [f"nameserver={server}" for server in machine.network.nameservers] if machine.network else []


def inventory_words(machine, mac):
    """Words of a machine with an address of its own."""
    network = machine.network
    words = static_words(machine, mac, machine.address, network.gateway, network.subnet.netmask, machine.name)
    return words + nameserver_words(machine)


def unappended_words(machine):
    """Words that pxelinux does not add beside the address."""
    return ([f"rd.dlfuse.hostname={machine.name}"] if machine.name else []) + nameserver_words(machine)


def is_address(host):
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def lacks_nameserver(machine):
    """Whether a URL for the initramfs has a name, and no name server is given for it."""
    if nameserver_words(machine) or any(word.startswith("nameserver=") for word in machine.args):
        return False
    hosts = re.findall(r"https?://(?:[^/@]*@)?(\[[^]]*\]|[^/:?]*)", " ".join([machine.manifest, *machine.args]))
    return not all(is_address(host) for host in hosts)


def asks_itself(machine):
    return machine.ip == "dhcp" and not machine.address


def command_line(machine, network_words, appended=0):
    """All kernel arguments; appended is the number of characters that the loader may add by itself."""
    words = [f"root=dlfuse:{machine.manifest}", *network_words, *machine.args]
    most = COMMAND_LINE_BYTES - LOADER_CHARACTERS - appended
    if len(" ".join(words)) >= most:
        raise Faulty([(None, f"{machine.title}: its kernel arguments are too long, over {most} characters")])
    return words


def about(machine):
    group = f"group {machine.group}, " if machine.group and machine.macs else ""
    return f"{machine.title}: {group}image {machine.image}"


# pxelinux


def pxelinux(machine, mac):
    append = 0
    if says_ip(machine):
        words = []
    elif machine.address:
        words = inventory_words(machine, mac)
    elif asks_itself(machine) or machine.interface or lacks_nameserver(machine):
        words = dhcp_words(machine, mac)
        append = 0 if mac or machine.interface else 2  # BOOTIF=
    else:
        words = unappended_words(machine)
        append = 3  # ip= and BOOTIF=
    lines = [
        f"# {about(machine)}",
        "DEFAULT dlfuse",
        "PROMPT 0",
        f"TIMEOUT {RETRY_SECONDS * 10}",
        "LABEL dlfuse",
        f"    LINUX {machine.kernel}",
        f"    INITRD {','.join(machine.initrds)}",
        f"    APPEND {' '.join(command_line(machine, words, IPAPPEND_CHARACTERS if append else 0))}",
    ]
    if append:
        lines.append(f"    IPAPPEND {append}")
    return "\n".join(lines) + "\n"


# iPXE


def ipxe_file(name):
    """Relative names are relative to the script, which lies one directory below."""
    return name if "://" in name else f"../{name}"


def ipxe(machine, mac):
    own = "${netX/mac}"
    lines = ["#!ipxe", f"# {about(machine)}", ":again"]
    if says_ip(machine):
        words = []
    elif machine.address:
        words = inventory_words(machine, mac)
    elif asks_itself(machine):
        words = dhcp_words(machine, mac or own)
    else:
        words = static_words(machine, mac or own, "${netX/ip}", "${netX/gateway}", "${netX/netmask}", machine.name or "${hostname}")
        words.append("${nameserver}")
        lines.append("isset ${netX/dns} && set nameserver nameserver=${netX/dns} ||")
    if not mac:
        words = [word.replace(f"BOOTIF=01-{own}", "BOOTIF=01-${netX/mac:hexhyp}") for word in words]
    # An EFI kernel finds its initramfs by these names.
    names = ["initrd.img", *(f"initrd{number}.img" for number in range(2, len(machine.initrds) + 1))]
    words = [f"initrd={name}" for name in names] + command_line(machine, words)
    lines += [
        f"kernel {ipxe_file(machine.kernel)} {' '.join(words)} || goto failed",
        *(f"initrd --name {name} {ipxe_file(file)} || goto failed" for name, file in zip(names, machine.initrds)),
        "boot || goto failed",
        ":failed",
        f"echo dlfuse: kernel or initramfs of {machine.name or 'this machine'} cannot be had, again in {RETRY_SECONDS} seconds",
        "imgfree",
        f"sleep {RETRY_SECONDS}",
        "goto again",
    ]
    return "\n".join(lines) + "\n"


def ipxe_boot(has_default):
    lines = ["#!ipxe", "# Goes on with the script of this machine.", "chain --replace ${netX/mac:hexhyp}.ipxe ||"]
    if has_default:
        lines.append("chain --replace default.ipxe ||")
    lines += [
        "echo dlfuse: there is no script for ${netX/mac}, or it cannot be had",
        f"sleep {RETRY_SECONDS}",
        "exit 1",
    ]
    return "\n".join(lines) + "\n"


# GRUB


def grub_file(name):
    scheme, separator, rest = name.partition("://")
    if not separator:
        return f"/{name}"
    host, _, path = rest.partition("/")
    return f"({scheme},{host})/{path}"


def grub_word(word):
    """Variables stay alive; no other text of an inventory has a meaning between quotes."""
    return f'"{word}"' if "$" in word else f"'{word}'"


def grub(machine, mac):
    own = "$net_default_mac"
    if says_ip(machine):
        words = []
    elif machine.address:
        words = inventory_words(machine, mac)
    elif machine.network and machine.network.dhcp != "proxy" and not asks_itself(machine):
        network = machine.network
        words = static_words(machine, mac or own, "$net_default_ip", network.gateway, network.subnet.netmask, machine.name)
        words += nameserver_words(machine)
    else:
        words = dhcp_words(machine, mac or own)
    words = [word.replace(f"BOOTIF=01-{own}", "BOOTIF=$dlfuse_bootif") for word in words]
    linux = " ".join(grub_word(word) for word in command_line(machine, words))
    initrds = " ".join(f"'{grub_file(name)}'" for name in machine.initrds)
    lines = [
        f"# {about(machine)}",
        "while true; do",
        f"    if linux '{grub_file(machine.kernel)}' {linux}; then",
        f"        if initrd {initrds}; then",
        "            boot",
        "        fi",
        "    fi",
        f"    echo 'dlfuse: kernel or initramfs cannot be had, again in {RETRY_SECONDS} seconds'",
        f"    sleep {RETRY_SECONDS}",
        "done",
    ]
    if any("://" in name for name in (machine.kernel, *machine.initrds)):
        lines.insert(1, "insmod http")
    return "\n".join(lines) + "\n"


def grub_main(has_default):
    """GRUB itself looks for grub.cfg-01-MAC only when it came over TFTP, and not in all versions."""
    pairs = [f"mac{number}" for number in range(1, 7)]
    sets = " ".join(f"--set={number}:{pair}" for number, pair in enumerate(pairs, 1))
    pattern = ":".join(["(..)"] * 6)
    lines = [
        "# Goes on with the configuration of this machine.",
        "insmod regexp",
        f"regexp {sets} '^{pattern}$' \"$net_default_mac\"",
        f"set dlfuse_bootif=01-{'-'.join('$' + pair for pair in pairs)}",
        "source $prefix/grub.cfg-$dlfuse_bootif",
    ]
    if has_default:
        lines.append("source $prefix/grub.cfg-default")
    lines += [
        'echo "dlfuse: there is no configuration for $net_default_mac, or it cannot be had"',
        f"sleep {RETRY_SECONDS}",
        "exit",
    ]
    return "\n".join(lines) + "\n"


def render(inventory):
    """Path in the directory -> text, for every file that the inventory wants."""
    files = {}
    write = inventory.boot.write
    machines = [(machine, mac) for machine in inventory.machines for mac in machine.macs]
    if inventory.default:
        machines.append((inventory.default, ""))
    has_default = inventory.default is not None
    if "ipxe" in write:
        files["ipxe/boot.ipxe"] = ipxe_boot(has_default)
    if "grub" in write:
        files["grub/grub.cfg"] = grub_main(has_default)
    for machine, mac in machines:
        name = file_mac(mac)
        if "pxelinux" in write:
            files[f"pxelinux.cfg/01-{name}" if mac else "pxelinux.cfg/default"] = pxelinux(machine, mac)
        if "ipxe" in write:
            files[f"ipxe/{name or 'default'}.ipxe"] = ipxe(machine, mac)
        if "grub" in write:
            files[f"grub/grub.cfg-01-{name}" if mac else "grub/grub.cfg-default"] = grub(machine, mac)
    return files
