/* SPDX-License-Identifier: MIT */
/*
 * A table entry holds its rule and the exclusive or of rule and key, so an entry that two threads
 * write at once matches no key. Keys include the number of times the table was emptied, so older
 * entries are not found.
 */
#include "cupti/stack/unwind.h"

#include <stdatomic.h>
#include <stddef.h>
#include <ucontext.h>

#include "cupti/base/likely.h"
#include "cupti/stack/stack_bounds.h"
#include "cupti/stack/unwind_rules.h"

#define ENTRIES        8192 /* power of two */
#define WAYS           4    /* entries an address may be in: one cache line */
#define STEPS_BELOW    32   /* frames between the walk and the first one wanted */
#define STEPS_LEARNING 4096
#define EPOCH_SHIFT    48 /* code addresses have 47 bits */

/* The walk is one loop that keeps the registers it follows in processor registers. */
#define FAST __attribute__((always_inline)) static inline

struct entry {
    atomic_ullong check; /* key ^ rule */
    atomic_ullong rule;
};

static _Alignas(64) struct entry table[ENTRIES];
static atomic_uint epoch, next_way;
static _Atomic(unwind_unloads) unloads_seen;

static uint64_t rule_pack(struct unwind_rule rule)
{
    return (uint64_t)(uint32_t)rule.cfa << 32 | ((uint64_t)(uint32_t)rule.bp & 0x3ffffff) << 6 |
           (uint64_t)rule.bp_kind << 4 | (uint64_t)rule.kind;
}

static inline struct unwind_rule rule_unpack(uint64_t packed)
{
    return (struct unwind_rule){.kind = (enum unwind_kind)(packed & 15),
                                .bp_kind = (enum unwind_bp)(packed >> 4 & 3),
                                .cfa = (int32_t)(packed >> 32),
                                .bp = (int32_t)((uint32_t)packed) >> 6};
}

static inline uint64_t key_of(uintptr_t address)
{
    return (uint64_t)address ^ (uint64_t)atomic_load_explicit(&epoch, memory_order_relaxed)
                                   << EPOCH_SHIFT;
}

static inline struct entry *ways_of(uintptr_t address)
{
    uint64_t mixed = (uint64_t)address * UINT64_C(0x9e3779b97f4a7c15);

    return &table[(mixed >> 32) % (ENTRIES / WAYS) * WAYS];
}

static void epoch_begin(unwind_unloads unloads)
{
    unwind_unloads seen = atomic_load_explicit(&unloads_seen, memory_order_relaxed);

    if (unloads != seen && atomic_compare_exchange_strong(&unloads_seen, &seen, unloads))
        atomic_fetch_add_explicit(&epoch, 1, memory_order_relaxed);
}

__attribute__((noinline)) static uint64_t rule_add(uintptr_t address)
{
    unsigned way = atomic_fetch_add_explicit(&next_way, 1, memory_order_relaxed) % WAYS;
    struct entry *ways = ways_of(address);
    unwind_unloads unloads;
    uint64_t rule = rule_pack(unwind_rule_find(address, &unloads));

    epoch_begin(unloads);
    for (unsigned i = 0; i < WAYS; i++)
        if (!atomic_load_explicit(&ways[i].rule, memory_order_relaxed))
            way = i;
    atomic_store_explicit(&ways[way].rule, rule, memory_order_relaxed);
    atomic_store_explicit(&ways[way].check, key_of(address) ^ rule, memory_order_relaxed);
    return rule;
}

static inline struct unwind_rule rule_get(uintptr_t address)
{
    const struct entry *ways = ways_of(address);
    uint64_t key = key_of(address);

    for (unsigned i = 0; i < WAYS; i++) {
        uint64_t rule = atomic_load_explicit(&ways[i].rule, memory_order_relaxed);

        if ((atomic_load_explicit(&ways[i].check, memory_order_relaxed) ^ rule) == key && rule)
            return rule_unpack(rule);
    }
    return rule_unpack(rule_add(address));
}

bool unwind_refresh(void)
{
    unsigned before = atomic_load_explicit(&epoch, memory_order_relaxed);

    epoch_begin(unwind_unloads_now());
    return atomic_load_explicit(&epoch, memory_order_relaxed) != before;
}

struct registers {
    uintptr_t pc, sp, bp;
    bool is_exact; /* pc is the next instruction, not one behind a call */
};

