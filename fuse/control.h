/*
 * How `dlfuse status` and `dlfuse handover` reach a running `dlfuse mount`: through the mount
 * itself. status.json is read like a file; hand-over is an ioctl on root.img. No socket, no pid
 * file, and the mount's own permissions control access.
 */
#ifndef DLFUSE_FUSE_CONTROL_H
#define DLFUSE_FUSE_CONTROL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define DLF_IMAGE_FILE "root.img"
#define DLF_STATUS_FILE "status.json"
#define DLF_METRICS_FILE "metrics"
#define DLF_TRACE_FILE "trace"

/*
 * Each write to it is a command, with or without a newline: "ready": the machine's boot is over;
 * "poweroff" or "reboot": the machine goes down, which only a root filesystem's daemon takes. The
 * booted system needs no program of ours to say so.
 */
#define DLF_CONTROL_FILE "control"
#define DLF_CONTROL_READY "ready"
#define DLF_CONTROL_POWEROFF "poweroff"
#define DLF_CONTROL_REBOOT "reboot"

/* Characters of a loop device's path, NUL included. "/dev/loop1048575" is the longest there is. */
#define DLF_LOOP_PATH_MAX 64

/* The argument of DLF_IOC_HANDOVER. */
struct dlf_handover_request {
    char
        path[DLF_LOOP_PATH_MAX]; /* NUL-terminated; opened by the node, in its own root directory */
    uint32_t device_major;       /* path must be this device */
    uint32_t device_minor;
};

/*
 * Arms the hand-over of a loop device. 0; ENOENT or EACCES: the node cannot open path; ENODEV: path
 * is not that device; EALREADY: another is armed; EOPNOTSUPP: the cache is too small for the whole
 * image, it will never be complete.
 */
#define DLF_IOC_HANDOVER _IOW('D', 1, struct dlf_handover_request)

enum dlf_command {
    DLF_COMMAND_NONE,
    DLF_COMMAND_READY,
    DLF_COMMAND_POWEROFF,
    DLF_COMMAND_REBOOT,
};

/* Which command one write to the control file is; NONE: it is none, and is refused. Any bytes. */
enum dlf_command dlf_control_command(const char *bytes, size_t size, uint64_t offset);

/*
 * Takes the argument of DLF_IOC_HANDOVER. -ENOTTY: it is too short for one; -EINVAL: its path is
 * empty or does not end. *request is untouched on failure.
 */
int dlf_control_handover(struct dlf_handover_request *request, const void *data, size_t size);

#endif
