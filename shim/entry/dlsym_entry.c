/* SPDX-License-Identifier: MIT */
/*
 * The exported dlsym and dlvsym. When they forward a call, the real function must see the
 * program's return address, because RTLD_NEXT and RTLD_DEFAULT depend on the module of that
 * address. A compiler does not guarantee that a tail call becomes a jump, so the few instructions
 * are written in assembly: call the resolver, which takes the return address as an extra last
 * argument, then return its answer or jump.
 */
#include "shim/entry/look_up.h"

/* struct dlsym_answer is returned in two registers on both processors. `place` is the register
 * of the extra last argument. */
#if defined(__x86_64__)
#define ENTRY(name, place)                                                                         \
    __asm__(".text\n"                                                                              \
            ".globl " #name "\n"                                                                   \
            ".type " #name ", @function\n" #name ":\n"                                             \
            "    .cfi_startproc\n"                                                                 \
            "    endbr64\n"                                                                        \
            "    pushq %rdi\n"                                                                     \
            "    .cfi_adjust_cfa_offset 8\n"                                                       \
            "    pushq %rsi\n"                                                                     \
            "    .cfi_adjust_cfa_offset 8\n"                                                       \
            "    pushq %rdx\n" /* aligns the stack to the 16 bytes of a call, too */               \
            "    .cfi_adjust_cfa_offset 8\n"                                                       \
            "    movq 24(%rsp), %" #place "\n" /* the return address */                            \
            "    call look_up_" #name "\n"                                                         \
            "    movq %rdx, %r11\n"                                                                \
            "    popq %rdx\n"                                                                      \
            "    .cfi_adjust_cfa_offset -8\n"                                                      \
            "    popq %rsi\n"                                                                      \
            "    .cfi_adjust_cfa_offset -8\n"                                                      \
            "    popq %rdi\n"                                                                      \
            "    .cfi_adjust_cfa_offset -8\n"                                                      \
            "    testq %r11, %r11\n"                                                               \
            "    jnz 1f\n"                                                                         \
            "    ret\n"                                                                            \
            "1:  jmp *%r11\n"                                                                      \
            "    .cfi_endproc\n"                                                                   \
            ".size " #name ", . - " #name "\n")
ENTRY(dlsym, rdx);
ENTRY(dlvsym, rcx);
#elif defined(__aarch64__)
#define ENTRY(name, place)                                                                         \
    __asm__(".text\n"                                                                              \
            ".globl " #name "\n"                                                                   \
            ".type " #name ", %function\n" #name ":\n"                                             \
            "    .cfi_startproc\n"                                                                 \
            "    hint #34\n" /* bti c */                                                           \
            "    stp x29, x30, [sp, #-48]!\n"                                                      \
            "    .cfi_def_cfa_offset 48\n"                                                         \
            "    .cfi_offset x29, -48\n"                                                           \
            "    .cfi_offset x30, -40\n"                                                           \
            "    mov x29, sp\n"                                                                    \
            "    stp x0, x1, [sp, #16]\n"                                                          \
            "    str x2, [sp, #32]\n"                                                              \
            "    mov " #place ", x30\n"                                                            \
            "    bl look_up_" #name "\n"                                                           \
            "    cbz x1, 1f\n"                                                                     \
            "    mov x16, x1\n"                                                                    \
            "    ldp x0, x1, [sp, #16]\n"                                                          \
            "    ldr x2, [sp, #32]\n"                                                              \
            "    ldp x29, x30, [sp], #48\n"                                                        \
            "    br x16\n"                                                                         \
            "1:  ldp x29, x30, [sp], #48\n"                                                        \
            "    ret\n"                                                                            \
            "    .cfi_endproc\n"                                                                   \
            ".size " #name ", . - " #name "\n")
ENTRY(dlsym, x2);
ENTRY(dlvsym, x3);
#else
#error "the exported dlsym and dlvsym are written for x86-64 and aarch64"
#endif
