"""The part of a dnsmasq configuration that boots the inventory's machines: addresses, and which file which firmware gets.

Firmware says its architecture in option 93 (RFC 4578), iPXE itself in option 175. dnsmasq answers as the DHCP server of the
networks, or, where dhcp = proxy, beside another one: then it names the boot file and gives no addresses.
"""

import re

# The words of dhcp-host= have no order: to dnsmasq these are a lease time, an order to ignore the machine, or an address, in
# any case. A machine of such a name gets it as an option of its own.
NO_NAME = re.compile(r"[0-9]+[smhdw]?|infinite|ignore", re.IGNORECASE)

# option 93 -> kind of boot file, and dnsmasq's word for it in pxe-service.
ARCHITECTURES = (
    (0, "bios", "x86PC"),
    (7, "efi-x64", "x86-64_EFI"),
    (9, "efi-x64", "BC_EFI"),
    (11, "efi-arm64", "ARM64_EFI"),
)


def address_lines(inventory):
    lines = []
    for network in inventory.networks:
        tag = f"dlfuse-{network.name}"
        subnet = network.subnet
        if network.dhcp == "proxy":
            lines.append(f"dhcp-range={subnet.network_address},proxy")
            continue
        if network.dhcp == "static":
            lines.append(f"dhcp-range=set:{tag},{subnet.network_address},static,{subnet.netmask},{network.lease}")
        else:
            lines.append(f"dhcp-range=set:{tag},{network.dhcp},{subnet.netmask},{network.lease}")
        if network.gateway:
            lines.append(f"dhcp-option=tag:{tag},option:router,{network.gateway}")
        if network.nameservers:
            lines.append(f"dhcp-option=tag:{tag},option:dns-server,{','.join(network.nameservers)}")
    return lines


def host_lines(inventory):
    lines = []
    for machine in inventory.machines:
        name, tag = machine.name, ""
        if NO_NAME.fullmatch(name):
            name, tag = "", f"dlfuse-host-{name}"
            lines.append(f'dhcp-option=tag:{tag},12,"{machine.name}"')
        words = [*machine.macs, tag and f"set:{tag}", machine.address, name]
        if machine.address or machine.name:
            lines.append("dhcp-host=" + ",".join(word for word in words if word))
    return lines


def boot_lines(inventory, proxy):
    boot = inventory.boot
    has_ipxe = "ipxe" in boot.write
    server = f",,{boot.tftp_server}" if boot.tftp_server else ""
    lines = []
    others = ""
    if has_ipxe:
        others = "tag:!dlfuse-ipxe,"
        script = f"{boot.url}ipxe/boot.ipxe" if boot.url else f"ipxe/boot.ipxe{server}"
        lines += ["dhcp-match=set:dlfuse-ipxe,175", f"dhcp-boot=tag:dlfuse-ipxe,{script}"]
    for number, kind, word in ARCHITECTURES:
        name = boot.files[kind]
        if not name:
            continue
        if proxy:
            server = f",{boot.tftp_server}" if boot.tftp_server else ""
            lines.append(f'pxe-service={others}{word},"dlfuse",{name}{server}')
        else:
            lines.append(f"dhcp-match=set:dlfuse-{kind},option:client-arch,{number}")
    if not proxy:
        lines += [
            f"dhcp-boot={others}tag:dlfuse-{kind},{name}{server}" for kind, name in boot.files.items() if name
        ]
    return lines


def render(inventory):
    boot = inventory.boot
    proxy = any(network.dhcp == "proxy" for network in inventory.networks)
    lines = []
    if not boot.tftp_server:
        lines += ["enable-tftp", f"tftp-root={boot.directory}"]
    lines += address_lines(inventory)
    if not proxy:
        lines += host_lines(inventory)
    lines += boot_lines(inventory, proxy)
    return "\n".join(lines) + "\n"
