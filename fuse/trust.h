/*
 * The administrator's conditions for a manifest, which hold before any of it is believed: a
 * signature by a trusted key, an exact digest, a serial that is not older. Bytes that do not meet
 * all conditions are refused; nothing falls back to believing less.
 *
 * Set up by one thread at start-up, before chroot; read-only afterwards, by any.
 */
#ifndef DLFUSE_FUSE_TRUST_H
#define DLFUSE_FUSE_TRUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/digest.h"
#include "format/err.h"
#include "format/manifest.h"
#include "format/signature.h"

struct dlf_trust {
    const char *keys_from; /* directory of the keys, borrowed; NULL: unsigned manifests are taken */
    struct dlf_keys keys;  /* read there by dlf_trust_open; at least one */
    uint64_t serial_min;   /* 0: any */
    bool digest_given;
    struct dlf_sha256 digest; /* of the whole manifest file */
};

/* Facts about an accepted manifest. */
struct dlf_trust_seen {
    struct dlf_sha256 digest;           /* of the whole file */
    unsigned signatures;                /* that it has, verified or not */
    char signed_by[DLF_KEY_ID_HEX + 1]; /* a trusted key that verified it; "": none is trusted */
};

/*
 * Where keys_from is set, reads every *.pem there as a trusted public key; other files are left
 * alone. A directory that cannot be read or has no *.pem, and any file of that name that is no key,
 * is an error that names it: -EINVAL, -EBADMSG, -ENOTSUP or the errno of reading it. Without this
 * call no key is trusted, and all manifests are refused.
 */
int dlf_trust_open(struct dlf_trust *trust, struct dlf_err *err);

/*
 * Reads a manifest that is to be called NAME.dlfuse as file says, checking in this order: digest,
 * signature, form, name, serial. -EKEYREJECTED when it is not trusted, -ESTALE when it is too old,
 * dlf_manifest_parse's codes; *manifest and *seen are untouched then.
 */
int dlf_trust_manifest(const struct dlf_trust *trust, const char *file, const char *text,
                       size_t size, struct dlf_manifest *manifest, struct dlf_trust_seen *seen,
                       struct dlf_err *err);

/*
 * Any other signed text of the kind that the prefix says (format/signature.h), where keys were
 * given; the whole of it where none were. The body's length, or dlf_signed_verify's codes.
 * signed_by gets the key's id, or "".
 */
int64_t dlf_trust_text(const struct dlf_trust *trust, const char *prefix, const char *text,
                       size_t size, char signed_by[DLF_KEY_ID_HEX + 1], struct dlf_err *err);

#endif
