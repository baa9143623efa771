/*
 * The versions that a store has: every NAME.dlfuse and every file in manifest/, and which of them a
 * rule keeps. One thread.
 *
 * A version was in use from the moment it was published until the next one of its name was; a node
 * that booted in that time may go on reading it. So a rule in days keeps what was in use in these
 * days, however old it is, and not only what was published in them.
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
    int64_t published; /* seconds since 1970: what it says, or its file's time if that is later */
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
    int64_t in_use_from; /* or what was in use after this time, in seconds since 1970 */
    int64_t young_from;  /* and what was published after this time */
};

/*
 * Reads them all. A manifest that cannot be read is reported with one line and left out; *damages
 * counts these. A damaged copy of what a NAME.dlfuse says is none: what it names is known.
 * -ENOMEM or why the store cannot be listed.
 */
int versions_read(struct versions *versions, const struct store *store,
                  void (*report)(void *context, const char *line), void *context, uint64_t *damages,
                  struct dlf_err *err);

/*
 * Sets is_kept of each: of every name the current version, the one with the highest serial, and
 * what the rule says.
 */
void versions_keep(struct versions *versions, const struct versions_rule *rule);

/* Sorts; versions_read has done so. */
void versions_sort(struct versions *versions);

void versions_free(struct versions *versions);

#endif
