/* SPDX-License-Identifier: MIT */
/*
 * Records NVTX ranges and marks as phases. Each program and library has its own copy of NVTX, which
 * loads a tool at its first call: the library that NVTX_INJECTION64_PATH names, and no other.
 * `cupool run` names this library when the variable is not set; a profiler that has set it keeps
 * NVTX to itself. Without NVTX nothing here is called.
 *
 * Names of ranges in a named domain have the domain in front: "cuBLAS: gemm".
 *
 * Threading: any thread. Each thread has a stack of pushed ranges. Started ranges have ids; the
 * last 4,096 are remembered.
 */
#define NVTX_NO_IMPL
#include <nvtx3/nvToolsExt.h>

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/safe_text.h"
#include "shim/hooks/phase_api.h"
#include "shim/observe/phases.h"
#include "shim/observe/record.h"
#include "shim/shim.h"

/** The symbol that NVTX looks up in a tool. 1: attached; 0: NVTX disables its functions. */
__attribute__((visibility("default"))) int InitializeInjectionNvtx2(
    NvtxGetExportTableFunc_t get_table);

#define STACK_DEPTH 64
#define STARTED     4096
#define DOMAINS     64
#define STRINGS     1024
#define PART_BYTES  120

/* Target of NVTX's handles of domains and registered strings. */
struct text {
    char text[PART_BYTES];
};

/* Ranges pushed on a thread, across all domains; deeper ones are only counted. Small, because
 * thread state lies on the thread's stack. */
struct stack {
    uint32_t depth;
    uint32_t name[STACK_DEPTH];
    uint8_t domain[STACK_DEPTH]; /* its place + 1; 0: the one without a name */
};

static_assert(DOMAINS < UINT8_MAX, "a domain's place fits a byte");

static struct text domains[DOMAINS], strings[STRINGS];
static atomic_uint domain_count, string_count;
static atomic_uint started[STARTED];
static _Atomic uint64_t started_count;
static _Thread_local struct stack stack;

static void narrow(char *text, size_t text_bytes, const wchar_t *wide)
{
    size_t used = 0;

    for (; wide && *wide && used + 1 < text_bytes; wide++)
        text[used++] = *wide > 0 && *wide < 128 ? (char)*wide : '?';
    text[used] = 0;
}

static void copy(char *text, size_t text_bytes, const char *from)
{
    size_t length = from ? safe_text_cut(from, text_bytes - 1) : 0;

    if (length)
        memcpy(text, from, length);
    text[length] = 0;
}

/* Stores a string; NULL when all places are taken, which NVTX treats as no handle. */
static struct text *text_keep(struct text *texts, atomic_uint *count, unsigned room)
{
    unsigned place = atomic_load(count);

    do
        if (place >= room)
            return NULL;
    while (!atomic_compare_exchange_weak(count, &place, place + 1));
    return &texts[place];
}

/* The text id of a range's name. */
static uint32_t name_of(struct trace_writer *writer, const void *domain, const char *message)
{
    char name[PHASE_NAME_BYTES];
    const struct text *of = domain;

    if (!of || !of->text[0])
        return phases_name(writer, message);
    snprintf(name, sizeof(name), "%s: %s", of->text, message);
    safe_text_end(name, sizeof(name));
    return phases_name(writer, name);
}

static uint32_t name_of_event(struct trace_writer *writer, const void *domain,
                              const nvtxEventAttributes_t *event)
{
    char wide[PART_BYTES];

    if (!event || !event->message.ascii)
        return name_of(writer, domain, "unnamed");
    switch (event->messageType) {
    case NVTX_MESSAGE_TYPE_ASCII: return name_of(writer, domain, event->message.ascii);
    case NVTX_MESSAGE_TYPE_UNICODE:
        narrow(wide, sizeof(wide), event->message.unicode);
        return name_of(writer, domain, wide);
    case NVTX_MESSAGE_TYPE_REGISTERED:
        return name_of(writer, domain, ((const struct text *)event->message.registered)->text);
    default: return name_of(writer, domain, "unnamed");
    }
}

static uint8_t domain_number(const void *domain)
{
    return domain ? (uint8_t)((const struct text *)domain - domains + 1) : 0;
}

static int push(struct trace_writer *writer, const void *domain, uint32_t name)
{
    phases_emit(writer, TRACE_PHASE_BEGIN, TRACE_PHASE_SOURCE_NVTX, name, 0);
    if (stack.depth < STACK_DEPTH) {
        stack.domain[stack.depth] = domain_number(domain);
        stack.name[stack.depth] = name;
    }
    return (int)stack.depth++;
}

