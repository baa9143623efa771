/* The boot packs' part of an audit. Private to audit.c and audit_boot.c. */
#ifndef DLFUSE_CHUNKER_AUDIT_BOOT_H
#define DLFUSE_CHUNKER_AUDIT_BOOT_H

#include "chunker/audit.h"

/*
 * Checks the boot pack that a manifest names, if it names one and the same was not checked already:
 * the table against the index, the copy of the index head, and each chunk. The index must have been
 * checked before. -ENOMEM.
 */
int audit_boot(struct audit *audit, const struct dlf_manifest *manifest);

/* Checks the digests of boot packs that no manifest names. Errors as store_list. */
int audit_unused_boots(struct audit *audit, struct dlf_err *err);

#endif
