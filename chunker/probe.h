/* A probe of libblkid, as contents.c and partitions.c use it. */
#ifndef DLFUSE_CHUNKER_PROBE_H
#define DLFUSE_CHUNKER_PROBE_H

#include <blkid.h>
#include <stdint.h>

/* Probes size_bytes of fd from start_bytes on; size_bytes 0: up to the end. The caller frees it
 * with blkid_free_probe; fd stays the caller's. NULL: no memory, or libblkid cannot read fd. */
static inline blkid_probe probe_open(int fd, uint64_t start_bytes, uint64_t size_bytes)
{
    blkid_probe probe = blkid_new_probe();
    if (probe && blkid_probe_set_device(probe, fd, (blkid_loff_t)start_bytes,
                                        (blkid_loff_t)size_bytes) != 0) {
        blkid_free_probe(probe);
        probe = NULL;
    }
    return probe;
}

#endif
