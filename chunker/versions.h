/*
 * The versions in a store: every NAME.dlfuse and every file in manifest/. Marks those versions that
 * a rule keeps. One thread.
 *
 * A version was in use from its publication until that of the next version of its name. A node that
 * booted in that time may go on reading it. So a rule in days keeps each version that was in use in
 * these days, even one that was published long before them.
 */
#ifndef DLFUSE_CHUNKER_VERSIONS_H
#define DLFUSE_CHUNKER_VERSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/store.h"
#include "format/manifest.h"

struct version {
    struct dlf_manifest manifest;
    struct dlf_sha256 digest; /* of the manifest's text */
    int64_t published; /* seconds since 1970: its created time, or its file's time if later */
    bool is_current;   /* NAME.dlfuse has this text */
    bool is_kept;
};

/* All zero is empty. Sorted by name, then by serial, the highest first. */
struct versions {
    struct version *items;
    size_t count;
    size_t room;
};

struct versions_rule {
    uint32_t count;      /* so many serials of each name; 0: the rule is in seconds */
    int64_t in_use_from; /* or versions in use after this time, in seconds since 1970 */
    int64_t young_from;  /* and versions published after this time */
};

/*
 * Reads them all. A manifest that cannot be read is reported with one line and left out; *damages
 * counts these. A damaged copy of a readable NAME.dlfuse does not count: its objects are known.
 * -ENOMEM or the error of listing the store.
 */
int versions_read(struct versions *versions, const struct store *store,
                  void (*report)(void *context, const char *line), void *context, uint64_t *damages,
                  struct dlf_err *err);

/*
 * Sets is_kept of each. Every name keeps its current version, the version with the highest serial,
 * and those versions that the rule keeps.
 */
void versions_keep(struct versions *versions, const struct versions_rule *rule);

/* Sorts the list; versions_read does so already. */
void versions_sort(struct versions *versions);

void versions_free(struct versions *versions);

#endif
