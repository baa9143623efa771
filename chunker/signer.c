/* Reads key files, signs. */
#include "chunker/signer.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chunker/io.h"
#include "format/sums.h"

bool signer_paths_add(struct signer_paths *paths, const char *path)
{
    if (paths->count == DLF_SIGNATURES_MAX)
        return false;
    paths->list[paths->count++] = path;
    return true;
}

/* Reads the file's bytes, at most room. Returns their number, or an error that names the file. */
static ssize_t read_file(const char *path, char *text, size_t room, struct dlf_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -errno : io_read(fd, text, room);
    if (fd >= 0)
        close(fd);
    return n < 0 ? dlf_fail(err, (int)-n, "cannot read %s: %s", path, strerror((int)-n)) : n;
}

int signer_open(struct signer *signer, const struct signer_paths *paths, struct dlf_err *err)
{
    char text[DLF_KEY_FILE_MAX + 1];
    struct dlf_err why;
    int rc = 0;
    signer->count = 0;
    for (unsigned i = 0; rc == 0 && i < paths->count; i++) {
        ssize_t n = read_file(paths->list[i], text, sizeof(text), err);
        if (n < 0)
            rc = (int)n;
        else if ((rc = dlf_secret_key_read(&signer->keys[i], text, (size_t)n, &why)) < 0)
            dlf_fail(err, -rc, "%s: %s", paths->list[i], why.msg);
        else
            signer->count++;
    }
    OPENSSL_cleanse(text, sizeof(text));
    if (rc < 0)
        signer_close(signer);
    return rc;
}

void signer_close(struct signer *signer)
{
    for (unsigned i = 0; i < signer->count; i++)
        dlf_secret_key_wipe(&signer->keys[i]);
    signer->count = 0;
}

static bool same_signatures(const struct dlf_signatures *a, const struct dlf_signatures *b)
{
    bool same = a->count == b->count;
    for (unsigned i = 0; same && i < a->count; i++)
        same = strcmp(a->list[i].key_id, b->list[i].key_id) == 0 &&
               memcmp(a->list[i].bytes, b->list[i].bytes, DLF_SIGNATURE_SIZE) == 0;
    return same;
}

int signer_sign(const struct signer *signer, struct dlf_manifest *manifest, bool *changed,
                struct dlf_err *err)
{
    struct dlf_signatures before = manifest->signatures;
    for (unsigned i = 0; i < signer->count; i++) {
        struct dlf_err why;
        int rc = dlf_manifest_sign(manifest, &signer->keys[i], &why);
        if (rc < 0)
            return dlf_fail(err, -rc, "cannot sign %s: %s", manifest->name, why.msg);
    }
    *changed = !same_signatures(&before, &manifest->signatures);
    return 0;
}

/* Writes the text's new signature lines. Returns the new size, or an error. */
static int64_t sign_text(const struct signer *signer, char *text, size_t size, size_t room,
                         struct dlf_err *err)
{
    struct dlf_signatures s;
    int rc = dlf_signatures_read(&s, text, size, err);
    if (rc < 0)
        return rc;
    if (s.body_size == 0 || text[s.body_size - 1] != '\n')
        return dlf_fail(err, EBADMSG, "its last line has no end");
    for (unsigned i = 0; rc == 0 && i < signer->count; i++)
        rc = dlf_signatures_add(&s, &signer->keys[i], DLF_SIGNS_SUMS, text, err);
    if (rc < 0)
        return rc;
    int n = dlf_signatures_write(&s, text + s.body_size, room - s.body_size);
    return n < 0 ? dlf_fail(err, EFBIG, "no room for the signatures") : (int64_t)s.body_size + n;
}

static int replace_file(const char *path, const char *text, size_t size, struct dlf_err *err)
{
    char temp[4096];
    struct stat st;
    if (stat(path, &st) < 0)
        return dlf_fail(err, errno, "%s", strerror(errno));
    if (snprintf(temp, sizeof(temp), "%s.tmp-XXXXXX", path) >= (int)sizeof(temp))
        return dlf_fail(err, ENAMETOOLONG, "the name is too long");
    int fd = mkstemp(temp);
    if (fd < 0)
        return dlf_fail(err, errno, "%s", strerror(errno));
    int rc = io_write(fd, text, size);
    if (rc == 0 && (fchmod(fd, st.st_mode & 0777) < 0 || fsync(fd) < 0))
        rc = -errno;
    close(fd);
    if (rc == 0 && rename(temp, path) < 0)
        rc = -errno;
    if (rc < 0)
        unlink(temp);
    return rc < 0 ? dlf_fail(err, -rc, "cannot be written: %s", strerror(-rc)) : 0;
}

int signer_sign_sums(const struct signer *signer, const char *path, struct dlf_err *err)
{
    size_t room = DLF_SUMS_MAX + DLF_SIGNATURES_TEXT_MAX + 1;
    struct dlf_err why;
    char *text = malloc(room);
    if (!text)
        return dlf_fail(err, ENOMEM, "out of memory");
    ssize_t n = read_file(path, text, DLF_SUMS_MAX + 1, err);
    int rc = n < 0 ? (int)n : 0;
    if (n > (ssize_t)DLF_SUMS_MAX)
        rc = dlf_fail(err, EFBIG, "%s: it has over %zu bytes", path, DLF_SUMS_MAX);
    if (rc == 0) {
        int64_t size = sign_text(signer, text, (size_t)n, room, &why);
        rc = size < 0 ? (int)size : replace_file(path, text, (size_t)size, &why);
        if (rc < 0)
            dlf_fail(err, -rc, "%s: %s", path, why.msg);
    }
    free(text);
    return rc;
}

void signer_ids(const struct dlf_signatures *signatures, char out[SIGNER_IDS_MAX])
{
    size_t at = 0;
    out[0] = 0;
    for (unsigned i = 0; i < signatures->count; i++)
        at += (size_t)snprintf(out + at, SIGNER_IDS_MAX - at, "%s%s", i ? ", " : "",
                               signatures->list[i].key_id);
}

void signer_ids_json(const struct dlf_signatures *signatures, struct json *json)
{
    json_open(json, "signatures", '[');
    for (unsigned i = 0; i < signatures->count; i++)
        json_string(json, NULL, signatures->list[i].key_id);
    json_close(json, ']');
}

int signer_trust(struct dlf_keys *keys, const char *path, struct dlf_err *err)
{
    char text[DLF_KEY_FILE_MAX + 1];
    struct dlf_public_key key;
    struct dlf_err why;
    ssize_t n = read_file(path, text, sizeof(text), err);
    if (n < 0)
        return (int)n;
    int rc = dlf_public_key_read(&key, text, (size_t)n, &why);
    if (rc == 0)
        rc = dlf_keys_add(keys, &key, &why);
    return rc < 0 ? dlf_fail(err, -rc, "%s: %s", path, why.msg) : 0;
}
