/* SPDX-License-Identifier: MIT */
/*
 * glibc starts a thread below its control block and the static thread-local storage; the kernel
 * starts the main thread at __libc_stack_end. Only this distance distinguishes the beginning of a
 * thread from that of a coroutine, which may have its stack below in the same mapping.
 *
 * System calls are made directly: the C library's functions are cancellation points.
 */
#include "cupti/stack/stack_bounds.h"

#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cupti/stack/module_symbol.h"

#define LOOKS_MOST  64
#define PAGES_MOST  16384 /* looked at in one go: 64 MiB */
#define SPARE_BYTES 4096  /* of static thread-local storage that no module has yet */
#define MAIN_BYTES  128   /* from the main thread's outermost frame to its arguments */

struct bounds {
    uintptr_t low, high; /* known of the thread's own stack; 0: nothing yet */
    unsigned looks;      /* that taught nothing */
};

static __thread struct bounds bounds __attribute__((tls_model("initial-exec")));

static int module_storage_add(struct dl_phdr_info *info, size_t bytes, void *state)
{
    uintptr_t *sum = state;

    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_TLS)
            *sum += info->dlpi_phdr[i].p_memsz + info->dlpi_phdr[i].p_align;
    return 0;
}

/** Returns the end of the thread's own stack that begins at an address; 0: no thread begins
 * there. */
static uintptr_t own_end(uintptr_t outermost)
{
    uintptr_t control = (uintptr_t)pthread_self(), storage = SPARE_BYTES;
    void *const *main_end;

    if (control > outermost) {
        dl_iterate_phdr(module_storage_add, &storage);
        if (control - outermost <= storage)
            return control;
    }
    main_end = module_symbol_find("__libc_stack_end");
    if (main_end && (uintptr_t)*main_end - outermost <= MAIN_BYTES)
        return (uintptr_t)*main_end;
    return 0;
}

uintptr_t stack_bounds_end(uintptr_t stack_pointer)
{
    return stack_pointer >= bounds.low && stack_pointer < bounds.high ? bounds.high : 0;
}

bool stack_bounds_wanted(void)
{
    return bounds.looks < LOOKS_MOST;
}

void stack_bounds_learn(uintptr_t stack_pointer, uintptr_t outermost)
{
    uintptr_t low = stack_pointer & ~(uintptr_t)(STACK_PAGE_BYTES - 1);
    uintptr_t high = stack_bounds_end(outermost), upper = high ? bounds.low : outermost;

    bounds.looks++;
    if (!high && outermost)
        high = own_end(outermost);
    if (!high || upper < low || (upper - low) / STACK_PAGE_BYTES > PAGES_MOST)
        return;
    for (uintptr_t page = low; page < upper; page += STACK_PAGE_BYTES)
        if (!stack_page_is_readable(page))
            return;
    bounds = (struct bounds){low, high, 0};
}

bool stack_page_is_readable(uintptr_t address)
{
    int saved_errno = errno;
    /* Reads a signal set of 8 bytes, then rejects the first argument. */
    bool readable = syscall(SYS_rt_sigprocmask, ~0, address & ~(uintptr_t)7, NULL, 8) < 0 &&
                    errno == EINVAL;

    errno = saved_errno;
    return readable;
}

bool stack_word_copy(uintptr_t address, uintptr_t *ret_word)
{
    int saved_errno = errno;
    uintptr_t word;
    struct iovec here = {&word, sizeof word}, there = {(void *)address, sizeof word};
    bool copied = syscall(SYS_process_vm_readv, getpid(), &here, 1, &there, 1, 0) ==
                  (long)sizeof word;

    errno = saved_errno;
    if (copied)
        *ret_word = word;
    return copied;
}
