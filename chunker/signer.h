/*
 * Keys from files: secret keys sign manifests and other texts, and the verify command checks these
 * with public keys. One thread.
 */
#ifndef DLFUSE_CHUNKER_SIGNER_H
#define DLFUSE_CHUNKER_SIGNER_H

#include <stdbool.h>

#include "chunker/json.h"
#include "format/err.h"
#include "format/key.h"
#include "format/manifest.h"

struct signer {
    unsigned count;
    struct dlf_secret_key keys[DLF_SIGNATURES_MAX];
};

/* Paths from the arguments. */
struct signer_paths {
    unsigned count;
    const char *list[DLF_SIGNATURES_MAX];
};

/* One more path of --sign; false when there are DLF_SIGNATURES_MAX already. */
bool signer_paths_add(struct signer_paths *paths, const char *path);

/* Reads the keys. A file that is not an Ed25519 secret key is an error; err has the file and the
 * reason. */
int signer_open(struct signer *signer, const struct signer_paths *paths, struct dlf_err *err);

/* Wipes them. */
void signer_close(struct signer *signer);

/* Signs with every key. *changed: the manifest's signatures differ from before. */
int signer_sign(const struct signer *signer, struct dlf_manifest *manifest, bool *changed,
                struct dlf_err *err);

/*
 * Signs a text file of checksum lines (DLF_SIGNS_SUMS) with every key, and replaces the file. Its
 * last line must end in LF.
 */
int signer_sign_sums(const struct signer *signer, const char *path, struct dlf_err *err);

/* "A, B" of a manifest's signatures; out has room for SIGNER_IDS_MAX characters. */
#define SIGNER_IDS_MAX (DLF_SIGNATURES_MAX * (DLF_KEY_ID_HEX + 2) + 1)
void signer_ids(const struct dlf_signatures *signatures, char out[SIGNER_IDS_MAX]);

/* The same as a member "signatures": an array of key ids. */
void signer_ids_json(const struct dlf_signatures *signatures, struct json *json);

/* Adds the public key in a file to the trusted keys. */
int signer_trust(struct dlf_keys *keys, const char *path, struct dlf_err *err);

#endif
