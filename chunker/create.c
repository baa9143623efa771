/* dlfuse-chunker create: the build, the manifest, the summary. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "chunker/build.h"
#include "chunker/command.h"
#include "chunker/contents.h"
#include "chunker/create_boot.h"
#include "chunker/create_options.h"
#include "chunker/json.h"
#include "chunker/log.h"
#include "chunker/partitions.h"
#include "chunker/signer.h"

struct create {
    struct create_options options;
    struct create_boot boot;
    struct signer signer;
    struct contents contents;
    bool changed;      /* a new version was published */
    bool signed_again; /* the existing version got other signatures */
    struct dlf_manifest manifest;
    struct dlf_sha256 manifest_digest;
    double seconds;
};

/* The version before this one: 1, 0 when there is none, or an error. */
static int read_previous(struct create *c, const struct store *store, struct dlf_manifest *previous,
                         struct dlf_sha256 *digest, struct dlf_err *err)
{
    struct dlf_err why;
    int rc = store_read_manifest(store, c->options.name, previous, digest, &why);
    if (rc == -ENOENT)
        return 0;
    if (rc < 0)
        return dlf_fail(err, -rc,
                        "%s; put its last copy from %s/manifest back, or remove it to "
                        "begin with serial 1 again",
                        why.msg, store->path);
    if (previous->serial == UINT64_MAX)
        return dlf_fail(err, EOVERFLOW, "%s has the last serial that there is", c->options.name);
    if (previous->signatures.count && !c->signer.count && !c->options.sign_none)
        return dlf_fail(err, EPERM,
                        "%s is signed, and nodes that have keys would refuse a version that is "
                        "not: give --sign KEY.pem (or --sign none)",
                        c->options.name);
    return 1;
}

/* The mirrors of the arguments, or those of the version before. */
static void choose_mirrors(const struct create_options *o, const struct dlf_manifest *previous,
                           struct dlf_manifest *manifest)
{
    manifest->mirror_count = o->mirror_count;
    for (unsigned i = 0; i < o->mirror_count; i++)
        memcpy(manifest->mirrors[i], o->mirrors[i], strlen(o->mirrors[i]) + 1);
    if (o->mirror_count || o->mirror_none)
        return;
    manifest->mirror_count = previous->mirror_count;
    memcpy(manifest->mirrors, previous->mirrors, sizeof(manifest->mirrors));
}

static int build_and_publish(struct create *c, struct store *store, struct input *input,
                             struct build_result *result, struct dlf_err *err)
{
    struct dlf_manifest previous = {0};
    struct library library;
    int known = read_previous(c, store, &previous, &c->manifest_digest, err);
    if (known < 0)
        return known;
    int rc = library_open(&library, store, c->options.name, err);
    if (rc < 0)
        return rc;
    rc = build_image(store, &library, input, &c->options.build, result, err);
    library_close(&library);
    /* A pipe's size is known now. */
    if (rc == 0 && !c->options.force)
        rc = contents_check_size(&c->contents, input->path, input->size_bytes, err);
    if (rc < 0)
        return rc;
    rc = create_boot_make(&c->boot, store, &c->options, known ? &previous : NULL, &result->manifest,
                          err);
    if (rc < 0)
        return rc;
    choose_mirrors(&c->options, &previous, &result->manifest);
    if (known && dlf_sha256_equal(&previous.index, &result->manifest.index) &&
        dlf_sha256_equal(&previous.boot, &result->manifest.boot) &&
        dlf_manifest_same_mirrors(&previous, &result->manifest)) {
        c->manifest = previous;
        rc = signer_sign(&c->signer, &c->manifest, &c->signed_again, err);
        if (rc == 0 && c->signed_again)
            rc = store_publish(store, &c->manifest, &c->manifest_digest, err);
        return rc;
    }
    c->changed = true;
    c->manifest = result->manifest;
    memcpy(c->manifest.name, c->options.name, strlen(c->options.name) + 1);
    c->manifest.serial = previous.serial + 1;
    c->manifest.created = c->options.created;
    bool is_signed;
    rc = signer_sign(&c->signer, &c->manifest, &is_signed, err);
    return rc < 0 ? rc : store_publish(store, &c->manifest, &c->manifest_digest, err);
}

static void print_json_tally(struct json *json, const char *key, const struct profile_tally *tally)
{
    json_open(json, key, '{');
    json_u64(json, "chunks", tally->chunks);
    json_u64(json, "bytes", tally->bytes);
    json_close(json, '}');
}

