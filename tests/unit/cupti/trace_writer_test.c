/* SPDX-License-Identifier: MIT */
/*
 * Writer and reader: written records are read back, from one thread and from many, after a kill,
 * a fork, a full disk.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cupti/base/crc32c.h"
#include "cupti/live/living_file.h"
#include "cupti/write/site_table.h"
#include "cupti/write/trace_store.h"
#include "tests/unit/cupti/trace_support.h"

Test(crc32c, known_values)
{
    cr_expect(crc32c("", 0) == 0);
    cr_expect(crc32c("123456789", 9) == 0xe3069283);
}

/** Bit by bit, as the definition says. */
static uint32_t crc32c_by_definition(const unsigned char *data, size_t bytes)
{
    uint32_t crc = UINT32_MAX;

    while (bytes--) {
        crc ^= *data++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    return ~crc;
}

Test(crc32c, all_lengths)
{
    static unsigned char data[TRACE_BLOCK_BYTES];
    uint64_t seed = support_seed();

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)support_random(&seed);
    for (size_t bytes = 0; bytes < sizeof data; bytes += bytes < 3000 ? 1 : 4099)
        cr_assert(crc32c(data, bytes) == crc32c_by_definition(data, bytes), "%zu bytes", bytes);
}

Test(trace, round_trip)
{
    char path[SUPPORT_PATH_BYTES];
    struct trace_writer *writer;
    struct trace_reader *reader;
    struct stat status;

    support_path(path);
    writer = support_open(path);
    cr_expect_str_eq(trace_writer_path(writer), path);
    support_emit(writer, 1, 5000);
    trace_writer_close(writer);
    cr_assert(stat(path, &status) == 0);
    cr_expect((status.st_mode & 07777) == 0600, "readable by the owner only");
    cr_expect(status.st_size % TRACE_BLOCK_BYTES == 0);
    reader = support_read(path);
    cr_expect(support_count(reader) == 5000);
    cr_expect(trace_reader_summary(reader)->complete);
    cr_expect(trace_reader_summary(reader)->pid == (uint32_t)getpid());
    trace_reader_rewind(reader, TRACE_ORDER_FILE);
    cr_expect(support_count(reader) == 5000, "again after a rewind");
    trace_reader_close(reader);
    support_remove(path);
}

Test(trace, nothing_at_all)
{
    char path[SUPPORT_PATH_BYTES];
    struct trace_reader *reader;

    trace_writer_emit(NULL, &(struct trace_record){.kind = TRACE_EVENT_ALLOCATE});
    trace_writer_close(NULL);
    support_path(path);
    trace_writer_close(support_open(path));
    reader = support_read(path);
    cr_expect(support_count(reader) == 0);
    cr_expect(trace_reader_summary(reader)->complete);
    trace_reader_close(reader);
    support_remove(path);
}

