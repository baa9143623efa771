/* Profile, map, order, boot pack: one after the other. */
#include "chunker/create_boot.h"

#include <errno.h>
#include <string.h>

#include "chunker/log.h"
#include "chunker/profile_merge.h"
#include "chunker/stored_boot.h"
#include "chunker/stored_index.h"
#include "format/boot.h"

int create_boot_read(struct create_boot *boot, const struct create_options *options,
                     struct dlf_err *err)
{
    int rc = 0;
    memset(boot, 0, sizeof(*boot));
    for (unsigned i = 0; rc == 0 && i < options->profile_count; i++)
        rc = profile_add_file(&boot->traces, options->profiles[i], options->name, err);
    if (rc < 0)
        create_boot_free(boot);
    return rc;
}

void create_boot_free(struct create_boot *boot)
{
    profile_free(&boot->traces);
}

/* When the arguments ask for nothing and the index is unchanged, an intact boot pack stays. */
static bool keep_previous(struct create_boot *boot, const struct store *store,
                          const struct create_options *options, const struct dlf_manifest *previous,
                          struct dlf_manifest *manifest)
{
    struct stored_boot stored;
    if (options->boot_chosen || !dlf_sha256_equal(&previous->index, &manifest->index) ||
        !store_has_intact(store, DLF_BOOT_KIND, &previous->boot, previous->boot_size) ||
        stored_boot_open(&stored, store, previous, NULL) < 0)
        return false;
    boot->chunks = stored.table.record_count;
    boot->later = stored.table.later_count;
    boot->data_bytes = stored.table.data_size;
    stored_boot_close(&stored);
    manifest->boot = previous->boot;
    manifest->boot_size = previous->boot_size;
    manifest->boot_table = previous->boot_table;
    manifest->boot_table_size = previous->boot_table_size;
    return true;
}

static int find_order(struct create_boot *boot, const struct profile *profile,
                      const struct stored_index *index, struct profile_order *order,
                      struct dlf_err *err)
{
    struct profile_map map;
    int rc = profile_map_make(&map, profile, index, err);
    if (rc < 0)
        return rc;
    boot->mapped = true;
    boot->counts = map.counts;
    rc = profile_merge(order, profile, &map, err);
    profile_map_free(&map);
    return rc;
}

static int write_pack(struct create_boot *boot, struct store *store,
                      const struct create_options *options, const struct profile *profile,
                      struct dlf_manifest *manifest, struct dlf_err *err)
{
    const struct boot_options how = {
        .codec = options->boot_codec, .level = options->boot_level, .jobs = options->build.jobs};
    struct stored_index index;
    struct profile_order order = {0};
    int rc = stored_index_open(&index, store, manifest, err);
    if (rc < 0)
        return rc;
    rc = find_order(boot, profile, &index, &order, err);
    if (rc == 0 && order.boot_count)
        rc = boot_write(store, &index, &order, &how, manifest, &boot->data_bytes, err);
    else if (rc == 0)
        log_warning("nothing of the profile is in the image: it gets no boot pack");
    boot->chunks = (uint32_t)order.boot_count;
    boot->later = order.boot_count ? (uint32_t)order.later_count : 0;
    profile_order_free(&order);
    stored_index_close(&index);
    return rc;
}

/* The version before has a boot pack: its order is this version's profile. */
static int carry_over(struct create_boot *boot, struct store *store,
                      const struct create_options *options, const struct dlf_manifest *previous,
                      struct dlf_manifest *manifest, struct dlf_err *err)
{
    struct profile profile = {0};
    struct dlf_err why;
    if (keep_previous(boot, store, options, previous, manifest))
        return 0;
    int rc = profile_add_boot_pack(&profile, store, previous, &why);
    if (rc < 0) {
        log_warning("%s: the profile of the version before is lost", why.msg);
        return 0;
    }
    boot->carried = true;
    rc = write_pack(boot, store, options, &profile, manifest, err);
    profile_free(&profile);
    return rc;
}

int create_boot_make(struct create_boot *boot, struct store *store,
                     const struct create_options *options, const struct dlf_manifest *previous,
                     struct dlf_manifest *manifest, struct dlf_err *err)
{
    if (boot->traces.count)
        return write_pack(boot, store, options, &boot->traces, manifest, err);
    if (options->profile_none || !previous || !previous->boot_size)
        return 0;
    return carry_over(boot, store, options, previous, manifest, err);
}