/** The readable part of the stack. Separate from the registers, so that these stay in the
 * processor. */
struct readable {
    uintptr_t begin, last; /* words, as they are */
    uintptr_t most;        /* end of the stack; UINTPTR_MAX: not known */
    bool is_guess;         /* a frame had no description: no address is to be relied on */
};

/** Reads a word outside the known readable range. */
__attribute__((noinline, cold, no_sanitize_address)) static bool word_get_far(
    struct readable *readable, uintptr_t address, uintptr_t *ret_word)
{
    uintptr_t page = address & ~(uintptr_t)(STACK_PAGE_BYTES - 1);

    if (address >= readable->most || address % sizeof(uintptr_t))
        return false;
    if (readable->is_guess)
        return stack_word_copy(address, ret_word);
    if (!stack_page_is_readable(address))
        return false;
    if (page != readable->last + sizeof(uintptr_t))
        readable->begin = page;
    readable->last = page + STACK_PAGE_BYTES - sizeof(uintptr_t);
    *ret_word = *(const volatile uintptr_t *)address;
    return true;
}

/** Reads a word of the stack, in other functions' frames. False: it is not on the stack. */
__attribute__((no_sanitize_address)) FAST bool word_get(const struct registers *registers,
                                                        struct readable *readable,
                                                        uintptr_t address, uintptr_t *ret_word)
{
    if (address < registers->sp)
        return false;
    if (unlikely(address < readable->begin || address > readable->last)) {
        uintptr_t word;
        bool found = word_get_far(readable, address, &word);

        if (found)
            *ret_word = word;
        return found;
    }
    *ret_word = *(const volatile uintptr_t *)address;
    return true;
}

/** Moves to a frame above this one. */
FAST bool frame_enter(struct registers *registers, const struct readable *readable, uintptr_t pc,
                      uintptr_t sp, uintptr_t bp)
{
    if (sp <= registers->sp || sp > readable->most || !pc)
        return false;
    registers->pc = pc;
    registers->sp = sp;
    registers->bp = bp;
    registers->is_exact = false;
    return true;
}

/** Steps along the chain of frame pointers: the caller's is stored there, the return address
 * above it. */
FAST bool frame_pointer_step(struct registers *registers, struct readable *readable)
{
    uintptr_t bp, pc;

#if defined(__x86_64__) /* elsewhere every function has a frame pointer, by convention */
    readable->is_guess = true;
    readable->begin = UINTPTR_MAX;
#endif
    return word_get(registers, readable, registers->bp, &bp) &&
           word_get(registers, readable, registers->bp + sizeof bp, &pc) &&
           frame_enter(registers, readable, pc, registers->bp + 2 * sizeof bp, bp);
}

#if defined(__x86_64__)

FAST bool signal_step(struct registers *registers, struct readable *readable)
{
    const uintptr_t at = registers->sp + offsetof(ucontext_t, uc_mcontext.gregs);
    uintptr_t pc, sp, bp;

    if (!word_get(registers, readable, at + REG_RIP * sizeof pc, &pc) ||
        !word_get(registers, readable, at + REG_RSP * sizeof pc, &sp) ||
        !word_get(registers, readable, at + REG_RBP * sizeof pc, &bp) ||
        !frame_enter(registers, readable, pc, sp, bp))
        return false;
    registers->is_exact = true;
    return true;
}

FAST bool rule_step(struct registers *registers, struct readable *readable, struct unwind_rule rule)
{
    uintptr_t cfa, pc, bp = registers->bp;

    switch (rule.kind) {
    case UNWIND_FROM_SP: cfa = registers->sp + (uintptr_t)(intptr_t)rule.cfa; break;
    case UNWIND_FROM_BP: cfa = registers->bp + (uintptr_t)(intptr_t)rule.cfa; break;
    case UNWIND_AT_BP:
        if (!word_get(registers, readable, registers->bp + (uintptr_t)(intptr_t)rule.cfa, &cfa))
            return false;
        break;
    case UNWIND_SIGNAL: return signal_step(registers, readable);
    case UNWIND_FRAME_POINTER: return frame_pointer_step(registers, readable);
    default: return false;
    }
    if (!word_get(registers, readable, cfa - sizeof pc, &pc))
        return false;
    if ((rule.bp_kind == UNWIND_BP_AT_CFA &&
         !word_get(registers, readable, cfa + (uintptr_t)(intptr_t)rule.bp, &bp)) ||
        (rule.bp_kind == UNWIND_BP_AT_BP &&
         !word_get(registers, readable, registers->bp + (uintptr_t)(intptr_t)rule.bp, &bp)))
        return false;
    return frame_enter(registers, readable, pc, cfa, rule.bp_kind == UNWIND_BP_LOST ? 0 : bp);
}

