/* SPDX-License-Identifier: MIT */
/*
 * Handles access to missing memory: a unit of work that touches it ends, and the context is broken,
 * as on the device. Faults anywhere else go to the earlier signal handlers.
 *
 * Threading: the place to return to is per thread; the handlers are installed once, when the first
 * unit runs.
 */
#include "tests/simgpu/driver/work/work.h"

#include <setjmp.h>
#include <signal.h>

static __thread sigjmp_buf *guard __attribute__((tls_model("initial-exec")));
static struct sigaction before_segv, before_bus;
static pthread_once_t install_once = PTHREAD_ONCE_INIT;

static void on_fault(int signal, siginfo_t *info, void *machine)
{
    const struct sigaction *before = signal == SIGSEGV ? &before_segv : &before_bus;

    if (guard)
        siglongjmp(*guard, 1);
    if (before->sa_flags & SA_SIGINFO && before->sa_sigaction) {
        before->sa_sigaction(signal, info, machine);
        return;
    }
    if (!(before->sa_flags & SA_SIGINFO) && before->sa_handler != SIG_DFL &&
        before->sa_handler != SIG_IGN) {
        before->sa_handler(signal);
        return;
    }
    sigaction(signal, before, NULL); /* the access is repeated and has its usual end */
}

static void install(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &before_segv);
    sigaction(SIGBUS, &action, &before_bus);
}

bool guarded_run(void (*function)(void *), void *argument)
{
    sigjmp_buf here;

    pthread_once(&install_once, install);
    if (sigsetjmp(here, 1)) {
        guard = NULL;
        return false;
    }
    guard = &here;
    function(argument);
    guard = NULL;
    return true;
}
