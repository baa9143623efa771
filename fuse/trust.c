/* Reads trusted keys, judges manifests. Owns nothing. */
#include "fuse/trust.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fuse/file.h"

#define KEY_SUFFIX ".pem"

static int add_key(struct dlf_keys *keys, int dir_fd, const char *directory, const char *name,
                   struct dlf_err *err)
{
    char text[DLF_KEY_FILE_MAX + 1];
    struct dlf_public_key key;
    struct dlf_err why;
    ssize_t n = dlf_file_read(dir_fd, name, text, sizeof(text), NULL);
    int rc;
    if (n == -EINVAL)
        return dlf_fail(err, EINVAL, "%s/%s: not a regular file", directory, name);
    if (n < 0)
        return dlf_fail(err, (int)-n, "%s/%s: the key cannot be read: %s", directory, name,
                        strerror((int)-n));
    rc = dlf_public_key_read(&key, text, (size_t)n, &why);
    if (rc == 0)
        rc = dlf_keys_add(keys, &key, &why);
    return rc < 0 ? dlf_fail(err, -rc, "%s/%s: %s", directory, name, why.msg) : 0;
}

static bool is_key_file(const char *name)
{
    size_t length = strlen(name);
    size_t suffix = strlen(KEY_SUFFIX);
    return length > suffix && strcmp(name + length - suffix, KEY_SUFFIX) == 0;
}

static int read_keys(struct dlf_keys *keys, DIR *dir, const char *directory, struct dlf_err *err)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry && errno)
            return dlf_fail(err, errno, "the trusted keys in %s cannot be read: %s", directory,
                            strerror(errno));
        if (!entry)
            return 0;
        int rc = is_key_file(entry->d_name)
                     ? add_key(keys, dirfd(dir), directory, entry->d_name, err)
                     : 0;
        if (rc < 0)
            return rc;
    }
}

int dlf_trust_open(struct dlf_trust *trust, struct dlf_err *err)
{
    const char *directory = trust->keys_from;
    if (!directory)
        return 0;
    trust->keys.count = 0;
    DIR *dir = opendir(directory);
    if (!dir)
        return dlf_fail(err, errno, "the trusted keys in %s cannot be read: %s", directory,
                        strerror(errno));
    int rc = read_keys(&trust->keys, dir, directory, err);
    closedir(dir);
    if (rc == 0 && trust->keys.count == 0)
        rc = dlf_fail(err, EINVAL,
                      "%s has no *" KEY_SUFFIX ": put a public key there, or do not ask for keys",
                      directory);
    return rc;
}

static int check_digest(const struct dlf_trust *trust, const struct dlf_sha256 *digest,
                        struct dlf_err *err)
{
    char wanted[DLF_SHA256_HEX + 1];
    char found[DLF_SHA256_HEX + 1];
    if (!trust->digest_given || dlf_sha256_fits(digest, &trust->digest))
        return 0;
    dlf_sha256_hex(&trust->digest, wanted);
    dlf_sha256_hex(digest, found);
    return dlf_fail(err, EKEYREJECTED,
                    "refused: its SHA-256 is %s, and digest= wants %s: another version was "
                    "published, or the digest is another file's",
                    found, wanted);
}

int64_t dlf_trust_text(const struct dlf_trust *trust, const char *prefix, const char *text,
                       size_t size, char signed_by[DLF_KEY_ID_HEX + 1], struct dlf_err *err)
{
    struct dlf_err why;
    signed_by[0] = 0;
    if (!trust->keys_from)
        return (int64_t)size;
    int64_t body = dlf_signed_verify(&trust->keys, prefix, text, size, signed_by, &why);
    if (body < 0)
        return dlf_fail(err, (int)-body,
                        "refused: %s (keys in %s); sign it with a key that is trusted there "
                        "(dlfuse-chunker sign), or trust its key",
                        why.msg, trust->keys_from);
    return body;
}

/* The file NAME.dlfuse holds NAME's manifest: else a mirror could offer one image as another. */
static int check_name(const char *name, const char *file, struct dlf_err *err)
{
    size_t length = strlen(name);
    if (strncmp(file, name, length) == 0 && strcmp(file + length, DLF_MANIFEST_SUFFIX) == 0)
        return 0;
    return dlf_fail(err, EBADMSG, "this is the manifest of another image, \"%s\"", name);
}

static int check_serial(const struct dlf_trust *trust, uint64_t serial, struct dlf_err *err)
{
    if (serial >= trust->serial_min)
        return 0;
    return dlf_fail(err, ESTALE,
                    "refused: its serial is %" PRIu64 ", and serial= wants %" PRIu64
                    " or more: this server is behind, or somebody offers an old version",
                    serial, trust->serial_min);
}

int dlf_trust_manifest(const struct dlf_trust *trust, const char *file, const char *text,
                       size_t size, struct dlf_manifest *manifest, struct dlf_trust_seen *seen,
                       struct dlf_err *err)
{
    struct dlf_trust_seen s = {.digest = dlf_sha256(text, size)};
    struct dlf_manifest m;
    int rc = dlf_sha256_check(&s.digest, err);
    if (rc == 0)
        rc = check_digest(trust, &s.digest, err);
    if (rc < 0)
        return rc;
    int64_t body = dlf_trust_text(trust, DLF_SIGNS_MANIFEST, text, size, s.signed_by, err);
    if (body < 0)
        return (int)body;
    rc = dlf_manifest_parse(&m, text, size, err);
    if (rc == 0)
        rc = check_name(m.name, file, err);
    if (rc == 0)
        rc = check_serial(trust, m.serial, err);
    if (rc < 0)
        return rc;
    s.signatures = m.signatures.count;
    *manifest = m;
    *seen = s;
    return 0;
}
