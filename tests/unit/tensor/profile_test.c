/* SPDX-License-Identifier: MIT */
/*
 * Files that name what to reserve: texts and reports, right and broken.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/tensor/fixture.h"

#define WISHES 16

struct list {
    struct tensor_wish wishes[WISHES];
    unsigned count;
};

static int list_add(void *state, const struct tensor_wish *wish)
{
    struct list *list = state;

    if (list->count < WISHES)
        list->wishes[list->count++] = *wish;
    return 0;
}

/* From memory without a zero behind it, so that a sanitizer sees a read too far. */
static int read_text(const char *text, struct list *list, unsigned *ret_line)
{
    size_t bytes = strlen(text);
    char *copy = malloc(bytes + (bytes == 0));

    memcpy(copy, text, bytes);
    list->count = 0;
    int error = tensor_profile_read(copy, bytes, list_add, list, ret_line);
    free(copy);
    return error;
}

Test(tensor_profile, a_text_has_a_row_a_line)
{
    struct list list;
    unsigned line;

    cr_assert_eq(read_text("# count type dimensions\n"
                           "\n"
                           "4 f16 1x512x4096\r\n"
                           "  2\tf32  1x8x512x512   flags=1 # weights of attention\n"
                           "8 bytes 1048576\n"
                           "1 i64",
                           &list, &line),
                 0);
    cr_assert_eq(list.count, 4);
    cr_assert(list.wishes[0].count == 4 && list.wishes[0].shape.rank == 3 &&
              list.wishes[0].shape.type == CUPOOL_TENSOR_F16 &&
              list.wishes[0].shape.dimensions[2] == 4096);
    cr_assert(list.wishes[1].shape.flags == 1 && list.wishes[1].shape.rank == 4);
    cr_assert(list.wishes[2].shape.type == CUPOOL_TENSOR_BYTES && list.wishes[2].count == 8);
    cr_assert(list.wishes[3].shape.rank == 0 && list.wishes[3].shape.type == CUPOOL_TENSOR_I64);
    cr_assert_eq(read_text("", &list, &line), 0);
}

Test(tensor_profile, broken_texts_are_named_by_their_line)
{
    static const char *const broken[] = {
        "0 f16 1",
        "x f16 1",
        "4 f17 1",
        "4",
        "4 f16 1x",
        "4 f16 1y2",
        "4 f16 -1",
        "4 f16 1 2",
        "4 f16 1 flags=",
        "4 f16 1 flags=4294967296",
        "99999999999 f16 1",
        "4 f16 1x1x1x1x1x1x1x1x1",
        "1 f16 99999999999999999999",
        "4 f16 1 flags=1 2",
        "-1 f16 1",
    };
    struct list list;
    unsigned line;
    char text[128];

    for (unsigned at = 0; at < sizeof(broken) / sizeof(*broken); at++) {
        snprintf(text, sizeof(text), "# one\n1 f16 2\n%s\n", broken[at]);
        cr_assert_eq(read_text(text, &list, &line), -EINVAL, "%s", broken[at]);
        cr_assert_eq(line, 3, "%s: %u", broken[at], line);
    }
}

Test(tensor_profile, a_report_gives_what_came_and_went)
{
    struct list list;
    unsigned line;

    cr_assert_eq(
        read_text("{\"cupool\": \"0.1\", \"a\": {\"sizes\": [1, \"]}\\\"\"]},\n"
                  "\"sizes\": [ {\"up_to_bytes\": 4096, \"allocations\": 90, \"peak_blocks\": 7,"
                  " \"leaked_blocks\": 2, \"x\": null},\n"
                  "{\"peak_blocks\": 3, \"leaked_blocks\": 3, \"up_to_bytes\": 1},\n"
                  "{\"up_to_bytes\": 2, \"peak_blocks\": 1, \"leaked_blocks\": 0}],\n"
                  "\"z\": -1.5e3}",
                  &list, &line),
        0);
    cr_assert_eq(list.count, 2, "three blocks were never freed");
    cr_assert(list.wishes[0].count == 5 && list.wishes[0].shape.dimensions[0] == 4096 &&
              list.wishes[0].shape.type == CUPOOL_TENSOR_BYTES && list.wishes[0].shape.rank == 1);
    cr_assert_eq(list.wishes[1].count, 1);
}

