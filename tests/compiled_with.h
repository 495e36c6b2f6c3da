/* SPDX-License-Identifier: MIT */
/*
 * COMPILED_WITH(OPTIONS…): a function that GCC compiles with these options and does not inline.
 * clang has no such attribute and compiles it with those of its file.
 */
#ifndef TESTS_COMPILED_WITH_H
#define TESTS_COMPILED_WITH_H

#if __has_attribute(optimize)
#define COMPILED_WITH(...) __attribute__((noinline, optimize(__VA_ARGS__)))
#else
#define COMPILED_WITH(...) __attribute__((noinline))
#endif

#endif