Test(trace, texts_and_sites)
{
    char path[SUPPORT_PATH_BYTES], *longest = malloc(10001), name[32];
    struct trace_writer *writer;
    struct trace_reader *reader;
    struct trace_site site;
    uint32_t first, code, libc, nowhere;

    memset(longest, 'x', 10000);
    longest[10000] = '\0';
    support_path(path);
    writer = support_open(path);
    first = trace_writer_string(writer, "cudaMalloc");
    cr_expect(trace_writer_string(writer, "cudaMalloc") == first);
    cr_expect(trace_writer_string(writer, "cudaFree") != first);
    cr_expect(trace_writer_string(writer, "") != 0, "an empty text is a text");
    cr_expect(trace_writer_string(writer, NULL) == 0);
    cr_expect(trace_writer_string(writer, longest) != 0);
    for (int i = 0; i < 5000; i++) { /* several blocks of definitions, and a growing table */
        snprintf(name, sizeof name, "text %d", i);
        cr_assert(trace_writer_string(writer, name) != 0);
    }
    cr_expect(trace_writer_string(writer, "cudaMalloc") == first);
    code = trace_writer_site(writer, (const void *)support_emit);
    cr_expect(trace_writer_site(writer, (const void *)support_emit) == code);
    libc = trace_writer_site(writer, (const void *)getpagesize);
    nowhere = trace_writer_site(writer, (const void *)16);
    cr_expect(trace_writer_site(writer, NULL) == 0);
    trace_writer_close(writer);
    cr_expect(trace_writer_string(writer, "late") == 0);

    reader = support_read(path);
    cr_expect_str_eq(trace_reader_string(reader, first), "cudaMalloc");
    cr_expect(!trace_reader_string(reader, 0));
    cr_expect(!trace_reader_string(reader, 1000000));
    cr_expect(trace_reader_site(reader, 0, &site) == -ENOENT);
    cr_assert(trace_reader_site(reader, code, &site) == 0);
    cr_expect(strstr(site.module, "trace_writer_test") != NULL, "%s", site.module);
    cr_expect(site.build_id && strlen(site.build_id) >= 16);
    cr_assert(trace_reader_site(reader, libc, &site) == 0);
    cr_expect(strstr(site.module, "libc") != NULL);
    cr_assert(trace_reader_site(reader, nowhere, &site) == 0);
    cr_expect(!site.module && site.offset == 16);
    trace_reader_close(reader);
    support_remove(path);
    free(longest);
}

static uint32_t stack_write(struct trace_writer *writer, const uintptr_t *code, unsigned codes,
                            struct trace_python_frame *python, unsigned pythons)
{
    const struct trace_python_frame *frames[] = {python, python + 1};
    const struct trace_stack stack = {code, codes, frames, pythons};
    uint32_t id;

    for (unsigned i = 0; i < pythons; i++)
        trace_python_frame_mix(&python[i]);
    id = trace_writer_stack(writer, &stack);
    cr_expect(trace_writer_stack_find(writer, &stack) == id);
    cr_expect(trace_writer_stack(writer, &stack) == id);
    return id;
}

Test(trace, stacks_share_their_outer_frames)
{
    const uintptr_t deep[] = {(uintptr_t)support_emit, (uintptr_t)getpagesize, 16};
    const uintptr_t other[] = {(uintptr_t)support_emit + 1, (uintptr_t)getpagesize, 16};
    const uint16_t wide[] = {'m', 0xe9, 0x4e2d};
    struct trace_python_frame python[] = {{{"step.py", 7, 1}, {wide, 3, 2}, 12, {0}, 0},
                                          {{"main.py", 7, 0}, {"<module>", 8, 1}, 3, {0}, 0}};
    char path[SUPPORT_PATH_BYTES];
    struct trace_writer *writer;
    struct trace_reader *reader;
    struct trace_site site, second;
    uint32_t first_id, other_id, python_id;

    support_path(path);
    writer = support_open(path);
    first_id = stack_write(writer, deep, 3, NULL, 0);
    other_id = stack_write(writer, other, 3, NULL, 0);
    python_id = stack_write(writer, deep, 1, python, 2);
    cr_expect(first_id && other_id && python_id);
    cr_expect(first_id != trace_writer_site(writer, (const void *)support_emit),
              "a stack is not its innermost frame alone");
    trace_writer_close(writer);

    reader = support_read(path);
    cr_expect(trace_reader_summary(reader)->complete);
    cr_expect(trace_reader_summary(reader)->sites == 3 + 1 + 3 + 1);
    cr_expect(trace_reader_summary(reader)->cut_stacks == 0);
    cr_assert(trace_reader_site(reader, first_id, &site) == 0);
    cr_assert(trace_reader_site(reader, other_id, &second) == 0);
    cr_expect(site.caller == second.caller && site.caller != 0);
    cr_assert(trace_reader_site(reader, site.caller, &site) == 0);
    cr_expect(strstr(site.module, "libc") != NULL);
    cr_assert(trace_reader_site(reader, site.caller, &site) == 0);
    cr_expect(site.offset == 16 && site.caller == 0);
    cr_assert(trace_reader_site(reader, python_id, &site) == 0);
    cr_expect(!site.function);
    cr_assert(trace_reader_site(reader, site.caller, &site) == 0);
    cr_expect_str_eq(site.module, "step.py");
    cr_expect_str_eq(site.function, "m\xc3\xa9\xe4\xb8\xad");
    cr_expect(site.line == 12);
    cr_assert(trace_reader_site(reader, site.caller, &site) == 0);
    cr_expect_str_eq(site.function, "<module>");
    cr_expect(site.line == 3 && site.caller == 0);
    trace_reader_close(reader);
    support_remove(path);
}

