/*
 * dlfuse-chunker gc: deletes the objects that no kept version reaches.
 *
 * It holds the store's lock, so that no create adds a version with objects that are about to go.
 * Objects that were written lately always stay: where the lock does not reach (a store on a network
 * file system, a copy under way), a running writer's objects are young.
 *
 * Pointers go before their targets: manifests, then indexes and boot packs, then packs. Each
 * deletion is durable before the next kind. So gc may end at any point: no remaining manifest names
 * a missing object.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "chunker/command.h"
#include "chunker/json.h"
#include "chunker/log.h"
#include "chunker/reach.h"
#include "chunker/store.h"
#include "chunker/versions.h"

#define DEFAULT_KEEP_S (INT64_C(7) * 86400)
#define DEFAULT_GRACE_S (INT64_C(1) * 86400)

struct gc {
    const char *store_path;
    uint32_t keep_count; /* 0: by time */
    int64_t keep_s;
    int64_t grace_s;
    bool dry_run;
    bool as_json;

    struct store store;
    struct versions versions;
    struct reach reach;
    struct json json;
    int64_t young_from; /* files written after this time stay */
    uint64_t damages;
    uint64_t kept_versions;
    uint64_t deleted[REACH_KINDS];
    uint64_t deleted_bytes;
    uint64_t temporaries;
    uint64_t young; /* not needed, but written lately */
};

static void report_damage(void *context, const char *line)
{
    struct gc *gc = context;
    if (gc->as_json)
        json_string(&gc->json, NULL, line);
    else
        printf("%s\n", line);
}

/* Finds the objects that the kept versions reach. A version with unknown packs is a damage. */
static int find_reach(struct gc *gc, struct dlf_err *err)
{
    for (size_t i = 0; i < gc->versions.count; i++) {
        const struct version *v = &gc->versions.items[i];
        char line[sizeof(err->msg) + 256];
        struct dlf_err why;
        if (!v->is_kept)
            continue;
        gc->kept_versions++;
        int rc = reach_add(&gc->reach, &gc->store, &v->manifest, &v->digest, &why);
        if (rc == -ENOMEM)
            return dlf_fail(err, ENOMEM, "%s", why.msg);
        if (rc < 0) {
            snprintf(line, sizeof(line), "%s (index of %s serial %" PRIu64 ", which is kept)",
                     why.msg, v->manifest.name, v->manifest.serial);
            gc->damages++;
            report_damage(gc, line);
        }
    }
    reach_sort(&gc->reach);
    return 0;
}

/* Notes each image without NAME.dlfuse: withdrawn or lost. Its newest version stays until the
 * administrator removes that manifest. */
static void say_without_current(const struct gc *gc)
{
    const struct version *items = gc->versions.items;
    for (size_t at = 0, end; at < gc->versions.count; at = end) {
        const struct dlf_manifest *last = &items[at].manifest; /* the highest serial */
        bool has_current = false;
        char hex[DLF_SHA256_HEX + 1];
        for (end = at;
             end < gc->versions.count && strcmp(items[end].manifest.name, last->name) == 0; end++)
            has_current = has_current || items[end].is_current;
        if (has_current)
            continue;
        dlf_sha256_hex(&items[at].digest, hex);
        log_note("%s has no %s" DLF_MANIFEST_SUFFIX " any more: serial %" PRIu64
                 " is kept; to give it up, remove manifest/%s",
                 last->name, last->name, last->serial, hex);
    }
}

