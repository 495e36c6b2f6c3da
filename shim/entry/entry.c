/* SPDX-License-Identifier: MIT */
/*
 * The instructions of the entry points, and the targets of the versioned ones.
 *
 * Each entry point takes ENTRY_BYTES. The block of a hook begins with the entry points of the
 * versions, which are exported; those of the libraries follow. The first symbol covers the whole
 * block, so dladdr names every entry point. A call arrives with its arguments in registers and on
 * the stack, and must reach its function with all of them and the return address untouched.
 *
 * A target that depends on the global scope alone is written once: the loader would have bound it
 * once, too. Any other target depends on the caller's module and is remembered with the caller.
 *
 * Where there is only one definition, no scope is searched, because that would wait while a library
 * is being loaded, and a constructor of that library may be waiting for this call. What may not be
 * remembered for good is remembered until a library is loaded or unloaded.
 */
#include "shim/entry/entry.h"

#include <errno.h>
#include <stdatomic.h>

#include "shim/resolve/caller.h"
#include "shim/resolve/modules.h"
#include "shim/resolve/next.h"
#include "shim/resolve/real.h"
#include "shim/shim.h"

#define HOOK(action, family, name, since, params, args)                                            \
    extern const char entry_block_##name[] __attribute__((visibility("hidden")));
#include "shim/resolve/hooks.def"