#define STACKS (SITE_TABLE_MOST + 1000)

Test(trace, a_stack_is_cut_before_it_is_lost, .timeout = 120)
{
    char path[SUPPORT_PATH_BYTES];
    struct trace_writer *writer;
    struct trace_reader *reader;
    struct trace_site site;
    uint32_t id = 0;

    support_path(path);
    writer = support_open(path);
    for (uintptr_t i = 0; i < STACKS; i++) {
        const uintptr_t code[] = {16, 32 + i};
        const struct trace_stack stack = {code, 2, NULL, 0};

        id = trace_writer_stack(writer, &stack);
        cr_assert(id != 0, "stack %zu", (size_t)i);
    }
    trace_writer_close(writer);
    reader = support_read(path);
    cr_expect(trace_reader_summary(reader)->complete);
    cr_expect(trace_reader_summary(reader)->cut_stacks > 0);
    cr_assert(trace_reader_site(reader, id, &site) == 0);
    cr_expect(site.offset == 16 && site.caller == 0);
    trace_reader_close(reader);
    support_remove(path);
}

#define THREADS    16
#define PER_THREAD 20000

static struct trace_writer *shared_writer;

static void *thread_emit(void *argument)
{
    uint64_t index = (uint64_t)(uintptr_t)argument;
    char name[32];

    for (uint64_t i = 0; i < PER_THREAD; i++) {
        struct trace_record record = support_record(index * PER_THREAD + i);

        if (i % 1000 == 0) {
            snprintf(name, sizeof name, "text %llu", (unsigned long long)(i / 1000));
            cr_assert(trace_writer_string(shared_writer, name) != 0);
        }
        record.site = trace_writer_site(shared_writer, (const char *)support_emit + i % 64);
        cr_assert(record.site != 0);
        record.site = 0;
        trace_writer_emit(shared_writer, &record);
    }
    return NULL;
}

