/*
 * The store directory:
 *
 *      NAME.dlfuse           the manifest of an image's current version; replaced atomically, last
 *      manifest/SHA256       a copy of each manifest
 *      index/SHA256, pack/SHA256, boot/SHA256
 *      .lock                 held by a run that adds to the store, or deletes from it
 *      .tmp-PID-N            in any of these directories: being written, or left by a killed run
 *
 * Objects are named by the SHA-256 of their bytes and never change. A file gets its name only when
 * its bytes are on the disk, and nothing points to an object without a name. So a run may be killed
 * at any time and the store is as valid as before.
 */
#ifndef DLFUSE_CHUNKER_STORE_H
#define DLFUSE_CHUNKER_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/digest.h"
#include "format/err.h"
#include "format/manifest.h"

#define STORE_TEMP_PREFIX ".tmp-"

struct store {
    const char *path; /* borrowed; for messages */
    int dir_fd;
    int lock_fd; /* -1 when not held */
    atomic_uint temp_count;
};

/* A file being written. */
struct store_temp {
    int fd;
    char path[96]; /* below the store; "" when there is none */
};

/*
 * Opens a store. With create, the directory (not its parents) and its subdirectories are made.
 * Without, a directory that has no pack/ is refused. path must stay valid until store_close.
 */
int store_open(struct store *store, const char *path, bool create, struct dlf_err *err);

/* Also gives up the lock. */
void store_close(struct store *store);

/*
 * Waits for the lock (a line says so), then removes temporary files that killed runs left behind.
 * The lock ends with the process, even if it is killed.
 */
int store_lock(struct store *store, struct dlf_err *err);

/* The same, but removes nothing. */
int store_lock_only(struct store *store, struct dlf_err *err);

/* kind: "pack", "index", "boot", "manifest", or NULL for the store itself. Any thread. */
int store_temp_open(struct store *store, const char *kind, struct store_temp *temp,
                    struct dlf_err *err);

/* Explains a failed write to temp to the user, in err. Returns -code. */
int store_write_failed(const struct store *store, const struct store_temp *temp, int code,
                       struct dlf_err *err);

/* Syncs the file, then gives it its name; a file of that name is replaced. On failure the file is
 * gone. Any thread. */
int store_temp_commit(struct store *store, struct store_temp *temp, const char *path,
                      struct dlf_err *err);

/* Removes the file, if there is one. Any thread. */
void store_temp_drop(struct store *store, struct store_temp *temp);

/* Writes data under a final path, through a temporary file. Any thread. */
int store_put(struct store *store, const char *kind, const char *path, const void *data,
              size_t size, struct dlf_err *err);

/*
 * Publishes the manifest as NAME.dlfuse, after the manifest's own name: from then on nodes see it.
 * Its copy in manifest/ is written first; *digest gets the text's. The objects that it names must
 * be in the store.
 */
int store_publish(struct store *store, const struct dlf_manifest *manifest,
                  struct dlf_sha256 *digest, struct dlf_err *err);

/* Makes the names in kind (NULL: the store itself) durable. */
int store_sync(struct store *store, const char *kind, struct dlf_err *err);

/* The digest of an open file's first size bytes. -EBADMSG when the file is shorter, -ENOMEM, or the
 * error of the read. Any thread. */
int store_hash(int fd, uint64_t size, struct dlf_sha256 *digest);

/* True when KIND/HEX exists with that size and its bytes have that digest. Reads all of it. Any
 * thread. */
bool store_has_intact(const struct store *store, const char *kind, const struct dlf_sha256 *digest,
                      uint64_t size);

/*
 * For a writer that is about to store an object: true when store_has_intact is true and the object
 * need not be written. The object then counts as written now, so that gc takes it for young. Any
 * thread.
 */
bool store_reuse(struct store *store, const char *kind, const struct dlf_sha256 *digest,
                 uint64_t size);

/* Opens an object for reading; its size goes to *size_bytes. Returns the descriptor, or -errno with
 * the reason in err ("is missing", ...). Any thread. */
int store_object_open(const struct store *store, const char *path, uint64_t *size_bytes,
                      struct dlf_err *err);

/*
 * Reads and checks NAME.dlfuse; the name in its text must be NAME. *digest (may be NULL) gets the
 * text's. -ENOENT when the file is missing.
 */
int store_read_manifest(const struct store *store, const char *name, struct dlf_manifest *manifest,
                        struct dlf_sha256 *digest, struct dlf_err *err);

/* The same for any path below the store, such as manifest/HEX; its text may have any name. */
int store_read_manifest_at(const struct store *store, const char *path,
                           struct dlf_manifest *manifest, struct dlf_sha256 *digest,
                           struct dlf_err *err);

/* Sorted names of the files in kind (NULL: the store itself), without "." and "..". The caller
 * frees with store_list_free. */
struct store_list {
    char **names;
    size_t count;
};
int store_list(const struct store *store, const char *kind, struct store_list *list,
               struct dlf_err *err);
void store_list_free(struct store_list *list);

/* Sorted names of the images: NAME for each NAME.dlfuse with a valid name. */
int store_images(const struct store *store, struct store_list *list, struct dlf_err *err);

#endif
