/*
 * Buffers and the sealing threads.
 *
 * A buffer's states:
 *      FREE      no pack in it                    owner takes it     -> BUILDING
 *      BUILDING  the owner appends                owner closes it    -> CLOSED
 *      CLOSED    read-only, waits for a thread    a thread takes it  -> SEALING
 *      SEALING   read-only, in a thread's hands   the thread is done -> FREE
 * At most one buffer is BUILDING. Threads take packs in the order of their numbers, but may finish
 * in any order.
 *
 * The lock guards the states, packs[] and error. The bytes of a buffer that is BUILDING are the
 * owner's alone; afterwards they do not change until it is FREE.
 */
#include "chunker/packer.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chunker/io.h"

/* A pack is closed by the chunk that reaches the target. */
#define BUFFER_BYTES ((size_t)DLF_PACK_TARGET + DLF_CHUNK_MAX)
_Static_assert(BUFFER_BYTES <= DLF_PACK_MAX, "a pack may become too large");

enum buffer_state { FREE, BUILDING, CLOSED, SEALING };

struct buffer {
    enum buffer_state state;
    uint8_t *bytes;
    uint32_t size;
    uint32_t pack;
};

struct packer {
    struct store *store;
    pthread_t threads[PACKER_THREADS];
    unsigned thread_count;
    struct buffer *building; /* owner only */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* any state, error, stopping */
    struct buffer buffers[PACKER_BUFFERS];
    struct dlf_index_pack *packs; /* sha256 once sealed, size once closed */
    uint32_t pack_count;
    uint32_t pack_room;
    uint32_t sealed_count; /* in any order */
    bool stopping;
    int error; /* negative errno of a thread; all threads then only empty buffers */
    struct dlf_err error_text;
};

/* Writes one pack to the store, unless it is there: a killed run may have left it. */
static int seal(struct store *store, const struct buffer *buffer, struct dlf_sha256 *digest,
                struct dlf_err *err)
{
    char path[DLF_OBJECT_PATH_MAX];
    *digest = dlf_sha256(buffer->bytes, buffer->size);
    int rc = dlf_sha256_check(digest, err);
    if (rc < 0)
        return rc;
    if (store_reuse(store, "pack", digest, buffer->size))
        return 0;
    dlf_object_path(path, "pack", digest);
    return store_put(store, "pack", path, buffer->bytes, buffer->size, err);
}

/* The buffer to seal next: the one with the lowest number. NULL when there is none. */
static struct buffer *next_to_seal_locked(struct packer *packer)
{
    struct buffer *next = NULL;
    for (int i = 0; i < PACKER_BUFFERS; i++) {
        struct buffer *buffer = &packer->buffers[i];
        if (buffer->state == CLOSED && (!next || buffer->pack < next->pack))
            next = buffer;
    }
    return next;
}

static void *sealing_thread(void *context)
{
    struct packer *packer = context;
    pthread_mutex_lock(&packer->lock);
    for (;;) {
        struct buffer *buffer = next_to_seal_locked(packer);
        if (packer->stopping)
            break;
        if (!buffer) {
            pthread_cond_wait(&packer->changed, &packer->lock);
            continue;
        }
        int rc = packer->error;
        struct dlf_sha256 digest = {{0}};
        struct dlf_err err;
        buffer->state = SEALING;
        pthread_mutex_unlock(&packer->lock);
        if (rc == 0)
            rc = seal(packer->store, buffer, &digest, &err);
        pthread_mutex_lock(&packer->lock);
        if (rc < 0 && packer->error == 0) {
            packer->error = rc;
            packer->error_text = err;
        }
        packer->packs[buffer->pack].sha256 = digest;
        packer->sealed_count++;
        buffer->state = FREE;
        pthread_cond_broadcast(&packer->changed);
    }
    pthread_mutex_unlock(&packer->lock);
    return NULL;
}

/* Starts as many threads as possible; one suffices. */
static bool start_threads(struct packer *packer)
{
    while (packer->thread_count < PACKER_THREADS &&
           pthread_create(&packer->threads[packer->thread_count], NULL, sealing_thread, packer) ==
               0)
        packer->thread_count++;
    return packer->thread_count > 0;
}

struct packer *packer_new(struct store *store, struct dlf_err *err)
{
    struct packer *packer = calloc(1, sizeof(*packer));
    bool ok = packer != NULL;
    if (ok) {
        packer->store = store;
        pthread_mutex_init(&packer->lock, NULL);
        pthread_cond_init(&packer->changed, NULL);
    }
    for (int i = 0; ok && i < PACKER_BUFFERS; i++) {
        packer->buffers[i].bytes = malloc(BUFFER_BYTES);
        ok = packer->buffers[i].bytes != NULL;
    }
    if (ok && start_threads(packer))
        return packer;
    packer_free(packer);
    dlf_fail(err, ENOMEM, "out of memory or threads for writing packs");
    return NULL;
}