Test(trace, many_threads, .timeout = 120)
{
    char path[SUPPORT_PATH_BYTES];
    pthread_t thread[THREADS];
    struct trace_reader *reader;

    support_path(path);
    shared_writer = support_open(path);
    for (uintptr_t i = 0; i < THREADS; i++)
        cr_assert(pthread_create(&thread[i], NULL, thread_emit, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    trace_writer_close(shared_writer);
    reader = support_read(path);
    cr_expect(support_count(reader) == (uint64_t)THREADS * PER_THREAD);
    cr_expect(trace_reader_summary(reader)->complete);
    cr_expect(trace_reader_summary(reader)->open_blocks == 0, "all blocks are sealed");
    trace_reader_close(reader);
    support_remove(path);
}

static void *thread_emit_one(void *argument)
{
    support_emit(shared_writer, (uint64_t)(uintptr_t)argument, 1);
    return NULL;
}

Test(trace, ended_threads_leave_their_blocks, .timeout = 60)
{
    char path[SUPPORT_PATH_BYTES];
    struct trace_reader *reader;

    support_path(path);
    shared_writer = support_open(path);
    for (uintptr_t i = 1; i <= 500; i++) {
        pthread_t thread;

        cr_assert(pthread_create(&thread, NULL, thread_emit_one, (void *)i) == 0);
        pthread_join(thread, NULL);
    }
    trace_writer_close(shared_writer);
    reader = support_read(path);
    cr_expect(support_count(reader) == 500);
    cr_expect(trace_reader_summary(reader)->blocks < 50, "not a block for each of 500 threads");
    trace_reader_close(reader);
    support_remove(path);
}

static volatile bool emitting;

static void *thread_emit_on(void *argument)
{
    for (uint64_t i = 1; emitting; i++)
        support_emit(shared_writer, i, 1);
    return NULL;
}

Test(trace, closing_while_threads_emit, .timeout = 60)
{
    for (int round = 0; round < 20; round++) {
        char path[SUPPORT_PATH_BYTES];
        struct trace_reader *reader;
        pthread_t thread[3];

        support_path(path);
        shared_writer = support_open(path);
        emitting = true;
        for (int i = 0; i < 3; i++)
            cr_assert(pthread_create(&thread[i], NULL, thread_emit_on, NULL) == 0);
        support_emit(shared_writer, 1, (uint64_t)round * 700);
        trace_writer_close(shared_writer);
        reader = support_read(path);
        support_count(reader);
        trace_reader_close(reader);
        emitting = false;
        for (int i = 0; i < 3; i++)
            pthread_join(thread[i], NULL);
        reader = support_read(path);
        support_count(reader);
        cr_expect(trace_reader_summary(reader)->lost_records == 0);
        trace_reader_close(reader);
        support_remove(path);
    }
}

Test(trace, a_child_after_fork_is_inert)
{
    char path[SUPPORT_PATH_BYTES];
    struct trace_writer *writer;
    struct trace_reader *reader;
    int status;
    pid_t child;

    support_path(path);
    writer = support_open(path);
    support_emit(writer, 1, 10);
    child = fork();
    if (child == 0) { /* without, then with the call for it */
        support_emit(writer, 1000, 3000);
        trace_writer_fork_child(writer);
        support_emit(writer, 5000, 3000);
        trace_writer_close(writer);
        _exit(trace_writer_string(writer, "child") != 0);
    }
    cr_assert(waitpid(child, &status, 0) == child && status == 0);
    support_emit(writer, 20, 10);
    trace_writer_close(writer);
    reader = support_read(path);
    cr_expect(support_count(reader) == 20, "only what the parent wrote");
    cr_expect(trace_reader_summary(reader)->complete);
    trace_reader_close(reader);
    support_remove(path);
}

/** A child emits until it is killed; `written` counts its completed writes. */
static void killed_child(const char *path, atomic_ullong *written)
{
    struct trace_writer *writer;

    if (trace_writer_open(path, &writer) < 0)
        _exit(1);
    for (uint64_t i = 1;; i++) {
        support_emit(writer, i, 1);
        if (i % 97 == 0)
            trace_writer_string(writer, (char[]){'s', (char)('a' + i % 26), '\0'});
        atomic_store(written, i);
    }
}

Test(trace, kill_at_any_moment_loses_nothing_written, .timeout = 120)
{
    uint64_t seed = support_seed();
    atomic_ullong *written = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                                  -1, 0);

    for (int round = 0; round < 40; round++) {
        uint64_t until = support_random(&seed) % 20000 + 1, spin = support_random(&seed) % 5000;
        char path[SUPPORT_PATH_BYTES];
        struct trace_reader *reader;
        uint64_t count;
        pid_t child;

        support_path(path);
        atomic_store(written, 0);
        child = fork();
        if (child == 0)
            killed_child(path, written);
        while (atomic_load(written) < until)
            sched_yield();
        for (volatile uint64_t i = 0; i < spin; i++)
            ;
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        reader = support_read(path);
        count = support_count(reader);
        cr_expect(count >= atomic_load(written), "%llu of %llu", (unsigned long long)count,
                  (unsigned long long)atomic_load(written));
        cr_expect(count <= atomic_load(written) + 1);
        cr_expect(!trace_reader_summary(reader)->closed);
        cr_expect(!trace_reader_summary(reader)->complete);
        cr_expect(trace_reader_summary(reader)->lost_records <= 1);
        trace_reader_close(reader);

        cr_expect(trace_file_append_exit(path, SIGKILL) == 0);
        reader = support_read(path);
        cr_expect(support_count(reader) == count, "the exit record disturbs nothing");
        trace_reader_close(reader);
        support_remove(path);
    }
}

Test(trace, a_taken_name_is_never_overwritten)
{
    char path[SUPPORT_PATH_BYTES], wanted[SUPPORT_PATH_BYTES + 32];
    struct trace_writer *first, *second, *third;

    support_path(path);
    first = support_open(path);
    support_emit(first, 1, 7);
    second = support_open(path);
    third = support_open(path);
    snprintf(wanted, sizeof wanted, "%s.%d", path, getpid());
    cr_expect_str_eq(trace_writer_path(second), wanted);
    snprintf(wanted, sizeof wanted, "%s.%d.1", path, getpid());
    cr_expect_str_eq(trace_writer_path(third), wanted);
    support_emit(second, 1, 3);
    support_emit(first, 8, 1);
    trace_writer_close(first);
    trace_writer_close(second);
    trace_writer_close(third);
    {
        struct trace_reader *reader = support_read(path);

        cr_expect(support_count(reader) == 8);
        trace_reader_close(reader);
    }
    support_remove(path);
}

Test(trace, places_that_cannot_be_written)
{
    char path[SUPPORT_PATH_BYTES], longest[PATH_MAX + 10];
    struct trace_writer *writer = (void *)1;

    support_path(path);
    *strrchr(path, '/') = '\0';
    cr_expect(trace_writer_open("/nonexistent/t.cupool", &writer) == -ENOENT);
    cr_expect(trace_writer_open("/proc/t.cupool", &writer) < 0);
    cr_expect(writer == (void *)1, "untouched on failure");
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    cr_expect(trace_writer_open(longest, &writer) == -ENAMETOOLONG);
    rmdir(path);
}

/** Writes until the recording stops; the program goes on and the file is whole up to there. */
static void fill(const char *path, int wanted_errno, uint64_t most)
{
    struct trace_writer *writer = support_open(path);
    struct trace_reader *reader;
    uint64_t emitted = 0, count;

    while (trace_writer_error(writer) == 0 && emitted < most)
        support_emit(writer, ++emitted, 1);
    cr_expect(trace_writer_error(writer) == wanted_errno);
    support_emit(writer, emitted + 1, 10000);
    emitted += 10000;
    trace_writer_close(writer);
    reader = support_read(path);
    count = support_count(reader);
    cr_expect(count > 1000);
    cr_expect(count + trace_reader_summary(reader)->dropped_records == emitted,
              "each record is there or counted");
    cr_expect(trace_reader_summary(reader)->stop_errno == (uint32_t)wanted_errno);
    cr_expect(!trace_reader_summary(reader)->complete);
    trace_reader_close(reader);
}

/** Beyond RLIMIT_FSIZE the kernel sends SIGXFSZ, which must never reach the program. */
Test(trace, a_file_size_limit_stops_the_recording_only)
{
    const struct rlimit limit = {(5 << 20) + 12345, (5 << 20) + 12345};
    char path[SUPPORT_PATH_BYTES];

    support_path(path);
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    fill(path, EFBIG, 1000000);
    support_remove(path);
}

/** The same for files shared with other processes: a page or a board that is not available. */
Test(living_file, a_file_size_limit_is_an_error)
{
    const struct rlimit limit = {4096, 4096};
    char path[SUPPORT_PATH_BYTES];
    void *map;
    int directory;

    support_path(path);
    *strrchr(path, '/') = '\0';
    directory = living_directory_open(path, true);
    cr_assert(directory >= 0);
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    cr_expect(living_file_create(directory, "large", 65536, &map) == -EFBIG);
    cr_expect(faccessat(directory, "large", F_OK, 0) < 0, "nothing is left behind");
    cr_expect(living_file_create(directory, "small", 4096, &map) == 0);
    unlinkat(directory, "small", 0);
    close(directory);
}

/** A tmpfs of 3 MiB, in a mount namespace of our own. Skipped where that is not allowed. */
Test(trace, a_full_disk_stops_the_recording_only)
{
    char path[SUPPORT_PATH_BYTES], directory[SUPPORT_PATH_BYTES];

    support_path(path);
    snprintf(directory, sizeof directory, "%s", path);
    *strrchr(directory, '/') = '\0';
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("cupool", directory, "tmpfs", 0, "size=3m") < 0) {
        support_remove(path);
        cr_skip_test("cannot mount a small tmpfs: %s", strerror(errno));
    }
    fill(path, ENOSPC, 1000000);
    umount(directory);
    support_remove(path);
}

