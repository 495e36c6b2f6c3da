/* SPDX-License-Identifier: MIT */
/*
 * The exported functions of one library: the rows of LIBRARY_LIST. One shape serves every
 * signature: as many words as the longest has, of which those beyond the real ones are never looked
 * at.
 */
#include "tests/simgpu/libraries/call.h"

#define WORDS                                                                                      \
    uintptr_t a0, uintptr_t a1, uintptr_t a2, uintptr_t a3, uintptr_t a4, uintptr_t a5,            \
        uintptr_t a6, uintptr_t a7, uintptr_t a8, uintptr_t a9, uintptr_t a10, uintptr_t a11,      \
        uintptr_t a12, uintptr_t a13, uintptr_t a14, uintptr_t a15, uintptr_t a16, uintptr_t a17,  \
        uintptr_t a18, uintptr_t a19, uintptr_t a20, uintptr_t a21, uintptr_t a22, uintptr_t a23
#define WORD_LIST                                                                                  \
    a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20, \
        a21, a22, a23, 0, 0, 0, 0, 0, 0, 0, 0

/* Outputs of the programs are behind pointers; nothing here may read past a word it knows of. */
#define ANSWER(name, result)                                                                       \
    LIBRARY_API int name(WORDS);                                                                   \
    __attribute__((no_sanitize("address"))) int name(WORDS)                                        \
    {                                                                                              \
        const uintptr_t a[] = {WORD_LIST};                                                         \
        (void)a;                                                                                   \
        return result;                                                                             \
    }

#define CREATE(name, at)                      ANSWER(name, call_create(a, at))
#define DESTROY(name)                         ANSWER(name, call_destroy(a))
#define SET(name, key)                        ANSWER(name, call_set(a, #key))
#define GET(name, key, bytes)                 ANSWER(name, call_get(a, #key, bytes))
#define ATTRIBUTE_SET(name)                   ANSWER(name, call_attribute_set(a))
#define ATTRIBUTE_GET(name)                   ANSWER(name, call_attribute_get(a))
#define SIZES(name, at, bytes, at_2, bytes_2) ANSWER(name, call_sizes(a, at, bytes, at_2, bytes_2))
#define ZEROS(name, mask4, mask8)             ANSWER(name, call_zeros(a, mask4, mask8))
#define WORK(name, at)                        ANSWER(name, call_work(a, at, #name))
#define NOTHING(name)                         ANSWER(name, 0)
#define OWN(name)
#define ZERO(name)                                                                                 \
    LIBRARY_API double name(void);                                                                 \
    double name(void)                                                                              \
    {                                                                                              \
        const uintptr_t a[1] = {0};                                                                \
        call_work(a, -2, #name);                                                                   \
        return 0;                                                                                  \
    }

#include LIBRARY_LIST
