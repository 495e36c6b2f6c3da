/* SPDX-License-Identifier: MIT */
/*
 * Optional interface for programs that run under cupool. A program can name its phases, steps and
 * marks, which reports then show. It can also ask its pools for statistics, return free memory to
 * the driver, and defragment.
 *
 * Nothing is linked: the functions are weak. Without libcupool.so in the process, each call tests
 * one address and does nothing. Compile callers as position-independent code (-fPIC or -fPIE, the
 * default of most compilers); otherwise the linker resolves the missing functions to nothing for
 * good.
 *
 *     cupool_phase_begin("decode");
 *     for (n = 0; n < tokens; n++) {
 *         cupool_step(n);
 *         ...
 *     }
 *     cupool_phase_end("decode");
 *
 * Phases belong to the process, not to a thread, and are identified by name. They may overlap, nest
 * in themselves (the time counts once), and end on another thread. A step lasts until the next step
 * or the end of a phase that was open when it began: phases inside it do not end it. Names beyond
 * 255 bytes are cut. A process has at most 1,024 names; further ones are dropped.
 *
 * The memory functions act on the pools of the calling thread's current device. All sizes are
 * bytes. Errors are negative errno values. They return CUPOOL_NO_POOL (-ENODEV) without
 * libcupool.so, in a mode without pools, and before the first allocation on the device.
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

/** Begins step `number` of a loop: a token, a request, a batch. */
__attribute__((weak, visibility("default"))) void cupool_step(unsigned long long number);

/** A moment of interest. */
__attribute__((weak, visibility("default"))) void cupool_mark(const char *name);

/**
 * Checks every redzone, and all freed memory that holds poison (option `guard`, docs/guards.md).
 * Waits for all device work first. Returns the number of memory errors found in this process so
 * far, or -1 without cupool or without guards.
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
    unsigned long long requested_peak_bytes; /**< peak of live_requested_bytes */
    unsigned long long largest_free_bytes;   /**< the largest block to be had without the driver */
    unsigned long long returnable_bytes;     /**< of free_bytes, what a trim would give back */
    /* Of mapped memory (`backing:vmm`), else 0. */
    unsigned long long mapped_bytes;   /**< of reserved_bytes */
    unsigned long long page_bytes;     /**< largest piece of physical memory; without the option
                                          `page` early pieces may be larger */
    unsigned long long range_bytes;    /**< reserved addresses */
    unsigned long long hole_bytes;     /**< of these, addresses without memory */
    unsigned long long holes;          /**< the pieces they come in */
    unsigned long long stitched_bytes; /**< free memory that was mapped elsewhere so far */
    unsigned long long unused[9];      /**< 0; later fields take their place */
};

/**
 * Returns free memory to the driver until at most `keep_bytes` remain. With `keep_bytes` 0 it also
 * waits for freed memory that earlier work still uses. Returns the bytes given back, or an error:
 * CUPOOL_NO_POOL; -EBUSY, -EPERM while a stream captures; -EIO in a broken context.
 */
__attribute__((weak, visibility("default"))) long long cupool_trim(unsigned long long keep_bytes);

/**
 * Defragments: makes the largest block available without the driver as large as possible. Waits
 * for the device work submitted before the frees so far. Returns the bytes that were mapped
 * elsewhere, 0 without mapped memory, or an error as cupool_trim().
 */
__attribute__((weak, visibility("default"))) long long cupool_defragment(void);

/* The function has the name of the structure it fills. */
#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif

/**
 * Fills `ret_stats`. Each figure is exact, but while other threads work, different figures may be
 * read a few operations apart. Returns 0, or an error: CUPOOL_NO_POOL; -EINVAL for NULL.
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
