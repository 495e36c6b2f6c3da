/* SPDX-License-Identifier: MIT */
/*
 * Hints for the compiler about branches of hot paths. The pool has the same two of its own
 * (pool/base/base.h), since neither module includes the other.
 */
#ifndef CUPTI_BASE_LIKELY_H
#define CUPTI_BASE_LIKELY_H

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#endif
