/* The boot packs' part of an audit. Private to audit.c and audit_boot.c. */
#ifndef DLFUSE_CHUNKER_AUDIT_BOOT_H
#define DLFUSE_CHUNKER_AUDIT_BOOT_H

#include "chunker/audit.h"

/*
 * Checks the boot pack that a manifest names, unless it names none or the same was checked already:
 * its table against the index, which comes first, its copy of the index head, and each chunk.
 * -ENOMEM.
 */
int audit_boot(struct audit *audit, const struct dlf_manifest *manifest);

/* Checks the digests of those that no manifest names. As store_list. */
int audit_unused_boots(struct audit *audit, struct dlf_err *err);

#endif
