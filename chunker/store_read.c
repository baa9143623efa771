/* Reads a store: lists, objects, manifests. Owns nothing; any thread. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chunker/io.h"
#include "chunker/store.h"

#define HASH_BUFFER_BYTES ((size_t)1 << 18)

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_add(struct store_list *list, const char *name, size_t length)
{
    /* Room is doubled whenever the count is a power of two. */
    if ((list->count & (list->count - 1)) == 0) {
        size_t room = list->count ? list->count * 2 : 1;
        char **names = realloc(list->names, room * sizeof(*names));
        if (!names)
            return -ENOMEM;
        list->names = names;
    }
    list->names[list->count] = strndup(name, length);
    if (!list->names[list->count])
        return -ENOMEM;
    list->count++;
    return 0;
}

void store_list_free(struct store_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
    memset(list, 0, sizeof(*list));
}

int store_list(const struct store *store, const char *kind, struct store_list *list,
               struct dlf_err *err)
{
    struct dirent *entry;
    int rc = 0;
    memset(list, 0, sizeof(*list));
    int fd = openat(store->dir_fd, kind ? kind : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        rc = dlf_fail(err, errno, "cannot list %s/%s: %s", store->path, kind ? kind : "",
                      strerror(errno));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = list_add(list, entry->d_name, strlen(entry->d_name));
    }
    closedir(dir);
    if (rc < 0) {
        store_list_free(list);
        return dlf_fail(err, -rc, "out of memory for the names in %s", store->path);
    }
    if (list->count)
        qsort(list->names, list->count, sizeof(*list->names), compare_names);
    return 0;
}

/* NAME of NAME.dlfuse, in place; false for any other file. */
static bool cut_suffix(char *name)
{
    size_t length = strlen(name);
    size_t suffix = strlen(DLF_MANIFEST_SUFFIX);
    if (length <= suffix || strcmp(name + length - suffix, DLF_MANIFEST_SUFFIX) != 0)
        return false;
    name[length - suffix] = 0;
    return dlf_name_valid(name);
}

int store_images(const struct store *store, struct store_list *list, struct dlf_err *err)
{
    int rc = store_list(store, NULL, list, err);
    size_t kept = 0;
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < list->count; i++) {
        if (cut_suffix(list->names[i]))
            list->names[kept++] = list->names[i];
        else
            free(list->names[i]);
    }
    list->count = kept;
    /* Sorted again: "a.dlfuse" and "a-b.dlfuse" change places without the suffix. */
    if (kept)
        qsort(list->names, kept, sizeof(*list->names), compare_names);
    return 0;
}

int store_object_open(const struct store *store, const char *path, uint64_t *size_bytes,
                      struct dlf_err *err)
{
    struct stat st;
    int fd = openat(store->dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return dlf_fail(err, ENOENT, "%s/%s is missing", store->path, path);
    if (fd < 0)
        return dlf_fail(err, errno, "cannot open %s/%s: %s", store->path, path, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return dlf_fail(err, EBADMSG, "%s/%s is not a file", store->path, path);
    }
    *size_bytes = (uint64_t)st.st_size;
    return fd;
}

int store_hash(int fd, uint64_t size, struct dlf_sha256 *digest)
{
    struct dlf_sha256_ctx *ctx = dlf_sha256_begin();
    uint8_t *buffer = malloc(HASH_BUFFER_BYTES);
    struct dlf_sha256 found = {{0}};
    int rc = ctx && buffer ? 0 : -ENOMEM;
    for (uint64_t at = 0; rc == 0 && at < size;) {
        size_t part = size - at < HASH_BUFFER_BYTES ? (size_t)(size - at) : HASH_BUFFER_BYTES;
        rc = io_pread(fd, buffer, part, at);
        if (rc == 0)
            dlf_sha256_add(ctx, buffer, part);
        at += part;
    }
    free(buffer);
    if (ctx)
        found = dlf_sha256_end(ctx);
    if (rc == 0)
        rc = dlf_sha256_check(&found, NULL);
    if (rc == 0)
        *digest = found;
    return rc;
}

bool store_has_intact(const struct store *store, const char *kind, const struct dlf_sha256 *digest,
                      uint64_t size)
{
    char path[DLF_OBJECT_PATH_MAX];
    struct dlf_sha256 found;
    uint64_t found_size = 0;
    dlf_object_path(path, kind, digest);
    int fd = store_object_open(store, path, &found_size, NULL);
    if (fd < 0)
        return false;
    bool same =
        found_size == size && store_hash(fd, size, &found) == 0 && dlf_sha256_fits(&found, digest);
    close(fd);
    return same;
}

int store_read_manifest_at(const struct store *store, const char *path,
                           struct dlf_manifest *manifest, struct dlf_sha256 *digest,
                           struct dlf_err *err)
{
    struct dlf_err why;
    uint64_t size;
    int fd = store_object_open(store, path, &size, err);
    if (fd < 0)
        return fd;
    /* One byte more than allowed, so that a longer manifest is noticed. */
    char *text = malloc(DLF_MANIFEST_MAX + 1);
    ssize_t got = text ? io_read(fd, text, DLF_MANIFEST_MAX + 1) : -ENOMEM;
    int rc = got < 0 ? (int)got : 0;
    if (rc < 0)
        dlf_fail(err, -rc, "cannot read %s/%s: %s", store->path, path, strerror(-rc));
    else if ((rc = dlf_manifest_parse(manifest, text, (size_t)got, &why)) < 0)
        dlf_fail(err, -rc, "%s/%s: %s", store->path, path, why.msg);
    else if (digest)
        *digest = dlf_sha256(text, (size_t)got);
    if (rc == 0 && digest)
        rc = dlf_sha256_check(digest, err);
    free(text);
    close(fd);
    return rc;
}

int store_read_manifest(const struct store *store, const char *name, struct dlf_manifest *manifest,
                        struct dlf_sha256 *digest, struct dlf_err *err)
{
    char path[DLF_NAME_MAX + sizeof(DLF_MANIFEST_SUFFIX)];
    struct dlf_manifest read;
    struct dlf_sha256 read_digest;
    snprintf(path, sizeof(path), "%s" DLF_MANIFEST_SUFFIX, name);
    int rc = store_read_manifest_at(store, path, &read, &read_digest, err);
    if (rc < 0)
        return rc;
    if (strcmp(read.name, name) != 0)
        return dlf_fail(err, EBADMSG, "%s/%s: it is the manifest of \"%s\"", store->path, path,
                        read.name);
    *manifest = read;
    if (digest)
        *digest = read_digest;
    return 0;
}
