/* SPDX-License-Identifier: MIT */
/*
 * Criterion, or under ThreadSanitizer the few of its macros that these tests use.
 *
 * Criterion's sandbox maps an arena at an address that ThreadSanitizer has taken, so a test linked
 * with both never starts. The stand-in runs each test in a forked child, as Criterion does, and
 * fails when one does not exit cleanly.
 */
#ifndef TESTS_UNIT_HARNESS_H
#define TESTS_UNIT_HARNESS_H

#ifndef __SANITIZE_THREAD__

#include <criterion/criterion.h>

#else

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct harness_test {
    const char *label;
    void (*function)(void);
    void (*init)(void);
    void (*fini)(void);
    struct harness_test *next;
};

static struct harness_test *harness_first;

#define Test(suite, name, ...)                                                                     \
    static void suite##_##name(void);                                                              \
    static struct harness_test suite##_##name##_test = {                                           \
        .label = #suite "::" #name, .function = suite##_##name, ##__VA_ARGS__};                    \
    __attribute__((constructor)) static void suite##_##name##_register(void)                       \
    {                                                                                              \
        suite##_##name##_test.next = harness_first;                                                \
        harness_first = &suite##_##name##_test;                                                    \
    }                                                                                              \
    static void suite##_##name(void)

#define cr_assert(condition, ...)                                                                  \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define cr_expect(condition, ...)     cr_assert(condition)
#define cr_expect_not(condition, ...) cr_assert(!(condition))
#define cr_assert_not(condition, ...) cr_assert(!(condition))
#define cr_assert_eq(a, b, ...)       cr_assert((a) == (b))
#define cr_assert_neq(a, b, ...)      cr_assert((a) != (b))
#define cr_assert_lt(a, b, ...)       cr_assert((a) < (b))
#define cr_assert_gt(a, b, ...)       cr_assert((a) > (b))
#define cr_assert_leq(a, b, ...)      cr_assert((a) <= (b))
#define cr_assert_geq(a, b, ...)      cr_assert((a) >= (b))
#define cr_assert_float_eq(a, b, epsilon, ...)                                                     \
    cr_assert((a) - (b) <= (epsilon) && (b) - (a) <= (epsilon))
#define cr_assert_null(pointer, ...)     cr_assert(!(pointer))
#define cr_assert_not_null(pointer, ...) cr_assert((pointer) != NULL)
#define cr_assert_str_eq(a, b, ...)      cr_assert(strcmp(a, b) == 0)
#define cr_assert_str_empty(text, ...)   cr_assert(*(text) == '\0')

static int harness_run(const struct harness_test *test)
{
    int status = 0;

    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (test->init)
            test->init();
        test->function();
        if (test->fini)
            test->fini();
        exit(0);
    }
    waitpid(child, &status, 0);
    printf("[%s] %s\n", status == 0 ? "PASS" : "FAIL", test->label);
    return status != 0;
}

int main(void)
{
    int failures = 0;

    for (const struct harness_test *test = harness_first; test; test = test->next)
        failures += harness_run(test);
    return failures != 0;
}

#endif

#endif
