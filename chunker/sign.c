/* dlfuse-chunker sign: signs a manifest that is published already, or a file of checksums. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "chunker/command.h"
#include "chunker/log.h"
#include "chunker/signer.h"
#include "chunker/store.h"

struct sign {
    const char *store_path;
    const char *name;
    const char *sums_path;
    struct signer_paths paths;
    struct signer signer;
};

/* Holds the store's lock from reading the manifest to replacing it. */
static int sign_manifest(struct sign *s, struct store *store, struct dlf_err *err)
{
    struct dlf_manifest manifest = {0};
    struct dlf_sha256 digest;
    char ids[SIGNER_IDS_MAX];
    bool changed = false;
    int rc = store_lock(store, err);
    if (rc == 0)
        rc = store_read_manifest(store, s->name, &manifest, NULL, err);
    if (rc == 0)
        rc = signer_sign(&s->signer, &manifest, &changed, err);
    if (rc == 0 && changed)
        rc = store_publish(store, &manifest, &digest, err);
    if (rc < 0)
        return rc;
    signer_ids(&manifest.signatures, ids);
    log_note("%s serial %" PRIu64 " is %ssigned by %s", s->name, manifest.serial,
             changed ? "" : "already ", ids);
    return 0;
}

static int sign_in_store(struct sign *s, struct dlf_err *err)
{
    struct store store;
    int rc = store_open(&store, s->store_path, false, err);
    if (rc < 0)
        return rc;
    rc = sign_manifest(s, &store, err);
    store_close(&store);
    return rc;
}

static int parse(struct sign *s, int argc, char **argv)
{
    static const struct option options[] = {
        {"store", required_argument, NULL, 's'}, {"name", required_argument, NULL, 'n'},
        {"sums", required_argument, NULL, 'u'},  {"sign", required_argument, NULL, 'k'},
        {"quiet", no_argument, NULL, 'q'},       {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        if (option == 's')
            s->store_path = optarg;
        else if (option == 'n')
            s->name = optarg;
        else if (option == 'u')
            s->sums_path = optarg;
        else if (option == 'q')
            log_quiet(true);
        else if (option != 'k')
            return command_bad_option(option, argv);
        else if (!signer_paths_add(&s->paths, optarg))
            return command_usage("more than %d times --sign", DLF_SIGNATURES_MAX);
    }
    if (argc > optind)
        return command_usage("%.64s is unexpected", argv[optind]);
    if (s->sums_path ? s->store_path || s->name : !s->store_path || !s->name)
        return command_usage("sign needs --store DIR and --name NAME, or --sums FILE");
    if (!s->paths.count)
        return command_usage("sign needs --sign KEY.pem");
    return s->sums_path || command_name_ok(s->name) ? EXIT_OK : EXIT_USAGE;
}

int command_sign(int argc, char **argv)
{
    struct sign s = {.name = NULL};
    struct dlf_err err;
    int status = parse(&s, argc, argv);
    if (status != EXIT_OK)
        return status;
    int rc = signer_open(&s.signer, &s.paths, &err);
    if (rc == 0)
        rc = s.sums_path ? signer_sign_sums(&s.signer, s.sums_path, &err) : sign_in_store(&s, &err);
    signer_close(&s.signer);
    if (rc < 0)
        log_error("%s", err.msg);
    return rc < 0 ? EXIT_FAILED : EXIT_OK;
}
