/* dlfuse handover: checks that the loop device stands on the mount's root.img, then arms. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fuse/commands.h"
#include "fuse/control.h"
#include "fuse/handover.h"

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "dlfuse handover: %s: %s\n", what, why);
    return DLF_EXIT_FAILED;
}

/* Does the loop device stand on a file in memory? A hand-over ends with that. */
static bool stands_on_memory(const char *path)
{
    static const char memory[] = "/memfd:";
    char name[96];
    char file[sizeof(memory)] = "";
    struct stat device;
    if (stat(path, &device) < 0 || !S_ISBLK(device.st_mode))
        return false;
    snprintf(name, sizeof(name), "/sys/dev/block/%u:%u/loop/backing_file", major(device.st_rdev),
             minor(device.st_rdev));
    FILE *in = fopen(name, "re");
    bool does = in && fgets(file, sizeof(file), in) && strcmp(file, memory) == 0;
    if (in)
        fclose(in);
    return does;
}

/* Is the device read-only and on this file? Says so if not. */
static int check_device(const char *path, const struct stat *image, struct stat *device)
{
    struct loop_info64 info;
    char type[32];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(path, strerror(errno));
    int rc = fstat(fd, device) < 0 || !S_ISBLK(device->st_mode)
                 ? -1
                 : ioctl(fd, LOOP_GET_STATUS64, &info);
    close(fd);
    if (rc < 0)
        return fail(path, "not a loop device in use");
    if (info.lo_device != image->st_dev || info.lo_inode != image->st_ino)
        return fail(path, stands_on_memory(path)
                              ? "stands on memory already, nothing is left to hand over"
                              : "this loop device does not stand on the mount's " DLF_IMAGE_FILE);
    if (!(info.lo_flags & LO_FLAGS_READ_ONLY))
        return fail(path, "the loop device is not read-only; set it up with losetup -r");
    if (dlf_handover_kills(major(device->st_rdev), minor(device->st_rdev), type)) {
        fprintf(stderr,
                "dlfuse handover: %s: this kernel would shut the %s on it down; mount it from a "
                "second loop device on %s\n",
                path, type, path);
        return DLF_EXIT_FAILED;
    }
    return DLF_EXIT_OK;
}

/* There is no mount that could be asked; code is the errno. */
static int no_mount(const char *directory, const char *device, int code)
{
    if (!stands_on_memory(device))
        return fail(directory, dlf_cmd_why_none(code));
    fprintf(stderr,
            "dlfuse handover: %s: %s; %s stands on memory already, nothing is left to hand over\n",
            directory, dlf_cmd_why_none(code), device);
    return DLF_EXIT_FAILED;
}

static const char *explain(int code)
{
    switch (code) {
    case EALREADY:
        return "a hand-over is armed already";
    case EBUSY:
        return "the kernel has refused a hand-over before; the node's log says why";
    case EOPNOTSUPP:
        return "the cache is smaller than the image's data, so it will never be complete; mount "
               "with "
               "a larger -o cache=";
    case ENOTTY:
        return "no dlfuse is mounted there";
    case ENOENT:
    case ENODEV:
        return "the node finds no such loop device where it runs: not in its mount namespace";
    default:
        return dlf_cmd_why_none(code);
    }
}

int dlf_cmd_handover(int argc, char **argv)
{
    char path[PATH_MAX];
    char name[PATH_MAX]; /* the node has another working directory */
    struct stat image;
    struct stat device;
    struct dlf_handover_request request = {.path = ""};
    if (argc != 2 || argv[0][0] == '-') {
        fputs("dlfuse handover: DIR and LOOPDEV are needed; see dlfuse --help\n", stderr);
        return DLF_EXIT_USAGE;
    }
    if (!realpath(argv[1], name))
        return fail(argv[1], strerror(errno));
    if (strlen(name) >= sizeof(request.path))
        return fail(name, "the name is too long");
    snprintf(path, sizeof(path), "%s/" DLF_IMAGE_FILE, argv[0]);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return no_mount(argv[0], name, errno);
    if (fstat(fd, &image) < 0) {
        close(fd);
        return fail(path, strerror(errno));
    }
    int rc = check_device(name, &image, &device);
    if (rc == DLF_EXIT_OK) {
        memcpy(request.path, name, strlen(name) + 1);
        request.device_major = major(device.st_rdev);
        request.device_minor = minor(device.st_rdev);
        if (ioctl(fd, DLF_IOC_HANDOVER, &request) < 0)
            rc = fail(argv[0], explain(errno));
    }
    close(fd);
    return rc;
}