void packer_free(struct packer *packer)
{
    if (!packer)
        return;
    pthread_mutex_lock(&packer->lock);
    packer->stopping = true;
    pthread_cond_broadcast(&packer->changed);
    pthread_mutex_unlock(&packer->lock);
    for (unsigned i = 0; i < packer->thread_count; i++)
        pthread_join(packer->threads[i], NULL);
    pthread_cond_destroy(&packer->changed);
    pthread_mutex_destroy(&packer->lock);
    for (int i = 0; i < PACKER_BUFFERS; i++)
        free(packer->buffers[i].bytes);
    free(packer->packs);
    free(packer);
}

static int copy_error_locked(const struct packer *packer, struct dlf_err *err)
{
    if (packer->error < 0 && err)
        *err = packer->error_text;
    return packer->error;
}

static int add_pack_locked(struct packer *packer, struct dlf_err *err)
{
    if (packer->pack_count == packer->pack_room) {
        uint32_t room = packer->pack_room ? packer->pack_room * 2 : 64;
        struct dlf_index_pack *packs = realloc(packer->packs, room * sizeof(*packs));
        if (!packs)
            return dlf_fail(err, ENOMEM, "out of memory for %u packs", room);
        packer->packs = packs;
        packer->pack_room = room;
    }
    memset(&packer->packs[packer->pack_count], 0, sizeof(*packer->packs));
    packer->pack_count++;
    return 0;
}

/* Waits for a free buffer and begins the next pack in it. */
static int begin_pack(struct packer *packer, struct dlf_err *err)
{
    struct buffer *buffer = NULL;
    pthread_mutex_lock(&packer->lock);
    int rc = copy_error_locked(packer, err);
    while (rc == 0 && !buffer) {
        for (int i = 0; i < PACKER_BUFFERS && !buffer; i++) {
            if (packer->buffers[i].state == FREE)
                buffer = &packer->buffers[i];
        }
        if (!buffer)
            pthread_cond_wait(&packer->changed, &packer->lock);
        rc = copy_error_locked(packer, err);
    }
    if (rc == 0)
        rc = add_pack_locked(packer, err);
    if (rc == 0) {
        buffer->state = BUILDING;
        buffer->size = 0;
        buffer->pack = packer->pack_count - 1;
        packer->building = buffer;
    }
    pthread_mutex_unlock(&packer->lock);
    return rc;
}

static void close_pack(struct packer *packer)
{
    struct buffer *buffer = packer->building;
    pthread_mutex_lock(&packer->lock);
    packer->packs[buffer->pack].size = buffer->size;
    buffer->state = CLOSED;
    pthread_cond_broadcast(&packer->changed);
    pthread_mutex_unlock(&packer->lock);
    packer->building = NULL;
}

int packer_add(struct packer *packer, const uint8_t *stored, uint32_t size, uint32_t *pack,
               uint32_t *pack_offset, struct dlf_err *err)
{
    int rc = packer->building ? 0 : begin_pack(packer, err);
    if (rc < 0)
        return rc;
    struct buffer *buffer = packer->building;
    memcpy(buffer->bytes + buffer->size, stored, size);
    *pack = buffer->pack;
    *pack_offset = buffer->size;
    buffer->size += size;
    if (buffer->size >= DLF_PACK_TARGET)
        close_pack(packer);
    return 0;
}

static int read_sealed(struct packer *packer, const struct dlf_index_pack *pack,
                       uint32_t pack_offset, uint8_t *stored, uint32_t size, struct dlf_err *err)
{
    char path[DLF_OBJECT_PATH_MAX];
    uint64_t found_size;
    dlf_object_path(path, "pack", &pack->sha256);
    int fd = store_object_open(packer->store, path, &found_size, err);
    if (fd < 0)
        return fd;
    int rc = io_pread(fd, stored, size, pack_offset);
    close(fd);
    if (rc < 0)
        return dlf_fail(err, -rc, "cannot read %s/%s back at byte %u: %s", packer->store->path,
                        path, pack_offset, strerror(-rc));
    return 0;
}

int packer_read(struct packer *packer, uint32_t pack, uint32_t pack_offset, uint8_t *stored,
                uint32_t size, struct dlf_err *err)
{
    struct dlf_index_pack sealed;
    bool in_memory = false;
    pthread_mutex_lock(&packer->lock);
    for (int i = 0; i < PACKER_BUFFERS; i++) {
        struct buffer *buffer = &packer->buffers[i];
        if (buffer->state != FREE && buffer->pack == pack) {
            memcpy(stored, buffer->bytes + pack_offset, size);
            in_memory = true;
        }
    }
    int rc = copy_error_locked(packer, err);
    sealed = packer->packs[pack];
    pthread_mutex_unlock(&packer->lock);
    if (in_memory || rc < 0)
        return rc;
    return read_sealed(packer, &sealed, pack_offset, stored, size, err);
}

int packer_finish(struct packer *packer, struct dlf_err *err)
{
    if (packer->building)
        close_pack(packer);
    pthread_mutex_lock(&packer->lock);
    while (packer->sealed_count < packer->pack_count && packer->error == 0)
        pthread_cond_wait(&packer->changed, &packer->lock);
    int rc = copy_error_locked(packer, err);
    pthread_mutex_unlock(&packer->lock);
    return rc < 0 ? rc : store_sync(packer->store, "pack", err);
}

const struct dlf_index_pack *packer_packs(const struct packer *packer, uint32_t *count)
{
    *count = packer->pack_count;
    return packer->packs;
}
