/* SPDX-License-Identifier: MIT */
/*
 * What a program may tell cupool of itself: phases, steps and marks, which reports then speak of.
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
#endif

#endif
