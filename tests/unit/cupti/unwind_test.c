/* SPDX-License-Identifier: MIT */
/*
 * The walk over a stack, compared with the C library's own, in functions of every kind: with
 * and without a frame pointer, with alloca, with an aligned frame, behind a signal handler; and
 * where it has to end: code in no module, and words that cannot be read, on stacks of every kind.
 */
#include <alloca.h>
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "cupti/stack/module_symbol.h"
#include "cupti/stack/stack_bounds.h"
#include "cupti/stack/unwind.h"
#include "tests/compiled_with.h"
#include "tests/random.h"

#define FRAMES 64

struct walk {
    uintptr_t code[FRAMES];
    unsigned count;
    void *expected[FRAMES + 8];
    int expecteds;
    bool called;
};

static struct walk last;
static bool alone; /* the library's walk cannot take what this one is given */

/** Walks from its caller's return address on. */
__attribute__((noinline)) static void take(void)
{
    struct unwind unwind = {
        .first = (uintptr_t)__builtin_return_address(0), .most = FRAMES, .ret_code = last.code};

    unwind_walk(&unwind);
    last.count = unwind.count;
    last.expecteds = alone ? 0 : backtrace(last.expected, FRAMES + 8);
    last.called = true;
}

/** The library's walk begins in take(); ours at its caller. */
static void expect_as_library(const char *what)
{
    int first = 0;

    cr_assert(last.called);
    while (first < last.expecteds && last.count &&
           (uintptr_t)last.expected[first] != last.code[0] + 1)
        first++;
    cr_assert(first < last.expecteds, "%s: the caller is not among the library's frames", what);
    for (int i = first; i < last.expecteds; i++) {
        cr_assert((unsigned)(i - first) < last.count, "%s: %u frames, the library has %d", what,
                  last.count, last.expecteds - first);
        cr_expect(last.code[i - first] + 1 == (uintptr_t)last.expected[i] ||
                      last.code[i - first] == (uintptr_t)last.expected[i],
                  "%s: frame %d: %#lx, not %p", what, i - first, last.code[i - first] + 1,
                  last.expected[i]);
    }
}

COMPILED_WITH("O2", "omit-frame-pointer") static int recurse(int depth)
{
    volatile char room[48] = {(char)depth};

    if (depth)
        recurse(depth - 1);
    else
        take();
    return room[0];
}

COMPILED_WITH("O2", "omit-frame-pointer") static int with_alloca(size_t bytes)
{
    volatile char *room = alloca(bytes);

    room[0] = 1;
    recurse(3);
    return room[0];
}

COMPILED_WITH("O2") static int with_alignment(int value)
{
    _Alignas(64) volatile char room[128] = {(char)value};

    with_alloca((size_t)value);
    return room[0];
}

COMPILED_WITH("no-omit-frame-pointer") static int with_pointer(int value)
{
    volatile int kept = value;

    with_alignment(value);
    return kept;
}

Test(unwind, every_kind_of_function)
{
    for (int i = 0; i < 3; i++) { /* with the rules unknown, and known */
        with_pointer(100 + i);
        expect_as_library("nested");
    }
    cr_expect(last.count > 7);
}

