/* dlfuse-chunker verify: an audit, printed. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "chunker/audit.h"
#include "chunker/command.h"
#include "chunker/json.h"
#include "chunker/log.h"
#include "chunker/signer.h"

static void print_damage(void *context, const char *line)
{
    (void)context;
    log_progress_stop();
    printf("%s\n", line);
}

static void print_damage_json(void *context, const char *line)
{
    json_string(context, NULL, line);
}

static void print_json_counts(struct json *json, const struct audit_counts *counts)
{
    json_close(json, ']');
    json_u64(json, "damages", counts->damages);
    json_u64(json, "manifests", counts->manifests);
    json_u64(json, "indexes", counts->indexes);
    json_u64(json, "boot_packs", counts->boot_packs);
    json_u64(json, "packs", counts->packs);
    json_u64(json, "unused_packs", counts->unused_packs);
    json_u64(json, "chunks", counts->chunks);
    json_u64(json, "bytes", counts->bytes);
    json_close(json, '}');
    json_end(json);
}

static void print_counts(const struct audit_counts *counts)
{
    log_note("%" PRIu64 " manifests, %" PRIu64 " indexes, %" PRIu64 " boot packs, %" PRIu64
             " packs (%" PRIu64 " unused), %" PRIu64 " chunks, %.1f MB: %" PRIu64 " damaged",
             counts->manifests, counts->indexes, counts->boot_packs, counts->packs,
             counts->unused_packs, counts->chunks, (double)counts->bytes / 1e6, counts->damages);
}

static int verify(const char *store_path, const char *name, const struct dlf_keys *keys,
                  bool as_json)
{
    struct store store;
    struct dlf_err err;
    struct json json = {.out = stdout};
    struct audit audit = {.store = &store,
                          .report = as_json ? print_damage_json : print_damage,
                          .context = &json,
                          .keys = keys->count ? keys : NULL};
    int rc = store_open(&store, store_path, false, &err);
    if (rc < 0) {
        log_error("%s", err.msg);
        return EXIT_FAILED;
    }
    if (as_json) {
        json_open(&json, NULL, '{');
        json_open(&json, "damage", '[');
    }
    rc = audit_store(&audit, name, &err);
    if (as_json)
        print_json_counts(&json, &audit.counts);
    if (rc < 0)
        log_error("%s", err.msg);
    else
        print_counts(&audit.counts);
    uint64_t damages = audit.counts.damages;
    audit_free(&audit);
    store_close(&store);
    return rc < 0 || damages ? EXIT_FAILED : EXIT_OK;
}

int command_verify(int argc, char **argv)
{
    static const struct option options[] = {{"store", required_argument, NULL, 's'},
                                            {"key", required_argument, NULL, 'k'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {NULL, 0, NULL, 0}};
    const char *store_path = NULL;
    struct dlf_keys keys = {.count = 0};
    struct dlf_err err;
    bool as_json = false;
    int rc = 0;
    int option;
    while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        if (option == 's')
            store_path = optarg;
        else if (option == 'k')
            rc = rc < 0 ? rc : signer_trust(&keys, optarg, &err);
        else if (option == 'j')
            as_json = true;
        else if (option == 'q')
            log_quiet(true);
        else
            return command_bad_option(option, argv);
    }
    if (!store_path || argc - optind > 1)
        return command_usage("verify needs --store DIR and at most one NAME");
    const char *name = optind < argc ? argv[optind] : NULL;
    if (name && !command_name_ok(name))
        return EXIT_USAGE;
    if (rc < 0) {
        log_error("%s", err.msg);
        return EXIT_FAILED;
    }
    return command_flush(verify(store_path, name, &keys, as_json));
}
