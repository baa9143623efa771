/*
 * When the machine runs out of memory while the image is loading, the image gives memory back
 * before the kernel has to kill a process, and goes on when there is room again.
 *
 * A thread of its own looks at /proc/meminfo several times a second, until the image is complete:
 * from then on the machine needs all of it.
 */
#ifndef DLFUSE_FUSE_PRESSURE_H
#define DLFUSE_FUSE_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

#include "fuse/image.h"

struct dlf_memory {
    uint64_t total_bytes;
    uint64_t available_bytes; /* as the kernel estimates it */
};

/* Reads the text of /proc/meminfo. False when it does not say both. */
bool dlf_memory_parse(struct dlf_memory *memory, const char *text);

struct dlf_holding {
    uint64_t held_bytes;  /* now */
    uint64_t limit_bytes; /* now */
    uint64_t most_bytes;  /* that the limit may be */
    uint64_t data_bytes;  /* of all the image */
};

/*
 * The limit to set. The spare is 1/32 of the memory (32 to 256 MiB). Where less than the spare is
 * available, the difference is given back, down to 16 MiB. Where more than twice the spare is
 * available, the excess may be taken. In between nothing changes, so that the limit does not go to
 * and fro. Pure.
 */
uint64_t dlf_pressure_limit(const struct dlf_memory *memory, const struct dlf_holding *holding);

struct dlf_pressure;

/*
 * meminfo_fd: /proc/meminfo, open; taken over. NULL when it cannot be watched. most_bytes: the
 * image's cache_bytes. The image outlives it.
 */
struct dlf_pressure *dlf_pressure_new(int meminfo_fd, struct dlf_image *image, uint64_t most_bytes,
                                      uint64_t data_bytes);

/* Ends the thread. NULL is nothing. */
void dlf_pressure_free(struct dlf_pressure *pressure);

#endif