const struct entry_address entry_addresses[HOOK_COUNT] = {
#define HOOK(action, family, name, since, params, args)                                            \
    [HOOK_##name] = {(void *)name, (void *)entry_block_##name},
#include "shim/resolve/hooks.def"
};

#define TARGETS (HOOK_COUNT * ENTRY_VERSIONS)

extern _Atomic(void *) entry_targets[TARGETS] __attribute__((visibility("hidden")));
_Atomic(void *) entry_targets[TARGETS]; /* NULL: not found out, or not once for all callers */

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

#if defined(__x86_64__)
#define FUNCTION "@function"
#define PROGBITS "@progbits"
#define VERSION_CODE(version)                                                                      \
    "    endbr64\n"                                                                                \
    "    movl $%c[id]*" TEXT(ENTRY_VERSIONS) "+" #version ", %%r10d\n"                             \
                                             "    movq entry_targets+8*(%c[id]*" TEXT(             \
                                                 ENTRY_VERSIONS) "+" #version ")(%%rip), %%r11\n"  \
                                                                 "    testq %%r11, %%r11\n"        \
                                                                 "    jz entry_slow\n"             \
                                                                 "    jmp *%%r11\n"
#define LIBRARY_CODE(name)                                                                         \
    "    endbr64\n"                                                                                \
    "    movq real_library@gottpoff(%%rip), %%r11\n"                                               \
    "    movl $entry_number, %%fs:(%%r11)\n"                                                       \
    "    jmp hook_" #name "\n"
#define DRIVER_CODE(name)                                                                          \
    "    endbr64\n"                                                                                \
    "    jmp hook_" #name "\n"

/* The stack is aligned to the 16 bytes of a call. */
__asm__(".text\n"
        ".type entry_slow, @function\n"
        "entry_slow:\n"
        "    .cfi_startproc\n"
        "    pushq %rdi\n"
        "    pushq %rsi\n"
        "    pushq %rdx\n"
        "    pushq %rcx\n"
        "    pushq %r8\n"
        "    pushq %r9\n"
        "    subq $8, %rsp\n"
        "    .cfi_adjust_cfa_offset 56\n"
        "    movl %r10d, %edi\n"
        "    movq 56(%rsp), %rsi\n" /* the return address */
        "    call entry_route\n"
        "    movq %rax, %r11\n"
        "    addq $8, %rsp\n"
        "    popq %r9\n"
        "    popq %r8\n"
        "    popq %rcx\n"
        "    popq %rdx\n"
        "    popq %rsi\n"
        "    popq %rdi\n"
        "    .cfi_adjust_cfa_offset -56\n"
        "    jmp *%r11\n"
        "    .cfi_endproc\n"
        ".size entry_slow, . - entry_slow\n");
#elif defined(__aarch64__)
#define FUNCTION "%%function"
#define PROGBITS "%%progbits"
#define VERSION_CODE(version)                                                                      \
    "    hint #34\n" /* bti c */                                                                   \
    "    mov w9, #%c[id]*" TEXT(                                                                   \
        ENTRY_VERSIONS) "+" #version "\n"                                                          \
                        "    adrp x16, entry_targets+8*(%c[id]*" TEXT(                             \
                            ENTRY_VERSIONS) "+" #version ")\n"                                     \
                                            "    ldr x16, [x16, "                                  \
                                            ":lo12:entry_targets+8*(%c[id]*" TEXT(                 \
                                                ENTRY_VERSIONS) "+" #version ")]\n"                \
                                                                "    cbz x16, 8f\n"                \
                                                                "    br x16\n"                     \
                                                                "8:  b entry_slow\n"
#define LIBRARY_CODE(name)                                                                         \
    "    hint #34\n"                                                                               \
    "    mrs x16, tpidr_el0\n"                                                                     \
    "    adrp x17, :gottprel:real_library\n"                                                       \
    "    ldr x17, [x17, :gottprel_lo12:real_library]\n"                                            \
    "    add x16, x16, x17\n"                                                                      \
    "    mov w17, #entry_number\n"                                                                 \
    "    str w17, [x16]\n"                                                                         \
    "    b hook_" #name "\n"
#define DRIVER_CODE(name)                                                                          \
    "    hint #34\n"                                                                               \
    "    b hook_" #name "\n"

__asm__(".text\n"
        ".type entry_slow, %function\n"
        "entry_slow:\n"
        "    .cfi_startproc\n"
        "    stp x29, x30, [sp, #-96]!\n"
        "    .cfi_def_cfa_offset 96\n"
        "    .cfi_offset x29, -96\n"
        "    .cfi_offset x30, -88\n"
        "    mov x29, sp\n"
        "    stp x0, x1, [sp, #16]\n"
        "    stp x2, x3, [sp, #32]\n"
        "    stp x4, x5, [sp, #48]\n"
        "    stp x6, x7, [sp, #64]\n"
        "    str x8, [sp, #80]\n"
        "    mov w0, w9\n"
        "    mov x1, x30\n"
        "    bl entry_route\n"
        "    mov x16, x0\n"
        "    ldp x0, x1, [sp, #16]\n"
        "    ldp x2, x3, [sp, #32]\n"
        "    ldp x4, x5, [sp, #48]\n"
        "    ldp x6, x7, [sp, #64]\n"
        "    ldr x8, [sp, #80]\n"
        "    ldp x29, x30, [sp], #96\n"
        "    br x16\n"
        "    .cfi_endproc\n"
        ".size entry_slow, . - entry_slow\n");
#else
#error "the entry points are written for x86-64 and aarch64"
#endif

#define BEGIN(name)                                                                                \
    ".pushsection .text.entry, \"ax\", " PROGBITS "\n" /* apart from the function it stands in */  \
    ".p2align 5\n"                                                                                 \
    ".globl entry_block_" #name "\n"                                                               \
    ".hidden entry_block_" #name "\n"                                                              \
    "entry_block_" #name ":\n"                                                                     \
    "    .cfi_startproc\n"
#define END                                                                                        \
    "    .cfi_endproc\n"                                                                           \
    ".popsection\n"

#define EXPORT(symbol, bytes, code)                                                                \
    ".p2align 5\n"                                                                                 \
    ".globl " symbol "\n"                                                                          \
    ".type " symbol ", " FUNCTION "\n" symbol ":\n" code ".size " symbol ", " bytes "\n"

#define BLOCK_BYTES "32*(" TEXT(ENTRY_VERSIONS) "+" TEXT(ENTRY_LIBRARIES) ")"

#define EXPORT_VERSION(name, version, node)                                                        \
    EXPORT("entry_" #name "_" #version, "32", VERSION_CODE(version))                               \
    ".symver entry_" #name "_" #version ", " #name "@" #node "\n"

#define EMIT_RUNTIME(name)                                                                         \
    __asm__ volatile(                                                                              \
        BEGIN(name) EXPORT(                                                                        \
            "entry_" #name "_0", BLOCK_BYTES,                                                      \
            VERSION_CODE(                                                                          \
                0)) ".symver entry_" #name "_0, " #name                                            \
                    "@@cupool\n" RUNTIME_VERSIONS(                                                 \
                        EXPORT_VERSION,                                                            \
                        name) ".set entry_number, 0\n"                                             \
                              ".rept " TEXT(                                                       \
                                  ENTRY_LIBRARIES) "\n"                                            \
                                                   ".p2align 5\n" LIBRARY_CODE(                    \
                                                       name) ".set entry_number, entry_number+1\n" \
                                                             ".endr\n"                             \
                                                             ".p2align 5\n" END                    \
        :                                                                                          \
        : [id] "i"(HOOK_##name))
#define EMIT_DRIVER(name)                                                                          \
    __asm__ volatile(BEGIN(name) EXPORT(#name, "64", VERSION_CODE(0)) ".p2align 5\n" DRIVER_CODE(  \
                         name) ".p2align 5\n" END                                                  \
                     :                                                                             \
                     : [id] "i"(HOOK_##name))

/* Never called: it exists because only statements in a function can name the ids. */
__attribute__((used)) static void emit(void)
{
#define HOOK(action, family, name, since, params, args) EMIT_##family(name);
#include "shim/resolve/hooks.def"
}

/* Returns our entry point for exactly this function, or the function itself. */
static void *destination_of(const struct hook *hook, void *function)
{
    if (mode_now() == SHIM_OFF)
        return function;
    if (hook->family == HOOK_FAMILY_DRIVER)
        return real_is_driver_function(hook, function) ? entry_of(hook, 0) : function;
    int library = real_runtime_of(hook, function);
    return library >= 0 ? entry_of(hook, (unsigned)library) : function;
}

/* A runtime and the driver stay loaded anyway, once they are known. With mode:off nothing is kept
 * loaded, hence only what the program is linked with is remembered. */
static void *keep(const struct hook *hook, void *function)
{
    void *destination = destination_of(hook, function);

    if (destination == function && mode_now() != SHIM_OFF)
        next_keep(function);
    return destination;
}

static void *remember(uint32_t target, void *destination)
{
    atomic_store_explicit(&entry_targets[target], destination, memory_order_release);
    return destination;
}

static void *remember_for(struct caller *caller, uint32_t target, void *destination)
{
    caller_route_set(caller, target + 1, destination);
    return destination;
}

/* Where the only definition leads; valid in one state of the list of modules. */
static struct {
    _Atomic uint64_t state; /* 0: is being written, or nothing is known */
    _Atomic(void *) destination;
} known_now[TARGETS];

static void *known_in(uint32_t target, uint64_t state)
{
    void *destination = state && atomic_load(&known_now[target].state) == state
                            ? atomic_load(&known_now[target].destination)
                            : NULL;

    return destination && atomic_load(&known_now[target].state) == state ? destination : NULL;
}

/* One thread at a time writes; the others find out again. */
static void remember_now(uint32_t target, uint64_t state, void *destination)
{
    static atomic_flag busy = ATOMIC_FLAG_INIT;

    if (atomic_flag_test_and_set(&busy))
        return;
    atomic_store(&known_now[target].state, 0);
    atomic_store(&known_now[target].destination, destination);
    atomic_store(&known_now[target].state, state);
    atomic_flag_clear(&busy);
}

static void *route_find(const struct hook *hook, uint32_t target, struct caller *caller,
                        const void *code, uint64_t state);

/* No library has this version: a program that reads our symbol table by itself took the first
 * symbol of the name, and means the function as such. A library of the version may still be loaded.
 */
static void *route_without_version(const struct hook *hook, uint32_t target, struct caller *caller,
                                   const void *code, uint64_t state)
{
    void *destination = route_find(hook, target - target % ENTRY_VERSIONS, caller, code, state);

    atomic_store_explicit(&caller->passes, true, memory_order_relaxed);
    if (destination)
        remember_now(target, state, destination);
    return destination;
}

/* A target of a module's own scope depends on the caller, and is remembered nowhere else. Another
 * module may have jumped here from a call site elsewhere, so that one decides nothing. */
static void *route_find(const struct hook *hook, uint32_t target, struct caller *caller,
                        const void *code, uint64_t state)
{
    unsigned version = target % ENTRY_VERSIONS;
    void *only = next_only(hook, version), *function = only;

    if (function && module_is_linked(function))
        return remember(target, keep(hook, function));
    bool is_direct = module_imports(code, hook->name);
    if (!function && (function = next_in_global_scope(hook, version)) && mode_now() != SHIM_OFF)
        return remember(target, keep(hook, function));
    if (!function)
        function = is_direct ? next_for_module(hook, version, code)
                             : next_for_importers(hook, version);
    if (!function)
        function = next_anywhere(hook, version);
    if (!function)
        return version ? route_without_version(hook, target, caller, code, state) : NULL;
    void *destination = keep(hook, function);
    if (is_direct && mode_now() != SHIM_OFF)
        return remember_for(caller, target, destination);
    atomic_store_explicit(&caller->passes, true, memory_order_relaxed);
    if (only)
        remember_now(target, state, destination);
    return destination;
}

static void *route(const struct hook *hook, uint32_t target, struct caller *caller,
                   const void *code)
{
    void *known = caller_route(caller, target + 1);

    if (known)
        return known;
    uint64_t state = module_list_state(); /* before the search: a change meanwhile shows later */
    if (atomic_load_explicit(&caller->passes, memory_order_relaxed))
        known = known_in(target, state);
    return known ? known : route_find(hook, target, caller, code, state);
}

void *entry_route(uint32_t target, const void *return_address)
{
    const struct hook *hook = &hooks[target / ENTRY_VERSIONS];
    int saved_errno = errno;

    (void)shim_mode(); /* starts the library: a caller's properties depend on options */
    void *destination = route(hook, target, caller_get(return_address), return_address);
    if (!destination) { /* the hook says that there is no such function */
        real_library = REAL_LIBRARIES;
        destination = entry_addresses[hook - hooks].function;
    }
    errno = saved_errno;
    return destination;
}