static void print_json_boot(struct json *json, const struct create *c)
{
    json_u64(json, "boot_bytes", c->manifest.boot_size);
    json_u64(json, "boot_data_bytes", c->boot.data_bytes);
    json_u64(json, "boot_chunks", c->boot.chunks);
    json_u64(json, "later_chunks", c->boot.later);
    if (!c->boot.mapped)
        return;
    json_open(json, "profile", '{');
    json_u64(json, "traces", c->boot.traces.count);
    json_bool(json, "carried_over", c->boot.carried);
    print_json_tally(json, "content", &c->boot.counts.content);
    print_json_tally(json, "position", &c->boot.counts.position);
    print_json_tally(json, "lost", &c->boot.counts.lost);
    json_close(json, '}');
}

static void print_json(const struct create *c, const struct build_result *r)
{
    struct json json = {.out = stdout};
    char hex[DLF_SHA256_HEX + 1];
    dlf_sha256_hex(&c->manifest_digest, hex);
    json_open(&json, NULL, '{');
    json_string(&json, "name", c->options.name);
    json_u64(&json, "serial", c->manifest.serial);
    json_string(&json, "manifest", hex);
    json_bool(&json, "changed", c->changed || c->signed_again);
    signer_ids_json(&c->manifest.signatures, &json);
    json_u64(&json, "image_bytes", c->manifest.image_size);
    json_u64(&json, "data_bytes", r->data_bytes);
    json_u64(&json, "hole_bytes", c->manifest.image_size - r->data_bytes);
    json_u64(&json, "stored_bytes", r->counts.stored_bytes);
    json_u64(&json, "chunks", r->counts.chunks);
    json_u64(&json, "new_chunks", r->counts.new_chunks);
    json_u64(&json, "deduped_chunks", r->counts.chunks - r->counts.new_chunks);
    json_u64(&json, "new_bytes", r->counts.new_bytes);
    json_u64(&json, "packs", r->counts.packs);
    json_u64(&json, "new_packs", r->counts.new_packs);
    json_u64(&json, "index_bytes", c->manifest.index_size);
    print_json_boot(&json, c);
    json_string(&json, "filesystem", filesystem_name(r->filesystem));
    json_string(&json, "cut", cut_kind_name(r->cut));
    json_double(&json, "seconds", c->seconds);
    json_close(&json, '}');
    json_end(&json);
}

static void print_boot(const struct create *c)
{
    const struct profile_counts *n = &c->boot.counts;
    double bytes = (double)(n->content.bytes + n->position.bytes + n->lost.bytes);
    double percent = bytes > 0 ? 100 / bytes : 0;
    if (c->boot.mapped)
        log_note("profile%s: %.1f%% of its %.1f MB found by content, %.1f%% by place (%" PRIu64
                 " chunks), %.1f%% lost (%" PRIu64 ")",
                 c->boot.carried ? " of the version before" : "",
                 (double)n->content.bytes * percent, bytes / 1e6,
                 (double)n->position.bytes * percent, n->position.chunks,
                 (double)n->lost.bytes * percent, n->lost.chunks);
    if (c->manifest.boot_size)
        log_note("boot pack: %" PRIu32 " chunks, %.1f MB, in %.1f MB; %" PRIu32 " chunks later",
                 c->boot.chunks, (double)c->boot.data_bytes / 1e6,
                 (double)c->manifest.boot_size / 1e6, c->boot.later);
}

static void print_summary(const struct create *c, const struct build_result *r)
{
    double mb = 1e6;
    char ids[SIGNER_IDS_MAX];
    signer_ids(&c->manifest.signatures, ids);
    if (c->signed_again) {
        log_note("%s is unchanged: serial %" PRIu64 " stays, and is signed by %s now",
                 c->options.name, c->manifest.serial, ids);
        return;
    }
    if (!c->changed) {
        log_note("%s is unchanged: serial %" PRIu64 " stays, nothing was published",
                 c->options.name, c->manifest.serial);
        return;
    }
    log_note("%s serial %" PRIu64 ": image %.1f MB, data %.1f MB in %" PRIu64
             " chunks; new: %" PRIu64 " chunks, %.1f MB in %u packs; %.1f s",
             c->options.name, c->manifest.serial, (double)c->manifest.image_size / mb,
             (double)r->data_bytes / mb, r->counts.chunks, r->counts.new_chunks,
             (double)r->counts.new_bytes / mb, r->counts.new_packs, c->seconds);
    if (c->manifest.signatures.count)
        log_note("signed by %s", ids);
    print_boot(c);
}

