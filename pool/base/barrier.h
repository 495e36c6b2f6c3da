/* SPDX-License-Identifier: MIT */
/*
 * A barrier with a cheap and an expensive side, for pairs of threads of which one runs often.
 *
 * Each side writes a word, passes its barrier, and reads the other's word: at least one of them
 * sees the other's write. Where the kernel offers membarrier, the expensive side makes it execute a
 * full barrier on every running thread of the process, and the cheap side only stops the compiler
 * from reordering. Elsewhere both execute a full barrier.
 *
 * Threading: call barrier_init() any number of times, from any thread, even while others are at a
 * barrier.
 */
#ifndef POOL_BASE_BARRIER_H
#define POOL_BASE_BARRIER_H

#include <stdatomic.h>

#include "pool/base/base.h"

extern atomic_bool barrier_is_asymmetric;

void barrier_init(void);

/** The dear side: a system call. */
void barrier_heavy(void);

/** The cheap side. */
static inline void barrier_light(void)
{
    if (likely(atomic_load_explicit(&barrier_is_asymmetric, memory_order_acquire)))
        atomic_signal_fence(memory_order_seq_cst);
    else
        atomic_thread_fence(memory_order_seq_cst);
}

#endif
