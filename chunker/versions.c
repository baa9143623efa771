/* Reads manifests; groups them by name and serial. */
#include "chunker/versions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* While the versions are read. */
struct versions_reading {
    struct versions *versions;
    const struct store *store;
    void (*report)(void *context, const char *line);
    void *context;
    uint64_t *damages;
};

static void damaged(struct versions_reading *in, const char *line)
{
    (*in->damages)++;
    in->report(in->context, line);
}

static struct version *find(struct versions *versions, const struct dlf_sha256 *digest)
{
    for (size_t i = 0; i < versions->count; i++) {
        if (dlf_sha256_equal(&versions->items[i].digest, digest))
            return &versions->items[i];
    }
    return NULL;
}

/* Appends an empty version; NULL: out of memory. */
static struct version *append(struct versions *versions)
{
    if (!versions->items || versions->count == versions->room) {
        size_t room = versions->room ? versions->room * 2 : 64;
        struct version *items = realloc(versions->items, room * sizeof(*items));
        if (!items)
            return NULL;
        versions->items = items;
        versions->room = room;
    }
    struct version *version = &versions->items[versions->count++];
    memset(version, 0, sizeof(*version));
    return version;
}

/* Adds the version that was read from path. NAME.dlfuse and its copy are one version. */
static int add(struct versions_reading *in, const char *path, const struct dlf_manifest *manifest,
               const struct dlf_sha256 *digest, bool is_current)
{
    struct stat st;
    int64_t published = (int64_t)manifest->created;
    struct version *version = find(in->versions, digest);
    if (!version)
        version = append(in->versions);
    if (!version)
        return -ENOMEM;
    /* If the file is gone by now, the manifest's time counts. */
    if (fstatat(in->store->dir_fd, path, &st, 0) == 0 && st.st_mtime > published)
        published = st.st_mtime;
    version->manifest = *manifest;
    version->digest = *digest;
    version->is_current = version->is_current || is_current;
    if (published > version->published)
        version->published = published;
    return 0;
}

static int read_current(struct versions_reading *in, const char *name)
{
    struct dlf_manifest manifest;
    struct dlf_sha256 digest;
    struct dlf_err why;
    char path[DLF_NAME_MAX + sizeof(DLF_MANIFEST_SUFFIX)];
    int rc = store_read_manifest(in->store, name, &manifest, &digest, &why);
    if (rc < 0) {
        damaged(in, why.msg);
        return rc == -ENOMEM ? rc : 0;
    }
    snprintf(path, sizeof(path), "%s" DLF_MANIFEST_SUFFIX, name);
    return add(in, path, &manifest, &digest, true);
}

static int read_kept(struct versions_reading *in, const char *hex)
{
    struct dlf_manifest manifest;
    struct dlf_sha256 wanted;
    struct dlf_sha256 digest;
    struct dlf_err why;
    char path[DLF_OBJECT_PATH_MAX];
    if (!dlf_sha256_parse(&wanted, hex))
        return 0;
    dlf_object_path(path, "manifest", &wanted);
    int rc = store_read_manifest_at(in->store, path, &manifest, &digest, &why);
    if (rc == 0 && !dlf_sha256_fits(&digest, &wanted))
        rc = dlf_fail(&why, EBADMSG, "%s/%s: its SHA-256 is not its name", in->store->path, path);
    if (rc == 0)
        return add(in, path, &manifest, &digest, false);
    if (!find(in->versions, &wanted))
        damaged(in, why.msg);
    return rc == -ENOMEM ? rc : 0;
}

static int read_names(struct versions_reading *in, const struct store_list *names,
                      int (*read)(struct versions_reading *, const char *))
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < names->count; i++)
        rc = read(in, names->names[i]);
    return rc;
}

static int compare(const void *a, const void *b)
{
    const struct version *x = a;
    const struct version *y = b;
    int order = strcmp(x->manifest.name, y->manifest.name);
    if (order != 0)
        return order;
    if (x->manifest.serial != y->manifest.serial)
        return x->manifest.serial > y->manifest.serial ? -1 : 1;
    return memcmp(x->digest.bytes, y->digest.bytes, DLF_SHA256_SIZE);
}

void versions_sort(struct versions *versions)
{
    if (versions->count)
        qsort(versions->items, versions->count, sizeof(*versions->items), compare);
}

int versions_read(struct versions *versions, const struct store *store,
                  void (*report)(void *context, const char *line), void *context, uint64_t *damages,
                  struct dlf_err *err)
{
    struct versions_reading in = {.versions = versions,
                                  .store = store,
                                  .report = report,
                                  .context = context,
                                  .damages = damages};
    struct store_list images;
    struct store_list kept;
    int rc = store_images(store, &images, err);
    if (rc < 0)
        return rc;
    rc = store_list(store, "manifest", &kept, err);
    if (rc < 0) {
        store_list_free(&images);
        return rc;
    }
    rc = read_names(&in, &images, read_current);
    if (rc == 0)
        rc = read_names(&in, &kept, read_kept);
    store_list_free(&images);
    store_list_free(&kept);
    if (rc < 0)
        return dlf_fail(err, -rc, "out of memory for the versions in %s", store->path);
    versions_sort(versions);
    return 0;
}

/* The end of a run of versions with the same name and serial. */
static size_t serial_end(const struct versions *versions, size_t at)
{
    const struct dlf_manifest *first = &versions->items[at].manifest;
    while (at < versions->count && versions->items[at].manifest.serial == first->serial &&
           strcmp(versions->items[at].manifest.name, first->name) == 0)
        at++;
    return at;
}

void versions_keep(struct versions *versions, const struct versions_rule *rule)
{
    const char *name = "";
    int64_t in_use_until = INT64_MAX; /* when the serial above was published */
    uint32_t rank = 0;
    for (size_t at = 0, end; at < versions->count; at = end) {
        int64_t published = 0;
        end = serial_end(versions, at);
        if (strcmp(name, versions->items[at].manifest.name) != 0) {
            name = versions->items[at].manifest.name;
            in_use_until = INT64_MAX;
            rank = 0;
        }
        for (size_t i = at; i < end; i++) {
            struct version *v = &versions->items[i];
            v->is_kept = v->is_current || rank == 0 || v->published > rule->young_from ||
                         (rule->count ? rank < rule->count : in_use_until > rule->in_use_from);
            if (v->published > published)
                published = v->published;
        }
        in_use_until = published;
        rank++;
    }
}

void versions_free(struct versions *versions)
{
    free(versions->items);
    memset(versions, 0, sizeof(*versions));
}