/** A limit applies to blocks in use, one less than requested; returned blocks are not new ones. */
Test(trace_store, a_limit_is_kept_to_the_block)
{
    enum { BLOCKS = 40 };
    char path[SUPPORT_PATH_BYTES];
    struct trace_store store;
    struct stat status;
    uint32_t sequence = 0;
    void *block, *last = NULL;
    int error, count = 0;

    support_path(path);
    cr_assert(trace_store_open(&store, path, (uint64_t)BLOCKS * TRACE_BLOCK_BYTES) == 0);
    while ((error = trace_store_block(&store, TRACE_STORE_EVENTS, &block, &sequence)) == 0 &&
           count++ < 3 * BLOCKS) {
        memset(block, 1, TRACE_BLOCK_BYTES);
        last = block;
    }
    cr_expect(error == -EAGAIN && count == BLOCKS - 1, "%d blocks", count);
    cr_expect(trace_store_left_locked(&store) == 0);
    trace_store_return_locked(&store, BLOCKS - 2);
    cr_expect(trace_store_left_locked(&store) == 1);
    cr_assert(trace_store_block(&store, TRACE_STORE_EVENTS, &block, &sequence) == 0);
    cr_expect(block == last && !*(const char *)block, "it is the same one, all zero");
    cr_expect(trace_store_block(&store, TRACE_STORE_EVENTS, &block, &sequence) == -EAGAIN);
    trace_store_finish(&store);
    cr_assert(stat(path, &status) == 0);
    cr_expect(status.st_size == (BLOCKS - 1) * (off_t)TRACE_BLOCK_BYTES, "%lld bytes",
              (long long)status.st_size);
    support_remove(path);
}