/* Deletes a file (or only reports that, in a dry run), unless it is young or not a regular file. */
static int delete_file(struct gc *gc, const char *path, uint64_t *count, struct dlf_err *err)
{
    struct stat st;
    if (fstatat(gc->store.dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0
                               : dlf_fail(err, errno, "cannot look at %s/%s: %s", gc->store.path,
                                          path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return 0;
    if (st.st_mtime > gc->young_from) {
        gc->young++;
        return 0;
    }
    if (!gc->dry_run && unlinkat(gc->store.dir_fd, path, 0) < 0)
        return dlf_fail(err, errno, "cannot delete %s/%s: %s", gc->store.path, path,
                        strerror(errno));
    (*count)++;
    gc->deleted_bytes += (uint64_t)st.st_size;
    if (gc->as_json)
        json_string(&gc->json, NULL, path);
    else
        printf("%s %" PRIu64 "\n", path, (uint64_t)st.st_size);
    return 0;
}

static bool is_temporary(const char *name)
{
    return strncmp(name, STORE_TEMP_PREFIX, strlen(STORE_TEMP_PREFIX)) == 0;
}

/* Sweeps one directory: unreached objects, and the remains of killed runs. kind: REACH_KINDS for
 * the store itself. */
static int sweep(struct gc *gc, enum reach_kind kind, struct dlf_err *err)
{
    const char *directory = kind < REACH_KINDS ? reach_kind_names[kind] : NULL;
    uint64_t before = gc->deleted_bytes;
    struct store_list names;
    struct dlf_sha256 digest;
    int rc = store_list(&gc->store, directory, &names, err);
    if (rc == -ENOENT && kind == REACH_BOOT) /* a store older than boot packs */
        return 0;
    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        const char *name = names.names[i];
        char path[384];
        snprintf(path, sizeof(path), "%s%s%s", directory ? directory : "", directory ? "/" : "",
                 name);
        if (is_temporary(name))
            rc = delete_file(gc, path, &gc->temporaries, err);
        else if (directory && dlf_sha256_parse(&digest, name) &&
                 !reach_has(&gc->reach, kind, &digest))
            rc = delete_file(gc, path, &gc->deleted[kind], err);
    }
    store_list_free(&names);
    if (rc == 0 && !gc->dry_run && gc->deleted_bytes != before)
        rc = store_sync(&gc->store, directory, err);
    return rc;
}

static int sweep_all(struct gc *gc, struct dlf_err *err)
{
    int rc = 0;
    for (int kind = 0; rc == 0 && kind <= REACH_KINDS; kind++)
        rc = sweep(gc, (enum reach_kind)kind, err);
    return rc;
}

static int choose(struct gc *gc, struct dlf_err *err)
{
    int64_t now = time(NULL);
    const struct versions_rule rule = {
        .count = gc->keep_count, .in_use_from = now - gc->keep_s, .young_from = now - gc->grace_s};
    gc->young_from = rule.young_from;
    int rc = versions_read(&gc->versions, &gc->store, report_damage, gc, &gc->damages, err);
    if (rc < 0)
        return rc;
    versions_keep(&gc->versions, &rule);
    return find_reach(gc, err);
}

static int collect(struct gc *gc, struct dlf_err *err)
{
    if (gc->as_json) {
        json_open(&gc->json, NULL, '{');
        json_bool(&gc->json, "dry_run", gc->dry_run);
        json_open(&gc->json, "damage", '[');
    }
    int rc = choose(gc, err);
    if (gc->as_json) {
        json_close(&gc->json, ']');
        json_open(&gc->json, "files", '[');
    }
    if (rc == 0 && gc->damages)
        rc = dlf_fail(err, EBADMSG,
                      "%s: nothing was deleted, for it is not known what the damaged ones (%" PRIu64
                      ") need: put them back from a mirror, or remove what is not wanted any more",
                      gc->store.path, gc->damages);
    if (rc == 0) {
        say_without_current(gc);
        rc = sweep_all(gc, err);
    }
    if (gc->as_json)
        json_close(&gc->json, ']');
    return rc;
}

static void print_json_counts(struct gc *gc)
{
    struct json *json = &gc->json;
    json_u64(json, "damages", gc->damages);
    json_u64(json, "versions", gc->versions.count);
    json_u64(json, "kept_versions", gc->kept_versions);
    json_u64(json, "manifests", gc->deleted[REACH_MANIFEST]);
    json_u64(json, "indexes", gc->deleted[REACH_INDEX]);
    json_u64(json, "boot_packs", gc->deleted[REACH_BOOT]);
    json_u64(json, "packs", gc->deleted[REACH_PACK]);
    json_u64(json, "temporaries", gc->temporaries);
    json_u64(json, "bytes", gc->deleted_bytes);
    json_u64(json, "young", gc->young);
    json_close(json, '}');
    json_end(json);
}

static void print_counts(const struct gc *gc)
{
    log_note("%" PRIu64 " of %zu versions stay; %s %" PRIu64 " manifests, %" PRIu64
             " indexes, %" PRIu64 " boot packs, %" PRIu64 " packs, %" PRIu64
             " temporary files: %.1f MB",
             gc->kept_versions, gc->versions.count, gc->dry_run ? "would delete" : "deleted",
             gc->deleted[REACH_MANIFEST], gc->deleted[REACH_INDEX], gc->deleted[REACH_BOOT],
             gc->deleted[REACH_PACK], gc->temporaries, (double)gc->deleted_bytes / 1e6);
    if (gc->young)
        log_note("%" PRIu64 " more are not needed, but younger than --grace", gc->young);
}

static int run(struct gc *gc)
{
    struct dlf_err err;
    int rc = store_open(&gc->store, gc->store_path, false, &err);
    if (rc < 0) {
        log_error("%s", err.msg);
        return EXIT_FAILED;
    }
    gc->json.out = stdout;
    rc = store_lock_only(&gc->store, &err);
    if (rc == 0) {
        rc = collect(gc, &err);
        if (gc->as_json)
            print_json_counts(gc);
    }
    if (rc < 0)
        log_error("%s", err.msg);
    else
        print_counts(gc);
    versions_free(&gc->versions);
    reach_free(&gc->reach);
    store_close(&gc->store);
    return rc < 0 ? EXIT_FAILED : EXIT_OK;
}

static int parse_keep(struct gc *gc, const char *value)
{
    uint64_t count;
    if (command_parse_number(value, 1, 1000000, &count)) {
        gc->keep_count = (uint32_t)count;
        return EXIT_OK;
    }
    gc->keep_count = 0;
    if (command_parse_duration(value, &gc->keep_s))
        return EXIT_OK;
    return command_usage("--keep is a number of versions (3) or a time (7d, 12h), not \"%.32s\"",
                         value);
}

static int parse_option(struct gc *gc, int option, char **argv)
{
    switch (option) {
    case 's':
        gc->store_path = optarg;
        return EXIT_OK;
    case 'k':
        return parse_keep(gc, optarg);
    case 'g':
        if (command_parse_duration(optarg, &gc->grace_s))
            return EXIT_OK;
        return command_usage("--grace is a time (1d, 12h, 0s), not \"%.32s\"", optarg);
    case 'n':
        gc->dry_run = true;
        return EXIT_OK;
    case 'j':
        gc->as_json = true;
        return EXIT_OK;
    case 'q':
        log_quiet(true);
        return EXIT_OK;
    default:
        return command_bad_option(option, argv);
    }
}

int command_gc(int argc, char **argv)
{
    static const struct option options[] = {{"store", required_argument, NULL, 's'},
                                            {"keep", required_argument, NULL, 'k'},
                                            {"grace", required_argument, NULL, 'g'},
                                            {"dry-run", no_argument, NULL, 'n'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {NULL, 0, NULL, 0}};
    struct gc gc = {.keep_s = DEFAULT_KEEP_S, .grace_s = DEFAULT_GRACE_S};
    int status = EXIT_OK;
    int option;
    while (status == EXIT_OK && (option = getopt_long(argc, argv, ":", options, NULL)) != -1)
        status = parse_option(&gc, option, argv);
    if (status != EXIT_OK)
        return status;
    if (!gc.store_path || argc != optind)
        return command_usage("gc needs --store DIR and nothing else");
    return command_flush(run(&gc));
}