Test(unwind, symbols_are_found_as_the_loader_does)
{
    static const char *const names[] = {"getpid", "qsort", "pthread_create"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_expect(module_symbol_find(names[i]) == dlsym(RTLD_DEFAULT, names[i]), "%s", names[i]);
    cr_expect(!module_symbol_find("no_function_has_this_name"));
    cr_expect(!module_symbol_find(""));
}

/** A small library with one function that calls back, at the same place in both variants. */
static void *library_make(const char *path, unsigned room)
{
    char command[512];

    snprintf(command, sizeof command,
             "printf 'void enter(void (*f)(void))"
             "{volatile char room[%u]={1};f();room[0]++;}' |"
             "${CC:-cc} -O2 -fomit-frame-pointer -fno-stack-protector -shared -fPIC -x c -o %s -",
             room, path);
    cr_assert(system(command) == 0);
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

Test(unwind, rules_of_an_unloaded_library_are_forgotten)
{
    char path[] = "/tmp/cupool-unwind-XXXXXX";
    void *before = NULL;
    bool moved = false;

    cr_assert(mkdtemp(path));
    for (int i = 0; i < 6; i++) {
        void *library, (*enter)(void (*)(void));
        char file[64];

        snprintf(file, sizeof file, "%s/l.so", path);
        library = library_make(file, i % 2 ? 400 : 800);
        cr_assert(library, "%s", dlerror());
        *(void **)&enter = dlsym(library, "enter");
        moved |= before && before != (void *)enter;
        before = (void *)enter;
        unwind_refresh();
        enter(take);
        expect_as_library("loaded anew");
        dlclose(library);
        unlink(file);
    }
    rmdir(path);
    cr_expect(!moved, "at another address than before this proves nothing");
    cr_expect(unwind_refresh(), "the last one was unloaded");
    cr_expect(!unwind_refresh());
}

Test(unwind, at_most)
{
    uintptr_t code[4] = {0, 0, 0, 7};
    struct unwind unwind = {.most = 3, .ret_code = code};

    unwind.first = 12345;
    unwind_walk(&unwind);
    cr_expect(unwind.count == 0, "what is not on the stack is not found");
    recurse(10);
    cr_assert(last.count > 10);
    cr_expect(code[3] == 7);
}

static void handler(int number)
{
    take();
}

__attribute__((noinline)) static int interrupted(void)
{
    volatile int kept = 1;

    raise(SIGUSR1);
    return kept;
}

Test(unwind, through_a_signal_handler)
{
    struct sigaction action = {.sa_handler = handler};

    sigaction(SIGUSR1, &action, NULL);
    interrupted();
    expect_as_library("signal");
    cr_expect(last.count > 4);
}

static ucontext_t here, there;

/** Runs a function on a stack of its own. */
static void run_on(void *stack, size_t bytes, void (*function)(void))
{
    getcontext(&there);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = bytes;
    there.uc_link = &here;
    makecontext(&there, function, 0);
    last.called = false;
    swapcontext(&here, &there);
    cr_expect(last.called);
}

static bool is_known;

static void take_deeper(void)
{
    volatile int kept = 1;

    with_alloca(64);
    is_known = stack_bounds_end((uintptr_t)__builtin_frame_address(0)) != 0;
    (void)kept;
}

/* A stack that may end anywhere is walked to its end, and is not taken for the thread's. */
Test(unwind, another_stack)
{
    static char other[65536];

    alone = true;
    run_on(other, sizeof other, take_deeper);
    cr_expect(last.count > 5, "%u", last.count);
    cr_expect(!is_known);
    with_alloca(64);
    cr_expect(last.count > 5, "%u", last.count);
    cr_expect(stack_bounds_end((uintptr_t)__builtin_frame_address(0)) != 0);
}

static void *thread_run(void *argument)
{
    with_pointer(90);
    is_known = stack_bounds_end((uintptr_t)__builtin_frame_address(0)) != 0;
    return NULL;
}

Test(unwind, in_a_thread)
{
    pthread_t thread;

    pthread_create(&thread, NULL, thread_run, NULL);
    pthread_join(thread, NULL);
    expect_as_library("thread");
    cr_expect(is_known, "no system call is needed on a thread's own stack");
}

#if defined(__x86_64__)

Test(unwind, code_of_no_module_ends_it)
{
    /* push rbp; mov rbp, 0x1111; call *rdi; pop rbp; ret */
    static const unsigned char made[] = {0x55, 0x48, 0xc7, 0xc5, 0x11, 0x11,
                                         0x00, 0x00, 0xff, 0xd7, 0x5d, 0xc3};
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                      -1, 0);
    void (*made_call)(void (*)(void)) = (void (*)(void (*)(void)))page;

    alone = true;
    cr_assert(page != MAP_FAILED);
    memcpy(page, made, sizeof made);
    made_call((void (*)(void))take);
    cr_expect(last.count == 1, "the caller alone: %u", last.count);
    cr_expect(last.code[0] == (uintptr_t)page + 9);
}

/** A frame pointer and return addresses that lead everywhere but home. */
__attribute__((noinline)) static void take_with_garbage(uintptr_t garbage)
{
    volatile uintptr_t *frame = __builtin_frame_address(0);
    uintptr_t kept[2] = {frame[0], frame[1]};

    frame[0] = garbage;
    frame[1] = garbage * 3;
    take();
    frame[0] = kept[0];
    frame[1] = kept[1];
}

Test(unwind, a_destroyed_stack_ends_it)
{
    uintptr_t seed = 88172645463325252;

    alone = true;
    for (int i = 0; i < 2000; i++) {
        seed = random_xorshift(seed);
        last.called = false;
        take_with_garbage(i % 2 ? seed : (uintptr_t)__builtin_frame_address(0) + seed % 512);
        cr_assert(last.called && last.count <= FRAMES);
    }
}

/** Walks with an address in the frame pointer, below a function that has no description. */
void take_from_nowhere(void *frame_pointer);
__asm__(".text\n.globl take_from_nowhere\n.type take_from_nowhere,@function\n"
        "take_from_nowhere:\n pushq %rbp\n movq %rdi, %rbp\n call take_for_assembly\n"
        " popq %rbp\n ret\n.size take_from_nowhere, . - take_from_nowhere\n");
void take_for_assembly(void);

void take_for_assembly(void)
{
    take();
}

/** Runs a function with the stack pointer given, as the outermost frame there. */
void run_at(void *stack_pointer, void (*function)(void));
__asm__(".text\n.globl run_at\n.type run_at,@function\n"
        "run_at:\n .cfi_startproc\n .cfi_undefined rip\n pushq %rbx\n movq %rsp, %rbx\n"
        " movq %rdi, %rsp\n call *%rsi\n movq %rbx, %rsp\n popq %rbx\n ret\n"
        " .cfi_endproc\n.size run_at, . - run_at\n");

static void *bad_pointer;

static void take_misled(void)
{
    take_from_nowhere(bad_pointer);
}

#define ARENA_BYTES (1 << 20)
#define STACK_BYTES (64 << 10)

/** In an arena with the thread's own stack in its upper part; pages become unreadable meanwhile. */
static void *arena_run(void *argument)
{
    char *arena = argument;

    take_misled(); /* both are known to be readable now */
    for (int i = 0; i < 4; i++) {
        char *stack = arena + i * STACK_BYTES, *guard = stack + STACK_BYTES - 4096;

        bad_pointer = guard + 64;
        run_on(stack, STACK_BYTES - 4096, take_misled);
        run_on(stack, STACK_BYTES - 4096, take_deeper);
        cr_expect(!is_known);
        run_at(guard, take_deeper);
        cr_expect(!is_known);
        mprotect(guard, 4096, PROT_NONE);
        run_on(stack, STACK_BYTES - 4096, take_misled);
        cr_expect(last.count >= 1);
        bad_pointer = guard - 8; /* the return address would be in the guard */
        run_on(stack, STACK_BYTES - 4096, take_misled);
        munmap(guard, 4096);
        run_on(stack, STACK_BYTES - 4096, take_misled);
    }
    return NULL;
}

Test(unwind, stacks_below_a_threads_own)
{
    char *arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                       0);
    pthread_attr_t attributes;
    pthread_t thread;

    alone = true;
    cr_assert(arena != MAP_FAILED);
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, arena + ARENA_BYTES / 2, ARENA_BYTES / 2);
    bad_pointer = arena + 64;
    cr_assert(pthread_create(&thread, &attributes, arena_run, arena) == 0);
    pthread_join(thread, NULL);
}

