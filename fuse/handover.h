/*
 * The hand-over: a read-only loop device on root.img is moved to the complete cache file by
 * LOOP_CHANGE_FD, while it is in use. Then nothing needs the FUSE mount or this process any more.
 *
 *   NONE -> ARMED (a device is known) -> DONE | REFUSED (the kernel said no: the node stays)
 */
#ifndef DLFUSE_FUSE_HANDOVER_H
#define DLFUSE_FUSE_HANDOVER_H

#include <stdbool.h>

#include "fuse/control.h"

/*
 * True when a file system that is mounted straight on the block device would not survive the move.
 * Since Linux 6.6 LOOP_CHANGE_FD tells the device's holder that the device is dead, and ext4, xfs,
 * btrfs and others then shut down (fs_bdev_mark_dead, s_op->shutdown); squashfs and erofs have no
 * such operation. A second loop device in between keeps the message from the file system. type gets
 * the file system's name. False also when /proc cannot be read.
 */
bool dlf_handover_kills(uint32_t device_major, uint32_t device_minor, char type[32]);

struct dlf_handover;

/*
 * complete_fd: the file that will be complete; a duplicate is kept. moved: called once, in a thread
 * of its own, when the device has been moved, with the device's path. NULL when out of memory or
 * file descriptors.
 */
struct dlf_handover *dlf_handover_new(int complete_fd,
                                      void (*moved)(void *cookie, const char *path), void *cookie);

/* Waits for a move that has begun. */
void dlf_handover_free(struct dlf_handover *handover);

/* Remembers and opens the device; moves it when the image is complete already. As DLF_IOC_HANDOVER,
 * a negative errno: -EALREADY for a second device, or the same again; -EBUSY when the first was
 * refused. Any thread. */
int dlf_handover_arm(struct dlf_handover *handover, const struct dlf_handover_request *request);

/* The image is complete: moves the device if there is one. Any thread; does not block. */
void dlf_handover_complete(struct dlf_handover *handover);

/* "none", "armed", "done", "refused". Any thread. */
const char *dlf_handover_state(struct dlf_handover *handover);

/* No device is moved from now on, but for one that is just being moved: true. The kernel then waits
 * for reads that have to be answered. */
bool dlf_handover_withdraw(struct dlf_handover *handover);

#endif
