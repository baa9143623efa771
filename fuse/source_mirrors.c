/*
 * Which mirrors a source has, which one is asked next, and the statistics of each. The source's
 * thread, but for the base and the statistics.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/source_private.h"
#include "fuse/util.h"

bool dlf_source_add_mirror(struct dlf_source *source, const char *base, bool private)
{
    unsigned i = source->mirrors.count;
    struct place *p = &source->places[i];
    char shown[DLF_URL_MAX];
    if (i == DLF_MIRRORS_MAX)
        return false;
    size_t length = strcspn(base, "?#");
    dlf_url_shown(shown, sizeof(shown), base);
    if (!dlf_url_split(&p->url, base))
        return false;
    p->base = strdup(shown);
    p->query =
        base[length] == '?' ? strndup(base + length, strcspn(base + length, "#")) : strdup("");
    if (!p->base || !p->query) {
        free(p->base);
        free(p->query);
        return false;
    }
    p->private = private;
    source->mirrors.count++;
    return true;
}

bool dlf_source_has_mirror(const struct dlf_source *source, const char *base)
{
    for (unsigned i = 0; i < source->mirrors.count; i++)
        if (strcmp(source->places[i].base, base) == 0)
            return true;
    return false;
}

bool dlf_source_full(const struct dlf_source *source)
{
    return source->mirrors.count == DLF_MIRRORS_MAX;
}

uint32_t dlf_source_all(const struct dlf_source *source)
{
    return ((uint32_t)1 << source->mirrors.count) - 1;
}

uint32_t dlf_source_down(const struct dlf_source *source)
{
    return dlf_mirrors_down(&source->mirrors);
}

int dlf_source_choose(struct dlf_source *source, uint32_t avoid, uint64_t *when_ms)
{
    source->look_for_probes = source->mirrors.count > 1;
    return dlf_mirrors_choose(&source->mirrors, avoid, dlf_now_ms(), when_ms);
}

bool dlf_source_sends_whole(const struct dlf_source *source, unsigned mirror)
{
    return source->places[mirror].sends_whole;
}

void dlf_source_blame(struct dlf_source *source, unsigned mirror)
{
    dlf_mirrors_blame(&source->mirrors, mirror);
}

const char *dlf_source_mirror_base(const struct dlf_source *source, unsigned index)
{
    return source->places[index].base;
}

void dlf_source_mirror_stats(const struct dlf_source *source, unsigned index,
                             struct dlf_mirror_stats *stats)
{
    const struct dlf_mirror *m = &source->mirrors.at[index];
    uint64_t now = dlf_now_ms();
    snprintf(stats->base, sizeof(stats->base), "%s", source->places[index].base);
    stats->down = atomic_load_explicit(&m->down, memory_order_relaxed);
    uint64_t until = atomic_load_explicit(&m->not_before_ms, memory_order_relaxed);
    stats->down_ms = stats->down && until > now ? until - now : 0;
    stats->latency_us = atomic_load_explicit(&m->latency_us, memory_order_relaxed);
    stats->requests = atomic_load_explicit(&m->requests, memory_order_relaxed);
    stats->failures = atomic_load_explicit(&m->failures, memory_order_relaxed);
    stats->failovers = atomic_load_explicit(&m->failovers, memory_order_relaxed);
    stats->recoveries = atomic_load_explicit(&m->recoveries, memory_order_relaxed);
    stats->told_waits = atomic_load_explicit(&m->told_waits, memory_order_relaxed);
    stats->bytes = atomic_load_explicit(&m->bytes, memory_order_relaxed);
}
