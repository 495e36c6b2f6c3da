/* SPDX-License-Identifier: MIT */
/*
 * The exported dlsym. It must be able to hand a call on to the real dlsym such that the real one
 * sees the program's return address, because RTLD_NEXT and RTLD_DEFAULT are answered relative to
 * the module that address lies in. A compiler may or may not turn a last call into a jump, so the
 * few instructions are written out: ask resolve_dlsym, then return its answer or jump.
 */
#include "shim/resolve.h"

/* struct dlsym_answer comes back in two registers on both processors. */
#if defined(__x86_64__)
__asm__(".text\n"
        ".globl dlsym\n"
        ".type dlsym, @function\n"
        "dlsym:\n"
        "    .cfi_startproc\n"
        "    endbr64\n"
        "    pushq %rdi\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    pushq %rsi\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    movq 16(%rsp), %rdx\n" /* the return address */
        "    subq $8, %rsp\n"       /* the stack is 16-byte-aligned at a call */
        "    .cfi_adjust_cfa_offset 8\n"
        "    call resolve_dlsym\n"
        "    addq $8, %rsp\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    popq %rsi\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    popq %rdi\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    testq %rdx, %rdx\n"
        "    jnz 1f\n"
        "    ret\n"
        "1:  jmp *%rdx\n"
        "    .cfi_endproc\n"
        ".size dlsym, . - dlsym\n");
#elif defined(__aarch64__)
__asm__(".text\n"
        ".globl dlsym\n"
        ".type dlsym, %function\n"
        "dlsym:\n"
        "    .cfi_startproc\n"
        "    hint #34\n" /* bti c */
        "    stp x29, x30, [sp, #-32]!\n"
        "    .cfi_def_cfa_offset 32\n"
        "    .cfi_offset x29, -32\n"
        "    .cfi_offset x30, -24\n"
        "    mov x29, sp\n"
        "    stp x0, x1, [sp, #16]\n"
        "    mov x2, x30\n"
        "    bl resolve_dlsym\n"
        "    cbz x1, 1f\n"
        "    mov x16, x1\n"
        "    ldp x0, x1, [sp, #16]\n"
        "    ldp x29, x30, [sp], #32\n"
        "    br x16\n"
        "1:  ldp x29, x30, [sp], #32\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size dlsym, . - dlsym\n");
#else
#error "the exported dlsym is written for x86-64 and aarch64"
#endif