/* Warns when nodes cannot mount the contents, or mount them in a way that most users do not want.
 */
static void warn_of_contents(const struct create *c)
{
    if (c->contents.kind == CONTENTS_UNKNOWN && !c->options.force)
        log_warning("%s: no file system is recognised in it, and nodes will have nothing to mount; "
                    "--force says that this is meant",
                    c->options.name);
    if (strcmp(c->contents.name, "btrfs") == 0 && !c->options.force)
        log_warning(
            "%s: nodes mount this btrfs read-only, its default subvolume but for "
            "rootflags=subvol=NAME, and replay no log tree: unmount it before it is copied; "
            "--force says that this is meant",
            c->options.name);
    if (c->contents.journal_dirty)
        log_warning("%s: its journal is not replayed, as in a copy of a running machine: nodes "
                    "mount it without, and see what was on the disk; e2fsck -f -p mends a copy",
                    c->options.name);
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int create_in(struct create *c, struct input *input, struct build_result *result,
                     struct dlf_err *err)
{
    struct store store;
    int rc = store_open(&store, c->options.store_path, true, err);
    if (rc < 0)
        return rc;
    rc = store_lock(&store, err);
    if (rc == 0)
        rc = build_and_publish(c, &store, input, result, err);
    store_close(&store);
    return rc;
}

/* Selects the partition that the arguments name. */
static int choose_partition(const struct create *c, struct input *input, struct dlf_err *err)
{
    uint64_t start_bytes;
    uint64_t size_bytes;
    if (!c->options.partition)
        return 0;
    if (!input->seeks)
        return dlf_fail(err, ESPIPE, "%s has no partitions to choose from: give a file or device",
                        input->path);
    int rc = partitions_find(input->fd, input->path, input->size_bytes, c->options.partition,
                             &start_bytes, &size_bytes, err);
    if (rc == 0)
        input_select(input, start_bytes, size_bytes);
    return rc;
}

/* Looks at the contents; refuses them when nodes cannot boot from them. */
static int look_at_contents(struct create *c, struct input *input, struct dlf_err *err)
{
    char partitions[320] = "";
    int rc;
    if (input->seeks) {
        rc = contents_look(&c->contents, input->fd, input->path, input->start_bytes,
                           input->size_bytes, err);
    } else {
        const uint8_t *start = NULL;
        ssize_t size = input_peek(input, &start, CONTENTS_LOOK_BYTES, err);
        rc = size < 0 ? (int)size
                      : contents_look_at_start(&c->contents, start, (size_t)size, input->path, err);
    }
    if (rc < 0 || c->options.force)
        return rc;
    if (c->contents.kind == CONTENTS_PARTITIONS && input->seeks)
        partitions_text(input->fd, partitions, sizeof(partitions));
    rc = contents_check(&c->contents, input->path, partitions, err);
    return rc == 0 && input->size_known
               ? contents_check_size(&c->contents, input->path, input->size_bytes, err)
               : rc;
}

/* All of create, except for the arguments. */
static int create(struct create *c, struct build_result *result, struct dlf_err *err)
{
    struct input input;
    int rc = signer_open(&c->signer, &c->options.sign, err);
    if (rc == 0)
        rc = create_boot_read(&c->boot, &c->options, err);
    if (rc < 0)
        return rc;
    rc = input_open(&input, c->options.image_path, err);
    if (rc < 0)
        return rc;
    rc = choose_partition(c, &input, err);
    if (rc == 0)
        rc = look_at_contents(c, &input, err);
    if (rc == 0)
        rc = create_in(c, &input, result, err);
    input_close(&input);
    return rc;
}

int command_create(int argc, char **argv)
{
    struct create c = {0};
    struct build_result result = {0};
    struct dlf_err err = {{0}};
    int status = create_options_parse(&c.options, argc, argv);
    if (status != EXIT_OK)
        return status;
    double start = now();
    int rc = create(&c, &result, &err);
    c.seconds = now() - start;
    if (rc == 0 && c.options.json)
        print_json(&c, &result);
    if (rc == 0) {
        print_summary(&c, &result);
        warn_of_contents(&c);
    } else {
        log_error("%s", err.msg);
    }
    create_boot_free(&c.boot);
    signer_close(&c.signer);
    return rc < 0 ? EXIT_FAILED : command_flush(EXIT_OK);
}
