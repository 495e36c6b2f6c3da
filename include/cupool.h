/* SPDX-License-Identifier: MIT */
/*
 * What a program may tell cupool of itself: phases, steps and marks, which reports then speak of;
 * and what it may ask of its pools: to give memory back, to bring free memory together, and how
 * they are filled. None of it is needed.
 *
 * Nothing is linked: the functions are weak, and without libcupool.so in the process each of these
 * calls tests one address and does nothing. Code that calls them must be compiled position
 * independent (-fPIC or -fPIE, the default of most compilers); elsewhere the linker takes the
 * missing functions for absent forever.
 *
 *     cupool_phase_begin("decode");
 *     for (n = 0; n < tokens; n++) {
 *         cupool_step(n);
 *         ...
 *     }
 *     cupool_phase_end("decode");
 *
 * Phases are of the process, not of a thread, and known by name: they may overlap, be begun again
 * inside themselves (the time counts once), and end on another thread. A step lasts until the next
 * one, or until a phase ends. Names beyond 255 bytes are cut; a process has at most 1,024 names,
 * others are dropped.
 *
 * The functions of memory concern the pools of the device that is current on the calling thread;
 * all sizes are bytes. Their errors are negative numbers of errno.h: without libcupool.so, with a
 * mode that has no pool, and before the first allocation on the device CUPOOL_NO_POOL (-ENODEV).
 *
 *     struct cupool_pool_stats stats;
 *     if (cupool_pool_stats(&stats) == 0 && stats.free_bytes > 4 * stats.largest_free_bytes)
 *         cupool_defragment();
 *     cupool_trim(64 << 20);
 *
 * Threading: every function from any thread, not from a signal handler. errno is kept.
 */
#ifndef CUPOOL_H
#define CUPOOL_H

#ifdef __cplusplus
extern "C" {
#endif

/** A phase begins, and ends. */
__attribute__((weak, visibility("default"))) void cupool_phase_begin(const char *name);
__attribute__((weak, visibility("default"))) void cupool_phase_end(const char *name);

/** Step `number` of a loop begins: a token, a request, a batch. */
__attribute__((weak, visibility("default"))) void cupool_step(unsigned long long number);

/** A moment of interest. */
__attribute__((weak, visibility("default"))) void cupool_mark(const char *name);

/**
 * Compares every redzone, and freed memory that holds poison, with what was put there (option
 * `guard`, docs/guards.md). Waits for all device work first. Returns how many memory errors have
 * been found in this process so far; -1 without cupool, or without guards.
 */
__attribute__((weak, visibility("default"))) int cupool_check(void);
/** There is no pool to ask. */
#define CUPOOL_NO_POOL (-19)

/** How the memory of a device's pools is divided. */
struct cupool_pool_stats {
    unsigned long long reserved_bytes;       /**< held from the driver: the five that follow */
    unsigned long long live_bytes;           /**< blocks, at the size they occupy */
    unsigned long long quarantined_bytes;    /**< freed; earlier device work may still use it */
    unsigned long long free_bytes;           /**< ready to be handed out */
    unsigned long long waste_bytes;          /**< neither: tails, what is beside exported blocks */
    unsigned long long requested_bytes;      /**< what the program asked for of live_bytes */
    unsigned long long requested_peak_bytes; /**< the most there was of it */
    unsigned long long largest_free_bytes;   /**< the largest block to be had without the driver */
    unsigned long long returnable_bytes;     /**< of free_bytes, what a trim would give back */
    /* Of mapped memory (`backing:vmm`), else 0. */
    unsigned long long mapped_bytes;   /**< of reserved_bytes */
    unsigned long long page_bytes;     /**< a piece of physical memory at most; without the option
                                          `page` early ones may have more */
    unsigned long long range_bytes;    /**< reserved addresses */
    unsigned long long hole_bytes;     /**< of these, addresses without memory */
    unsigned long long holes;          /**< the pieces they come in */
    unsigned long long stitched_bytes; /**< free memory that was mapped elsewhere so far */
    unsigned long long unused[9];      /**< 0; later fields take their place */
};

/**
 * Gives free memory back to the driver until at most `keep_bytes` of it stay. What was freed while
 * earlier work still runs is waited for when nothing is to be kept. Returns the bytes given back,
 * or an error: CUPOOL_NO_POOL; -EBUSY, -EPERM while a stream captures; -EIO in a broken context.
 */
__attribute__((weak, visibility("default"))) long long cupool_trim(unsigned long long keep_bytes);

/**
 * Brings free memory together, so that the largest block that is to be had without the driver is as
 * large as can be. Waits for the device work before the frees so far. Returns the bytes that were
 * mapped elsewhere, 0 without mapped memory, or an error as cupool_trim().
 */
__attribute__((weak, visibility("default"))) long long cupool_defragment(void);

/* The function is named as what it fills. */
#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif

/**
 * Fills `ret_stats`. Each figure is exact; figures may be some operations of other threads apart.
 * Returns 0, or an error: CUPOOL_NO_POOL; -EINVAL for NULL.
 */
__attribute__((weak, visibility("default"))) int cupool_pool_stats(
    struct cupool_pool_stats *ret_stats);

#ifdef __cplusplus
#pragma GCC diagnostic pop
#endif

#ifdef __cplusplus
}
#endif

#ifndef CUPOOL_IMPLEMENTATION
/* A macro's own name inside it is the function. */
#define cupool_phase_begin(name) (cupool_phase_begin ? cupool_phase_begin(name) : (void)0)
#define cupool_phase_end(name)   (cupool_phase_end ? cupool_phase_end(name) : (void)0)
#define cupool_step(number)      (cupool_step ? cupool_step(number) : (void)0)
#define cupool_mark(name)        (cupool_mark ? cupool_mark(name) : (void)0)
#define cupool_check()           (cupool_check ? cupool_check() : -1)
#define cupool_trim(keep_bytes)  (cupool_trim ? cupool_trim(keep_bytes) : CUPOOL_NO_POOL)
#define cupool_defragment()      (cupool_defragment ? cupool_defragment() : CUPOOL_NO_POOL)
#define cupool_pool_stats(ret_stats)                                                               \
    (cupool_pool_stats ? cupool_pool_stats(ret_stats) : CUPOOL_NO_POOL)
#endif

#endif
