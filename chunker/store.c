/* The directory, its lock, and files that get their names last. Reading is in store_read.c. */
#include "chunker/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chunker/io.h"
#include "chunker/log.h"

#define LOCK_NAME ".lock"

static const char *const kinds[] = {"pack", "index", "boot", "manifest"};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static int make_directories(struct store *store, struct dlf_err *err)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (mkdirat(store->dir_fd, kinds[i], 0755) < 0 && errno != EEXIST)
            return dlf_fail(err, errno, "cannot make %s/%s: %s", store->path, kinds[i],
                            strerror(errno));
    }
    return 0;
}

int store_open(struct store *store, const char *path, bool create, struct dlf_err *err)
{
    struct stat st;
    int rc = 0;

    memset(store, 0, sizeof(*store));
    store->path = path;
    store->lock_fd = -1;
    if (create && mkdir(path, 0755) < 0 && errno != EEXIST)
        return dlf_fail(err, errno, "cannot make the store %s: %s", path, strerror(errno));
    store->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->dir_fd < 0)
        return dlf_fail(err, errno, "cannot open the store %s: %s", path, strerror(errno));
    if (create)
        rc = make_directories(store, err);
    else if (fstatat(store->dir_fd, "pack", &st, 0) < 0 || !S_ISDIR(st.st_mode))
        rc = dlf_fail(err, ENOENT, "%s is not a dlfuse store: it has no pack directory", path);
    if (rc < 0)
        store_close(store);
    return rc;
}

void store_close(struct store *store)
{
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    if (store->dir_fd >= 0)
        close(store->dir_fd);
    store->lock_fd = store->dir_fd = -1;
}

static void remove_stale(struct store *store, const char *kind)
{
    struct store_list list;
    if (store_list(store, kind, &list, NULL) < 0)
        return;
    for (size_t i = 0; i < list.count; i++) {
        char path[384];
        if (strncmp(list.names[i], STORE_TEMP_PREFIX, strlen(STORE_TEMP_PREFIX)) != 0)
            continue;
        snprintf(path, sizeof(path), "%s%s%s", kind ? kind : "", kind ? "/" : "", list.names[i]);
        if (unlinkat(store->dir_fd, path, 0) == 0)
            log_note("removed %s/%s, left by a run that did not end", store->path, path);
    }
    store_list_free(&list);
}

int store_lock_only(struct store *store, struct dlf_err *err)
{
    store->lock_fd = openat(store->dir_fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (store->lock_fd < 0)
        return dlf_fail(err, errno, "cannot open %s/" LOCK_NAME ": %s", store->path,
                        strerror(errno));
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK)
            log_note("another run is changing %s: waiting for it to end", store->path);
        int rc;
        do
            rc = flock(store->lock_fd, LOCK_EX);
        while (rc < 0 && errno == EINTR);
        if (rc < 0)
            return dlf_fail(err, errno, "cannot lock %s/" LOCK_NAME ": %s", store->path,
                            strerror(errno));
    }
    return 0;
}

int store_lock(struct store *store, struct dlf_err *err)
{
    int rc = store_lock_only(store, err);
    if (rc < 0)
        return rc;
    remove_stale(store, NULL);
    for (size_t i = 0; i < KIND_COUNT; i++)
        remove_stale(store, kinds[i]);
    return 0;
}