/* Ends the innermost range of the domain; ranges of other domains above it stay. */
static int pop(struct trace_writer *writer, const void *domain)
{
    if (stack.depth > STACK_DEPTH)
        return (int)--stack.depth;
    for (uint32_t i = stack.depth; i-- > 0;) {
        if (stack.domain[i] != domain_number(domain))
            continue;
        phases_emit(writer, TRACE_PHASE_END, TRACE_PHASE_SOURCE_NVTX, stack.name[i], 0);
        memmove(&stack.name[i], &stack.name[i + 1], (stack.depth - i - 1) * sizeof(stack.name[0]));
        memmove(&stack.domain[i], &stack.domain[i + 1], stack.depth - i - 1);
        return (int)--stack.depth;
    }
    return NVTX_NO_PUSH_POP_TRACKING;
}

static nvtxRangeId_t start(struct trace_writer *writer, uint32_t name)
{
    uint64_t id = atomic_fetch_add(&started_count, 1) + 1;

    phases_emit(writer, TRACE_PHASE_BEGIN, TRACE_PHASE_SOURCE_NVTX, name, 0);
    atomic_store(&started[id % STARTED], name);
    return id;
}

static void end(struct trace_writer *writer, nvtxRangeId_t id)
{
    uint64_t last = atomic_load(&started_count);

    if (id == 0 || id > last || last - id >= STARTED)
        return;
    phases_emit(writer, TRACE_PHASE_END, TRACE_PHASE_SOURCE_NVTX,
                atomic_exchange(&started[id % STARTED], 0), 0);
}

/* What each of NVTX's functions is: its body, with the trace in `writer`. */
#define ENTRY(type, name, params, missing, body)                                                   \
    static type name params                                                                        \
    {                                                                                              \
        int saved_errno = errno;                                                                   \
        struct trace_writer *writer = phases_writer();                                             \
        type result = missing;                                                                     \
        if (writer)                                                                                \
            result = body;                                                                         \
        errno = saved_errno;                                                                       \
        return result;                                                                             \
    }
#define ENTRY_VOID(name, params, body)                                                             \
    static void name params                                                                        \
    {                                                                                              \
        int saved_errno = errno;                                                                   \
        struct trace_writer *writer = phases_writer();                                             \
        if (writer)                                                                                \
            body;                                                                                  \
        errno = saved_errno;                                                                       \
    }
#define MARK(name) phases_emit(writer, TRACE_PHASE_MARK, TRACE_PHASE_SOURCE_NVTX, name, 0)

static uint32_t name_of_wide(struct trace_writer *writer, const wchar_t *message)
{
    char text[PART_BYTES];

    narrow(text, sizeof(text), message);
    return phases_name(writer, text);
}

static uint32_t name_of_plain(struct trace_writer *writer, const char *message)
{
    return phases_name(writer, message ? message : "unnamed");
}

/* clang-format off */
ENTRY_VOID(mark_event, (const nvtxEventAttributes_t *event), MARK(name_of_event(writer, NULL, event)))
ENTRY_VOID(mark_plain, (const char *message), MARK(name_of_plain(writer, message)))
ENTRY_VOID(mark_wide, (const wchar_t *message), MARK(name_of_wide(writer, message)))
ENTRY(nvtxRangeId_t, start_event, (const nvtxEventAttributes_t *event), 0, start(writer, name_of_event(writer, NULL, event)))
ENTRY(nvtxRangeId_t, start_plain, (const char *message), 0, start(writer, name_of_plain(writer, message)))
ENTRY(nvtxRangeId_t, start_wide, (const wchar_t *message), 0, start(writer, name_of_wide(writer, message)))
ENTRY_VOID(range_end, (nvtxRangeId_t id), end(writer, id))
ENTRY(int, push_event, (const nvtxEventAttributes_t *event), NVTX_NO_PUSH_POP_TRACKING, push(writer, NULL, name_of_event(writer, NULL, event)))
ENTRY(int, push_plain, (const char *message), NVTX_NO_PUSH_POP_TRACKING, push(writer, NULL, name_of_plain(writer, message)))
ENTRY(int, push_wide, (const wchar_t *message), NVTX_NO_PUSH_POP_TRACKING, push(writer, NULL, name_of_wide(writer, message)))
ENTRY(int, range_pop, (void), NVTX_NO_PUSH_POP_TRACKING, pop(writer, NULL))
ENTRY_VOID(domain_mark, (nvtxDomainHandle_t domain, const nvtxEventAttributes_t *event), MARK(name_of_event(writer, domain, event)))
ENTRY(nvtxRangeId_t, domain_start, (nvtxDomainHandle_t domain, const nvtxEventAttributes_t *event), 0, start(writer, name_of_event(writer, domain, event)))
ENTRY_VOID(domain_end, (nvtxDomainHandle_t domain, nvtxRangeId_t id), end(writer, id))
ENTRY(int, domain_push, (nvtxDomainHandle_t domain, const nvtxEventAttributes_t *event), NVTX_NO_PUSH_POP_TRACKING, push(writer, domain, name_of_event(writer, domain, event)))
ENTRY(int, domain_pop, (nvtxDomainHandle_t domain), NVTX_NO_PUSH_POP_TRACKING, pop(writer, domain))
/* clang-format on */

