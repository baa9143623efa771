/*
 * Little-endian fields in byte buffers, and arithmetic on numbers from outside.
 *
 * Byte by byte: no alignment or host byte order is assumed. Compilers make one load of it.
 */
#ifndef DLFUSE_FORMAT_BYTES_H
#define DLFUSE_FORMAT_BYTES_H

#include <stdbool.h>
#include <stdint.h>

static inline uint32_t dlf_get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t dlf_get64(const uint8_t *p)
{
    return (uint64_t)dlf_get32(p) | (uint64_t)dlf_get32(p + 4) << 32;
}

static inline void dlf_put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static inline void dlf_put64(uint8_t *p, uint64_t v)
{
    dlf_put32(p, (uint32_t)v);
    dlf_put32(p + 4, (uint32_t)(v >> 32));
}

/* True when [offset, offset + length) lies within [0, size); no sum can wrap. */
static inline bool dlf_range_within(uint64_t offset, uint64_t length, uint64_t size)
{
    return offset <= size && length <= size - offset;
}

#endif
