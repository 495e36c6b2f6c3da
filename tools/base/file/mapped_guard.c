/* SPDX-License-Identifier: MIT */
#include "tools/base/file/mapped_guard.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

static uintptr_t page_bytes;

static void fault_handle(int number, siginfo_t *info, void *context)
{
    void *page = (void *)((uintptr_t)info->si_addr & ~(page_bytes - 1));

    if (info->si_code != BUS_ADRERR ||
        mmap(page, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
             0) == MAP_FAILED) {
        signal(number, SIG_DFL); /* the next one ends the process */
        raise(number);           /* one that was sent does not come again by itself */
    }
}

void mapped_guard_begin(void)
{
    struct sigaction action = {.sa_sigaction = fault_handle, .sa_flags = SA_SIGINFO}, before;

    if (sigaction(SIGBUS, NULL, &before) < 0 || before.sa_flags & SA_SIGINFO ||
        before.sa_handler != SIG_DFL)
        return;
    page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    sigaction(SIGBUS, &action, NULL);
}
