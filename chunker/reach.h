/*
 * The objects that manifests reach, and that must therefore stay, as sets of digests. An index's
 * head names all packs of its image, so only heads are read. One thread.
 */
#ifndef DLFUSE_CHUNKER_REACH_H
#define DLFUSE_CHUNKER_REACH_H

#include <stdbool.h>
#include <stddef.h>

#include "chunker/store.h"
#include "format/digest.h"
#include "format/manifest.h"

/* The kinds; objects point only to later kinds. */
enum reach_kind { REACH_MANIFEST, REACH_INDEX, REACH_BOOT, REACH_PACK, REACH_KINDS };
extern const char *const reach_kind_names[REACH_KINDS];

struct reach_set {
    struct dlf_sha256 *items;
    size_t count;
    size_t room;
};

/* All zero reaches nothing. */
struct reach {
    struct reach_set sets[REACH_KINDS];
};

/*
 * Adds a manifest and the objects that it reaches. When its index's head cannot be read, all but
 * the packs are added; returns that error, with the index's name in err. -ENOMEM.
 */
int reach_add(struct reach *reach, const struct store *store, const struct dlf_manifest *manifest,
              const struct dlf_sha256 *digest, struct dlf_err *err);

/* Call it after the last reach_add and before the first reach_has. */
void reach_sort(struct reach *reach);

bool reach_has(const struct reach *reach, enum reach_kind kind, const struct dlf_sha256 *digest);

void reach_free(struct reach *reach);

#endif
