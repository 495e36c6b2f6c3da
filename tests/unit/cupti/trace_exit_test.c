/* SPDX-License-Identifier: MIT */
/*
 * The exit record that is appended to a trace after its program has ended, also where the file has
 * holes of terabytes.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/cupti/trace_support.h"

Test(trace_exit, is_appended_to_a_closed_file)
{
    char path[SUPPORT_PATH_BYTES], why[256];
    struct trace_writer *writer;
    struct trace_reader *reader;
    struct trace_record record, last = {0};

    support_path(path);
    writer = support_open(path);
    support_emit(writer, 1, 3);
    trace_writer_close(writer);
    cr_assert(trace_file_append_exit(path, 0x300) == 0);
    reader = support_read(path);
    while (trace_reader_next(reader, &record, why, sizeof why) > 0)
        last = record;
    cr_expect(last.kind == TRACE_EVENT_EXIT);
    cr_expect(last.value == 0x300);
    cr_expect(trace_reader_summary(reader)->complete);
    trace_reader_close(reader);
    cr_expect(trace_file_append_exit("/nonexistent", 0) == -ENOENT);
    support_remove(path);
}

/* A program may leave its trace with a hole of terabytes at the end. Looked through block by block
 * it takes minutes of processor time. */
Test(trace_exit, is_appended_before_a_hole)
{
    const struct rlimit limit = {.rlim_cur = 20, .rlim_max = 30};
    char path[SUPPORT_PATH_BYTES];
    struct trace_writer *writer;
    struct trace_reader *reader;
    struct stat before, after;

    support_path(path);
    writer = support_open(path);
    support_emit(writer, 1, 3);
    trace_writer_close(writer);
    cr_assert(stat(path, &before) == 0);
    if (truncate(path, (off_t)1 << 43) < 0)
        cr_skip_test("no file of terabytes here");
    cr_assert(setrlimit(RLIMIT_CPU, &limit) == 0);
    cr_assert(trace_file_append_exit(path, 0x300) == 0);
    cr_assert(stat(path, &after) == 0);
    cr_expect(after.st_size <= before.st_size + 2 * TRACE_BLOCK_BYTES);
    reader = support_read(path);
    cr_expect(support_count(reader) == 3);
    trace_reader_close(reader);
    support_remove(path);
}

/* The hole may be in the middle as well: with a block behind it that is free, or that is used. */
static void exit_behind_a_hole(uint64_t most_bytes, off_t offset_in_block)
{
    const struct rlimit limit = {.rlim_cur = 20, .rlim_max = 30};
    const off_t far = (off_t)1 << 43;
    char path[SUPPORT_PATH_BYTES];
    struct trace_writer *writer;
    struct stat after;

    support_path(path);
    cr_assert(trace_writer_open_limited(path, most_bytes, &writer) == 0);
    support_emit(writer, 1, 3);
    trace_writer_close(writer);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (ftruncate(file, far + TRACE_BLOCK_BYTES) < 0 ||
        pwrite(file, "x", 1, far + offset_in_block) != 1)
        cr_skip_test("no file of terabytes here");
    close(file);
    cr_assert(setrlimit(RLIMIT_CPU, &limit) == 0);
    cr_assert(trace_file_append_exit(path, 0x300) == 0);
    cr_assert(stat(path, &after) == 0);
    if (offset_in_block)
        cr_expect(after.st_size < far);
    else
        cr_expect(after.st_size > far + TRACE_BLOCK_BYTES);
    support_remove(path);
}

Test(trace_exit, is_appended_before_a_hole_and_a_free_block)
{
    exit_behind_a_hole(0, TRACE_BLOCK_BYTES / 2);
}

Test(trace_exit, is_appended_behind_a_hole_and_a_used_block)
{
    exit_behind_a_hole(TRACE_LIMIT_LEAST, 0);
}
