/* The dlfuse program: picks the command. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fuse/commands.h"

static const char help[] =
    "Usage: dlfuse mount [-f] [-o OPTIONS] URL DIR\n"
    "       dlfuse download [-q] [-o OPTIONS] URL FILE\n"
    "       dlfuse fetch [-q] [-o OPTIONS] URL FILE|-\n"
    "       dlfuse status [--json|--metrics] DIR\n"
    "       dlfuse trace DIR\n"
    "       dlfuse handover DIR LOOPDEV\n"
    "       dlfuse copy-attributes FROM TO\n"
    "\n"
    "Serves a block image out of a chunk store on an HTTP server, verified, from the first bytes\n"
    "on, and keeps what it has fetched in RAM until the image is complete.\n"
    "\n"
    "  mount      shows the image as DIR/root.img (also: mount -t fuse.dlfuse URL DIR)\n"
    "  download   fetches the whole image into FILE; resumes FILE.part\n"
    "  fetch      any file, without a store: complete, resumed, or refused\n"
    "  status     what is present, fetched and waited for, of the mount on DIR; --metrics: for\n"
    "             Prometheus\n"
    "  trace      what was read of it first and how that came: a boot profile for\n"
    "             dlfuse-chunker create --profile\n"
    "  handover   when complete, moves LOOPDEV from DIR/root.img to RAM and ends the mount\n"
    "  copy-attributes\n"
    "             gives TO the owner, mode, times, ACLs and security labels of FROM\n"
    "\n"
    "URL is http:// or https:// and ends in /NAME.dlfuse.\n"
    "\n"
    "  -f             stay in the foreground, log to stderr\n"
    "  -q, --quiet    no progress bar\n"
    "  -o cache=SIZE  most bytes of the image in RAM: 512M, 2G, 50% (of RAM, the default)\n"
    "  -o fill=0      do not fetch what nobody reads (default 1)\n"
    "  -o prefetch=0  do not read ahead (default 1)\n"
    "  -o hedge=0     do not make requests again that stay silent (default 1)\n"
    "  -o boot=0      do not use the image's boot pack (default 1)\n"
    "  -o fillrate=SIZE     bytes a second that the fill takes at most; 0, the default: no limit\n"
    "  -o filldelay=SECONDS with a boot pack the fill begins a random time after the boot, at "
    "most\n"
    "                 so long (default 10)\n"
    "  -o mirror=URL  another place of the same store; may be repeated\n"
    "  -o proxy=URL   ask through this proxy; without it as http_proxy and its like say\n"
    "  -o ca=FILE     https: trust these certificates and no others\n"
    "  -o headers=FILE      lines to send with each request, a password or token for example\n"
    "  -o keys=DIR, --keys DIR  take only manifests that a key in DIR/*.pem has signed; fetch:\n"
    "                 only a file that is in URL.sums, signed by one\n"
    "  -o serial=N    take no older version than N\n"
    "  -o digest=SHA256     take only this manifest\n"
    "  -o timeout=SECONDS   fail reads after so long; 0, the default: try for ever\n"
    "  -o ending=SECONDS    rootfs: how long a machine that goes down waits for servers (30)\n"
    "  -o room=SIZE   fetch: refuse a file that is longer\n"
    "  -o report=URL  mount: GET it with host, image, serial and state: ready, independent\n"
    "  -o trouble=FILE      mount: keep the last failure there, for scripts\n"
    "  -o log=stderr|syslog|kmsg, debug, allow_other, rootfs, chroot=DIR   see dlfuse(1)\n"
    "\n"
    "  --help, --version\n";

static int usage(const char *what, const char *arg)
{
    fprintf(stderr, "dlfuse: %s%s; see dlfuse --help\n", what, arg);
    return DLF_EXIT_USAGE;
}

static int print(const char *text)
{
    return fputs(text, stdout) < 0 || fflush(stdout) != 0 ? DLF_EXIT_FAILED : DLF_EXIT_OK;
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0)
        return print(help);
    if (strcmp(command, "--version") == 0)
        return print("dlfuse " DLFUSE_VERSION "\n");
    if (strcmp(command, "mount") == 0)
        return dlf_cmd_mount(argc - 2, argv + 2, argv[0]);
    /* mount(8) calls the program of type fuse.dlfuse with the source first. */
    if (strstr(command, "://"))
        return dlf_cmd_mount(argc - 1, argv + 1, argv[0]);
    if (strcmp(command, "download") == 0)
        return dlf_cmd_download(argc - 2, argv + 2);
    if (strcmp(command, "fetch") == 0)
        return dlf_cmd_fetch(argc - 2, argv + 2);
    if (strcmp(command, "status") == 0)
        return dlf_cmd_status(argc - 2, argv + 2);
    if (strcmp(command, "trace") == 0)
        return dlf_cmd_trace(argc - 2, argv + 2);
    if (strcmp(command, "handover") == 0)
        return dlf_cmd_handover(argc - 2, argv + 2);
    if (strcmp(command, "copy-attributes") == 0)
        return dlf_cmd_copy_attributes(argc - 2, argv + 2);
    return *command ? usage("unknown command ", command) : usage("a command is missing", "");
}