/** Stacks in a variable of a function, with unreadable pages in its middle. */
Test(unwind, stacks_inside_a_threads_own)
{
    char room[5 * STACK_BYTES], *stack = room + (-(uintptr_t)room & 4095);

    alone = true;
    take_misled();
    bad_pointer = stack + 2 * STACK_BYTES + 128;
    mprotect(stack + 2 * STACK_BYTES, 4096, PROT_NONE);
    run_on(stack, 2 * STACK_BYTES, take_misled);
    take_misled();
    mprotect(stack + 2 * STACK_BYTES, 4096, PROT_READ | PROT_WRITE);
}

/** A stack without a return address; its first frame begins at the end of the mapping. */
Test(unwind, the_end_of_a_mapping)
{
    char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                       0);

    alone = true;
    munmap(stack + STACK_BYTES - 4096, 4096);
    last.called = false;
    run_at(stack + STACK_BYTES - 4096, take);
    cr_expect(last.called);
}

static void on_other_stack(int number)
{
    take_deeper();
}

Test(unwind, a_signal_stack)
{
    static char other[65536];
    stack_t stack = {.ss_sp = other, .ss_size = sizeof other};
    struct sigaction action = {.sa_handler = on_other_stack, .sa_flags = SA_ONSTACK};

    alone = true;
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 3; i++) {
        interrupted();
        cr_expect(last.called && last.count > 4);
        cr_expect(!is_known);
        interrupted();
    }
}

#endif