/** A limited file continues in its own space; if that is too small, the disk is the reason. */
Test(trace, a_full_disk_is_the_reason_below_a_limit_too)
{
    struct trace_record record = {.kind = TRACE_EVENT_ALLOCATE,
                                  .memory = TRACE_MEMORY_DEVICE,
                                  .context = 1,
                                  .size = 512,
                                  .value = 512};
    char path[SUPPORT_PATH_BYTES], directory[SUPPORT_PATH_BYTES];
    struct trace_writer *writer;

    support_path(path);
    snprintf(directory, sizeof directory, "%s", path);
    *strrchr(directory, '/') = '\0';
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("cupool", directory, "tmpfs", 0, "size=1m") < 0) {
        support_remove(path);
        cr_skip_test("cannot mount a small tmpfs: %s", strerror(errno));
    }
    cr_assert(trace_writer_open_limited(path, UINT64_C(64) << 20, &writer) == 0);
    for (uint64_t i = 1; i < 200000 && trace_writer_error(writer) == 0; i++) {
        record.address = i << 20; /* every block stays live, so the figures of all grow */
        record.time_ns = i * 1000;
        trace_writer_emit(writer, &record);
    }
    cr_expect(trace_writer_error(writer) == ENOSPC, "%s", strerror(trace_writer_error(writer)));
    trace_writer_close(writer);
    umount(directory);
    support_remove(path);
}

/** Beside a device, a pipe or a directory there is no trace of a similar name. */
Test(trace, what_is_no_file_is_refused)
{
    char path[SUPPORT_PATH_BYTES], link[SUPPORT_PATH_BYTES + 8];
    struct trace_writer *writer = (void *)1;
    struct stat status;

    support_path(path);
    cr_assert(mkfifo(path, 0600) == 0);
    cr_expect(trace_writer_open(path, &writer) == -EINVAL);
    snprintf(link, sizeof link, "%s.link", path);
    cr_assert(symlink("/dev/null", link) == 0);
    cr_expect(trace_writer_open(link, &writer) == -EINVAL);
    cr_expect(unlink(link) == 0 && rmdir(path) < 0 && unlink(path) == 0);
    *strrchr(path, '/') = '\0';
    cr_expect(rmdir(path) == 0, "nothing else was made");
    cr_expect(trace_writer_open("/dev/null", &writer) == -EINVAL);
    cr_expect(writer == (void *)1, "untouched on failure");
    snprintf(path, sizeof path, "/dev/null.%d", getpid());
    cr_expect(lstat(path, &status) < 0);
}

