/*
 * The shutdown of a machine that has its root filesystem from this node.
 *
 * A machine that goes down says so (control.h). From then on the mount is hidden from the directory
 * tree, because no program could unmount it while the root stands on it. And the machine goes down
 * even without a server. Init kills the programs that wait for bytes, but nothing kills init: it
 * reads its own next step from this root, and without a server it would wait for ever. So the node
 * powers off or restarts the machine itself, when no bytes have come for the time that was set,
 * while reads wait and init waits for them. Other file systems are written out before that.
 *
 *   IDLE -> ENDING (told; looks once a second) -> the machine is gone
 */
#ifndef DLFUSE_FUSE_ENDING_H
#define DLFUSE_FUSE_ENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "fuse/control.h"

/* One look at the machine. */
struct dlf_ending_look {
    uint64_t now_ms;
    uint64_t waiting;  /* reads that wait for bytes */
    uint64_t progress; /* any number that changes when some came */
    bool init_waits;
};

/* The result of the earlier looks; all zeros at first. */
struct dlf_ending_watch {
    bool stuck;
    uint64_t since_ms;
    uint64_t progress;
};

/* True when the machine has been stuck in each look for patience_ms. */
bool dlf_ending_is_due(struct dlf_ending_watch *watch, const struct dlf_ending_look *look,
                       uint64_t patience_ms);

/*
 * Whether PID 1 waits for its root, by the text of its /proc/1/stat. It does when it sleeps
 * uninterruptibly in the kernel (state D). systemd's last program counts as waiting too, because
 * one of its children may sleep like that instead. False for a malformed text.
 */
bool dlf_ending_init_waits(const char *stat);

struct dlf_ending;

struct dlf_ending_config {
    const char *init_stat; /* the path of PID 1's stat file, opened now */
    uint64_t patience_ms;  /* 0: never ends the machine itself */
    /* Both in a thread of their own. hide: once, first. look: sets waiting and progress. */
    void (*hide)(void *cookie);
    void (*look)(void *cookie, struct dlf_ending_look *look);
    void *cookie;
};

/* NULL when out of memory. Without init_stat the mount is hidden, and the rest left to others. */
struct dlf_ending *dlf_ending_new(const struct dlf_ending_config *config);

/*
 * The machine goes down: DLF_COMMAND_POWEROFF or DLF_COMMAND_REBOOT. Any thread; does not block. 0;
 * -EALREADY when that was said before; another negative errno when no thread can be made.
 */
int dlf_ending_begin(struct dlf_ending *ending, enum dlf_command how);

/* Waits for the thread. No callback runs afterwards. */
void dlf_ending_free(struct dlf_ending *ending);

#endif
