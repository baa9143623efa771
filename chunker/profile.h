/*
 * A profile: the chunks that boots read, in order. It comes from traces, one for each boot, or from
 * the boot pack of the image's previous version, which counts as one trace.
 *
 * It records content and places in the traced image; profile_map.h finds both in another version.
 * One thread.
 */
#ifndef DLFUSE_CHUNKER_PROFILE_H
#define DLFUSE_CHUNKER_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/store.h"
#include "format/err.h"
#include "format/manifest.h"

/* Bytes of a trace file. */
#define PROFILE_TRACE_MAX ((size_t)64 << 20)

/* A chunk that was read for the first time. */
struct profile_touch {
    uint64_t offset; /* in the image that was traced */
    uint64_t xxh3;
    uint32_t length;
};

struct profile_trace {
    struct profile_touch *touches; /* in order of time */
    size_t count;
    size_t boot_count; /* so many came before the machine was ready; they are first */
    bool same_name;    /* of an image of this name: places count too, not only content */
};

/* All zero is an empty profile. */
struct profile {
    struct profile_trace *traces;
    size_t count;
};

/*
 * Adds the trace in a file. name: the image that the profile is for. All of a trace that never
 * became ready counts as before ready. -EBADMSG, -EFBIG, -ENOTSUP, -ENOMEM, or the error of reading
 * the file; err names the file and the line.
 */
int profile_add_file(struct profile *profile, const char *path, const char *name,
                     struct dlf_err *err);

/*
 * Adds the boot pack that a manifest of the store names: its chunks, then the later ones, with
 * their places from the index. -ENOENT or -EBADMSG when the boot pack or the index is missing or
 * damaged.
 */
int profile_add_boot_pack(struct profile *profile, const struct store *store,
                          const struct dlf_manifest *manifest, struct dlf_err *err);

void profile_free(struct profile *profile);

#endif