static nvtxDomainHandle_t domain_create(const char *name)
{
    struct text *domain = text_keep(domains, &domain_count, DOMAINS);

    if (domain)
        copy(domain->text, sizeof(domain->text), name);
    return (nvtxDomainHandle_t)domain;
}

static nvtxDomainHandle_t domain_create_wide(const wchar_t *name)
{
    struct text *domain = text_keep(domains, &domain_count, DOMAINS);

    if (domain)
        narrow(domain->text, sizeof(domain->text), name);
    return (nvtxDomainHandle_t)domain;
}

static nvtxStringHandle_t string_register(nvtxDomainHandle_t domain, const char *text)
{
    struct text *string = text_keep(strings, &string_count, STRINGS);

    if (string)
        copy(string->text, sizeof(string->text), text);
    return (nvtxStringHandle_t)string;
}

static nvtxStringHandle_t string_register_wide(nvtxDomainHandle_t domain, const wchar_t *text)
{
    struct text *string = text_keep(strings, &string_count, STRINGS);

    if (string)
        narrow(string->text, sizeof(string->text), text);
    return (nvtxStringHandle_t)string;
}

struct entry {
    unsigned id;
    NvtxFunctionPointer function;
};

#define CORE(name, function)                                                                       \
    {                                                                                              \
        NVTX_CBID_CORE_##name, (NvtxFunctionPointer)(function)                                     \
    }
#define CORE2(name, function)                                                                      \
    {                                                                                              \
        NVTX_CBID_CORE2_##name, (NvtxFunctionPointer)(function)                                    \
    }

static const struct entry core[] = {
    CORE(MarkEx, mark_event),        CORE(MarkA, mark_plain),        CORE(MarkW, mark_wide),
    CORE(RangeStartEx, start_event), CORE(RangeStartA, start_plain), CORE(RangeStartW, start_wide),
    CORE(RangeEnd, range_end),       CORE(RangePushEx, push_event),  CORE(RangePushA, push_plain),
    CORE(RangePushW, push_wide),     CORE(RangePop, range_pop),      {0},
};

static const struct entry core2[] = {
    CORE2(DomainMarkEx, domain_mark),
    CORE2(DomainRangeStartEx, domain_start),
    CORE2(DomainRangeEnd, domain_end),
    CORE2(DomainRangePushEx, domain_push),
    CORE2(DomainRangePop, domain_pop),
    CORE2(DomainRegisterStringA, string_register),
    CORE2(DomainRegisterStringW, string_register_wide),
    CORE2(DomainCreateA, domain_create),
    CORE2(DomainCreateW, domain_create_wide),
    {0},
};

static void attach(const NvtxExportTableCallbacks *callbacks, NvtxCallbackModule module,
                   const struct entry *entries)
{
    NvtxFunctionTable table = NULL;
    unsigned count = 0;

    if (!callbacks->GetModuleFunctionTable(module, &table, &count) || !table)
        return;
    for (; entries->function; entries++)
        if (entries->id < count && table[entries->id])
            *table[entries->id] = entries->function;
}

int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get_table)
{
    int saved_errno = errno;
    const NvtxExportTableCallbacks *callbacks = get_table ? get_table(NVTX_ETID_CALLBACKS) : NULL;
    bool wanted = callbacks && phases_writer() && shim_options()->nvtx == OPTION_NVTX_AUTO;

    if (wanted) {
        attach(callbacks, NVTX_CB_MODULE_CORE, core);
        attach(callbacks, NVTX_CB_MODULE_CORE2, core2);
    }
    errno = saved_errno;
    return wanted;
}
