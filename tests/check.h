/* SPDX-License-Identifier: MIT */
/*
 * Checks for test programs without a framework. A failed check prints its place and values to
 * stderr and ends the program with status 1; with CHECK_GOES_ON defined it is counted, and
 * check_done() returns the status. CHECK_NAME(result), if defined, names a result code.
 *
 * Results are compared as int, so one set of checks serves the driver, the runtime and errno.
 */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#ifdef CHECK_GOES_ON
static int check_failures;
#define CHECK_FAILED() ((void)check_failures++)

/** The exit status of the test. */
static inline int check_done(void)
{
    if (check_failures)
        fprintf(stderr, "%d checks failed\n", check_failures);
    return check_failures ? 1 : 0;
}
#else
#define CHECK_FAILED() exit(1)
#endif

#ifndef CHECK_NAME
#define CHECK_NAME(result) "result"
#endif

/** The condition holds. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            CHECK_FAILED();                                                                        \
        }                                                                                          \
    } while (0)

/** The call returns exactly this. */
#define EXPECT(expected, call)                                                                     \
    do {                                                                                           \
        int check_result = (int)(call);                                                            \
        if (check_result != (int)(expected)) {                                                     \
            fprintf(stderr, "%s:%d: %s: %s (%d) instead of %s\n", __FILE__, __LINE__, #call,       \
                    CHECK_NAME(check_result), check_result, #expected);                            \
            CHECK_FAILED();                                                                        \
        }                                                                                          \
    } while (0)

#define OK(call) EXPECT(0, call)

/** Any failure, where the documentation does not name the error. */
#define FAILS(call)                                                                                \
    do {                                                                                           \
        if ((int)(call) == 0) {                                                                    \
            fprintf(stderr, "%s:%d: %s: succeeded\n", __FILE__, __LINE__, #call);                  \
            CHECK_FAILED();                                                                        \
        }                                                                                          \
    } while (0)

/** The two values, cast to long long, are equal. */
#define EQUAL(left, right)                                                                         \
    do {                                                                                           \
        long long equal_left = (long long)(left), equal_right = (long long)(right);                \
        if (equal_left != equal_right) {                                                           \
            fprintf(stderr, "%s:%d: %s is %lld, %s is %lld\n", __FILE__, __LINE__, #left,          \
                    equal_left, #right, equal_right);                                              \
            CHECK_FAILED();                                                                        \
        }                                                                                          \
    } while (0)

#endif