/** A program that closes every descriptor must not find trace blocks in its own files. */
Test(trace, descriptors_closed_by_the_program)
{
    char path[SUPPORT_PATH_BYTES];
    struct trace_writer *writer;
    struct trace_reader *reader;
    struct stat status;
    int own;

    support_path(path);
    writer = support_open(path);
    support_emit(writer, 1, 100);
    for (int fd = 100; fd < 2000; fd++)
        close(fd);
    own = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    cr_assert(own >= 0);
    for (int fd = 900; fd < 910; fd++)
        cr_assert(dup2(own, fd) == fd);
    support_emit(writer, 101, 100000);
    trace_writer_close(writer);
    cr_assert(fstat(own, &status) == 0);
    cr_expect((uint64_t)status.st_size == 0, "the program's file is its own");
    cr_expect(fstat(900, &status) == 0, "and its descriptors stay open");
    reader = support_read(path);
    cr_expect(support_count(reader) == 100100);
    trace_reader_close(reader);
    support_remove(path);
}

Test(trace, errno_is_left_alone)
{
    char path[SUPPORT_PATH_BYTES];
    struct trace_writer *writer;

    support_path(path);
    writer = support_open(path);
    errno = EXDEV;
    support_emit(writer, 1, 50000);
    trace_writer_string(writer, "text");
    trace_writer_site(writer, (const void *)support_emit);
    trace_writer_close(writer);
    cr_expect(errno == EXDEV);
    support_remove(path);
}

Test(trace, time_goes_on)
{
    char path[SUPPORT_PATH_BYTES];
    struct trace_writer *writer;
    uint64_t last = 0;

    support_path(path);
    writer = support_open(path);
    for (int i = 0; i < 1000000; i++) {
        uint64_t now = trace_writer_now(writer);

        cr_assert(now >= last, "not backwards: %llu after %llu", (unsigned long long)now,
                  (unsigned long long)last);
        last = now;
    }
    cr_expect(last > 0);
    trace_writer_close(writer);
    support_remove(path);
}

Test(trace, path_patterns)
{
    char path[PATH_MAX], wanted[PATH_MAX], host[HOST_NAME_MAX + 1];

    setenv("RANK", "3/x", 1);
    unsetenv("UNSET");
    gethostname(host, sizeof host);
    snprintf(wanted, sizeof wanted, "a/%d-trace_writer_test-%s-3_x--%%.t", getpid(), host);
    cr_expect(trace_path_expand("a/%p-%e-%h-%q{RANK}-%q{UNSET}-%%.t", path, sizeof path) == 0);
    cr_expect_str_eq(path, wanted);
    cr_expect(trace_path_expand("%n", path, sizeof path) == 0);
    cr_expect_str_eq(path, "1");
    cr_expect(trace_path_expand("%n", path, sizeof path) == 0);
    cr_expect_str_eq(path, "2");
    cr_expect(trace_path_expand("%z", path, sizeof path) == -EINVAL);
    cr_expect(trace_path_expand("x%", path, sizeof path) == -EINVAL);
    cr_expect(trace_path_expand("%q{", path, sizeof path) == -EINVAL);
    cr_expect(trace_path_expand("%q{}", path, sizeof path) == -EINVAL);
    cr_expect(trace_path_expand("", path, sizeof path) == -EINVAL);
    cr_expect(trace_path_expand("abcdef", path, 6) == -ENAMETOOLONG);
    cr_expect(trace_path_expand("abcde", path, 6) == 0);
    cr_expect_str_eq(path, "abcde");
}