Test(tensor_profile, every_cut_of_a_report_is_refused)
{
    static const char whole[] =
        "{\"a\": [true, {\"b\": \"c\\\\\"}], \"sizes\": [{\"up_to_bytes\": 8, "
        "\"peak_blocks\": 2, \"leaked_blocks\": 0}], \"c\": 1}";
    struct list list;
    unsigned line;
    char cut[sizeof(whole)];

    cr_assert_eq(read_text(whole, &list, &line), 0);
    for (size_t bytes = 1; bytes < sizeof(whole) - 1; bytes++) {
        memcpy(cut, whole, bytes);
        cut[bytes] = '\0';
        cr_assert_eq(read_text(cut, &list, &line), -EINVAL, "%zu bytes", bytes);
    }
}

Test(tensor_profile, changed_bytes_neither_hang_nor_read_too_far)
{
    static const char whole[] =
        "{\"a\": [true, {\"b\": \"c\\\\\"}], \"sizes\": [{\"up_to_bytes\": 8, "
        "\"peak_blocks\": 2, \"leaked_blocks\": 0}], \"c\": 1}";
    uint32_t random = 1;
    unsigned line;
    struct list list = {.count = 0};

    for (unsigned round = 0; round < 20000; round++) {
        char *copy = malloc(sizeof(whole) - 1);

        memcpy(copy, whole, sizeof(whole) - 1);
        for (unsigned change = 0; change < 1 + round % 4; change++) {
            random = random * 1664525 + 1013904223;
            copy[random / 65536 % (sizeof(whole) - 1)] = (char)(random >> 8);
        }
        list.count = 0;
        tensor_profile_read(copy, sizeof(whole) - 1, list_add, &list, &line);
        free(copy);
    }
    char deep[300];
    memset(deep, '[', sizeof(deep));
    memcpy(deep, "{\"a\":", 5);
    cr_assert_eq(tensor_profile_read(deep, sizeof(deep), list_add, &list, &line), -EINVAL);
}

static void file_write(char *path, const char *text)
{
    strcpy(path, "/tmp/cupool-tensors-XXXXXX");
    int file = mkstemp(path);
    cr_assert_geq(file, 0);
    cr_assert_eq(write(file, text, strlen(text)), (ssize_t)strlen(text));
    close(file);
}

static char shrunk[64];

static void file_shrink(void)
{
    cr_assert_eq(truncate(shrunk, 0), 0);
}

/* As when it is written anew. */
Test(tensor_profile, a_file_that_shrinks_meanwhile_is_reserved_as_it_was, .init = setup,
     .fini = teardown)
{
    char text[3 * 4096];
    uint32_t tensors = 0;

    memset(text, '\n', sizeof(text));
    memcpy(text, "1 f16 4x8", 9);
    memcpy(text + sizeof(text) - 12, "2 f16 4x8\n", 11);
    file_write(shrunk, text);
    fakes[1].meanwhile = file_shrink;
    cr_assert_eq(cupool_tensors_reserve_file(cache, shrunk, 1, 0, &tensors, NULL), 0);
    cr_assert_eq(tensors, 3);
    unlink(shrunk);
}

Test(tensor_profile, a_file_is_reserved_within_a_budget, .init = setup, .fini = teardown)
{
    char path[64];
    uint32_t tensors = 0;
    uint64_t bytes = 0;
    struct cupool_tensor_shape shape = {
        .rank = 2, .type = CUPOOL_TENSOR_F16, .dimensions = {4, 8}, .device = 1};

    file_write(path, "2 f16 4x8\n1 bytes 1048576\n3 u8 100 flags=7\n");
    cr_assert_eq(cupool_tensors_reserve_file(cache, path, 1, 1000, &tensors, &bytes), 0);
    cr_assert_eq(tensors, 5, "the one of 1 MiB is beyond the budget");
    cr_assert_eq(bytes, 2 * 64 + 300);
    cr_assert_eq(stats_of(1).reserved, 5);
    give(take(shape, TWO, EXACT, NULL), TWO);
    cr_assert_eq(stats_of(1).hits, 1);
    unlink(path);
    file_write(path, "2 f16 4x8\n2 f16 oops\n");
    cr_assert_eq(cupool_tensors_reserve_file(cache, path, 1, 0, NULL, NULL), -EINVAL);
    cr_assert(strstr(cupool_tensors_error(cache), "line 2") != NULL);
    cr_assert_eq(stats_of(1).reserved, 5, "nothing was reserved");
    unlink(path);
    cr_assert_eq(cupool_tensors_reserve_file(cache, path, 1, 0, NULL, NULL), -ENOENT);
    cr_assert_eq(cupool_tensors_reserve_file(cache, "/tmp", 1, 0, NULL, NULL), -EINVAL);
    cr_assert_eq(cupool_tensors_reserve_file(cache, "/dev/zero", 1, 0, NULL, NULL), -EINVAL);
    cr_assert_eq(cupool_tensors_reserve_file(cache, path, 3, 0, NULL, NULL), -EINVAL);
}