int store_temp_open(struct store *store, const char *kind, struct store_temp *temp,
                    struct dlf_err *err)
{
    unsigned number = atomic_fetch_add(&store->temp_count, 1);
    snprintf(temp->path, sizeof(temp->path), "%s%s" STORE_TEMP_PREFIX "%ld-%u", kind ? kind : "",
             kind ? "/" : "", (long)getpid(), number);
    temp->fd = openat(store->dir_fd, temp->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (temp->fd < 0) {
        int rc = dlf_fail(err, errno, "cannot make a file in %s/%s: %s", store->path,
                          kind ? kind : "", strerror(errno));
        temp->path[0] = 0;
        return rc;
    }
    return 0;
}

int store_write_failed(const struct store *store, const struct store_temp *temp, int code,
                       struct dlf_err *err)
{
    return dlf_fail(err, code, "cannot write %s/%s: %s; the store's images are as they were%s",
                    store->path, temp->path, strerror(code),
                    code == ENOSPC || code == EDQUOT ? ", free some space and run again" : "");
}

void store_temp_drop(struct store *store, struct store_temp *temp)
{
    if (!temp->path[0])
        return;
    close(temp->fd);
    unlinkat(store->dir_fd, temp->path, 0);
    temp->path[0] = 0;
}

int store_temp_commit(struct store *store, struct store_temp *temp, const char *path,
                      struct dlf_err *err)
{
    int rc = 0;
    /* Independent of the umask: a web server of another user must be able to read it. */
    if (fchmod(temp->fd, 0644) < 0 || fsync(temp->fd) < 0)
        rc = store_write_failed(store, temp, errno, err);
    else if (renameat(store->dir_fd, temp->path, store->dir_fd, path) < 0)
        rc = dlf_fail(err, errno, "cannot rename %s/%s to %s: %s", store->path, temp->path, path,
                      strerror(errno));
    if (rc < 0) {
        store_temp_drop(store, temp);
        return rc;
    }
    close(temp->fd);
    temp->path[0] = 0;
    return 0;
}

int store_put(struct store *store, const char *kind, const char *path, const void *data,
              size_t size, struct dlf_err *err)
{
    struct store_temp temp;
    int rc = store_temp_open(store, kind, &temp, err);
    if (rc < 0)
        return rc;
    rc = io_write(temp.fd, data, size);
    if (rc < 0) {
        rc = store_write_failed(store, &temp, -rc, err);
        store_temp_drop(store, &temp);
        return rc;
    }
    return store_temp_commit(store, &temp, path, err);
}

bool store_reuse(struct store *store, const char *kind, const struct dlf_sha256 *digest,
                 uint64_t size)
{
    char path[DLF_OBJECT_PATH_MAX];
    dlf_object_path(path, kind, digest);
    return store_has_intact(store, kind, digest, size) &&
           utimensat(store->dir_fd, path, NULL, 0) == 0;
}

int store_sync(struct store *store, const char *kind, struct dlf_err *err)
{
    int fd = openat(store->dir_fd, kind ? kind : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;
    if (fd < 0 || fsync(fd) < 0)
        rc = dlf_fail(err, errno, "cannot sync %s/%s: %s", store->path, kind ? kind : "",
                      strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Makes an object of a manifest count as written now, so that gc takes it for young until the
 * manifest is there. */
static int renew(struct store *store, const char *kind, const struct dlf_sha256 *digest,
                 struct dlf_err *err)
{
    char path[DLF_OBJECT_PATH_MAX];
    dlf_object_path(path, kind, digest);
    /* Another user's file keeps its time: the lock protects it. */
    if (utimensat(store->dir_fd, path, NULL, 0) < 0 && errno == ENOENT)
        return dlf_fail(err, ENOENT, "%s/%s is gone: run again", store->path, path);
    return 0;
}

int store_publish(struct store *store, const struct dlf_manifest *manifest,
                  struct dlf_sha256 *digest, struct dlf_err *err)
{
    char text[DLF_MANIFEST_MAX];
    char path[DLF_OBJECT_PATH_MAX];
    char name[DLF_NAME_MAX + sizeof(DLF_MANIFEST_SUFFIX)];
    int size = dlf_manifest_format(manifest, text, sizeof(text));
    if (size < 0)
        return dlf_fail(err, -size, "cannot write the manifest of %s", manifest->name);
    *digest = dlf_sha256(text, (size_t)size);
    int rc = dlf_sha256_check(digest, err);
    if (rc < 0)
        return rc;
    dlf_object_path(path, "manifest", digest);
    snprintf(name, sizeof(name), "%s" DLF_MANIFEST_SUFFIX, manifest->name);
    rc = renew(store, "index", &manifest->index, err);
    if (rc == 0 && manifest->boot_size)
        rc = renew(store, "boot", &manifest->boot, err);
    if (rc == 0)
        rc = store_put(store, "manifest", path, text, (size_t)size, err);
    if (rc == 0)
        rc = store_sync(store, "manifest", err);
    if (rc == 0)
        rc = store_put(store, NULL, name, text, (size_t)size, err);
    if (rc == 0)
        rc = store_sync(store, NULL, err);
    return rc;
}