#define REGISTERS_HERE(registers)                                                                  \
    __asm__ volatile("leaq 0(%%rip), %0\n\tmovq %%rsp, %1\n\tmovq %%rbp, %2"                       \
                     : "=&r"((registers)->pc), "=&r"((registers)->sp), "=&r"((registers)->bp))

#else

FAST bool rule_step(struct registers *registers, struct readable *readable, struct unwind_rule rule)
{
    return rule.kind == UNWIND_FRAME_POINTER && frame_pointer_step(registers, readable);
}

#define REGISTERS_HERE(registers)                                                                  \
    do {                                                                                           \
        (registers)->pc = (uintptr_t)&unwind_walk;                                                 \
        (registers)->bp = (uintptr_t)__builtin_frame_address(0);                                   \
        (registers)->sp = (registers)->bp;                                                         \
    } while (0)

#endif

/** Whether a walk ends at a frame because none is above it. */
static inline bool is_outermost(const struct registers *registers, struct unwind_rule rule)
{
#if defined(__x86_64__)
    return rule.kind == UNWIND_END;
#else
    return rule.kind == UNWIND_FRAME_POINTER && !registers->bp;
#endif
}

/**
 * Tries to prove that this is the thread's own stack, by described frames alone, up to the known
 * part or to the outermost frame. The frames of a signal handler may be on another stack.
 */
__attribute__((noinline)) static void bounds_learn(struct registers *registers,
                                                   struct readable *readable)
{
    uintptr_t begin = registers->sp;

    for (unsigned i = 0; i < STEPS_LEARNING; i++) {
        struct unwind_rule rule = rule_get(registers->pc - !registers->is_exact);

        if (stack_bounds_end(registers->sp) || is_outermost(registers, rule)) {
            stack_bounds_learn(begin, registers->sp);
            return;
        }
        if (rule.kind == UNWIND_SIGNAL || !rule_step(registers, readable, rule) ||
            readable->is_guess)
            break;
    }
    stack_bounds_learn(begin, 0);
}

/** The readable part of a stack that is not known to be the thread's own: its current page. */
static struct readable readable_here(uintptr_t stack_pointer)
{
    uintptr_t page_end = (stack_pointer | (STACK_PAGE_BYTES - 1)) + 1;

    return (struct readable){
        .begin = stack_pointer, .last = page_end - sizeof(uintptr_t), .most = UINTPTR_MAX};
}

__attribute__((noinline)) void unwind_walk(struct unwind *unwind)
{
    struct registers registers = {.is_exact = true}, copy;
    struct readable readable = {0};
    unsigned below = 0;

    REGISTERS_HERE(&registers);
    unwind->count = 0;
    unwind->stopped = false;
    readable.most = stack_bounds_end(registers.sp);
    if (unlikely(!readable.most && stack_bounds_wanted())) {
        copy = registers;
        readable = readable_here(registers.sp);
        bounds_learn(&copy, &readable);
        readable.most = stack_bounds_end(registers.sp);
    }
    if (likely(readable.most != 0)) {
        readable.begin = registers.sp;
        readable.last = readable.most - sizeof(uintptr_t);
    } else {
        readable = readable_here(registers.sp);
    }
    for (;;) {
        uintptr_t code = registers.pc - !registers.is_exact;
        struct unwind_rule rule = rule_get(code);

        if (unwind->count || registers.pc == unwind->first) {
            unwind->stopped = unwind->count && code >= unwind->stop_begin &&
                              code < unwind->stop_end;
            if (unwind->stopped || (unwind->count && rule.kind == UNWIND_NOWHERE))
                return;
            unwind->ret_code[unwind->count++] = code;
            if (unwind->count == unwind->most)
                return;
        } else if (++below > STEPS_BELOW) {
            return;
        }
        if (!rule_step(&registers, &readable, rule))
            return;
    }
}
