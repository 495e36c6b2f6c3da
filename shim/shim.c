/* SPDX-License-Identifier: MIT */
/*
 * Start, fork and end of the library in a process.
 *
 * There is no constructor: a process that never touches CUDA pays for a few symbols and nothing
 * else. A child after fork must not touch what it inherited, which belongs to the parent's
 * contexts, so there everything is forwarded and nothing recorded. At exit the trace is closed;
 * no CUDA call is made then, because the driver may already be gone.
 */
#include "shim/shim.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "pool/pool.h"
#include "shim/resolve/caller.h"
#include "shim/context/gate.h"
#include "shim/share/ipc_board.h"
#include "shim/resolve/real.h"
#include "shim/observe/record.h"
#include "shim/options/say.h"

atomic_int shim_mode_now;

static struct options options; /* written once, before the mode is published */
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool starting;

const struct options *shim_options(void)
{
    return &options;
}

/* One line for each bad option: the user wrote it and would wait for its effect in vain. */
static void complain(void *state, const char *line)
{
    static char text[OPTIONS_LINE_BYTES + 16]; /* guarded by start_lock */
    int length = snprintf(text, sizeof(text), "cupool: %s\n", line);
    if (length > 0)
        say(text);
}

static void fork_child(void)
{
    atomic_store(&shim_mode_now, SHIM_OFF);
    pool_fork_child();
    record_fork_child();
    caller_fork_child();
    real_fork_child();
    ipc_board_fork_child();
}

static enum shim_mode mode_of(int option)
{
    switch (option) {
    case OPTION_MODE_OBSERVE: return SHIM_OBSERVE;
    case OPTION_MODE_POOL: return SHIM_POOL;
    default: return SHIM_OFF;
    }
}

enum shim_mode shim_start(void)
{
    if (starting)
        return SHIM_OFF;
    starting = true;
    pthread_mutex_lock(&start_lock);
    int mode = atomic_load(&shim_mode_now);
    if (mode == SHIM_UNKNOWN) {
        options_load(&options, complain, NULL);
        mode = mode_of(options.mode);
        /* A child that could not be told to keep away from its parent's memory would be unsafe. */
        if (mode != SHIM_OFF &&
            (gate_init() < 0 || pthread_atfork(pool_fork_prepare, pool_fork_parent, fork_child)))
            mode = SHIM_OFF;
        atomic_store_explicit(&shim_mode_now, mode, memory_order_release);
    }
    pthread_mutex_unlock(&start_lock);
    starting = false;
    return mode;
}

__attribute__((destructor)) static void shim_end(void)
{
    int mode = atomic_load(&shim_mode_now);
    if (mode == SHIM_OBSERVE || mode == SHIM_POOL) {
        record_close();
        ipc_board_close();
    }
}
