/* SPDX-License-Identifier: MIT */
#include "tests/unit/cupti/trace_support.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void support_path(char *ret_path)
{
    char directory[] = "/tmp/cupool-trace-XXXXXX";

    cr_assert(mkdtemp(directory));
    snprintf(ret_path, SUPPORT_PATH_BYTES, "%s/t.cupool", directory);
}

void support_remove(const char *path)
{
    char directory[SUPPORT_PATH_BYTES], name[SUPPORT_PATH_BYTES + 256];
    struct dirent *entry;
    DIR *list;

    snprintf(directory, sizeof directory, "%s", path);
    *strrchr(directory, '/') = '\0';
    list = opendir(directory);
    while (list && (entry = readdir(list))) {
        snprintf(name, sizeof name, "%s/%s", directory, entry->d_name);
        if (entry->d_name[0] != '.')
            unlink(name);
    }
    if (list)
        closedir(list);
    rmdir(directory);
}

struct trace_writer *support_open(const char *path)
{
    struct trace_writer *writer = NULL;
    int error = trace_writer_open(path, &writer);

    cr_assert(error == 0, "open %s: %s", path, strerror(-error));
    return writer;
}

struct trace_record support_record(uint64_t number)
{
    return (struct trace_record){.kind = TRACE_EVENT_ALLOCATE,
                                 .outcome = (uint8_t)(number % 5 + 1),
                                 .memory = (uint8_t)(number % 11 + 1),
                                 .device = (uint16_t)(number * 7),
                                 .latency = (uint32_t)(number * 31),
                                 .size = number * UINT64_C(0x9e3779b97f4a7c15),
                                 .address = number,
                                 .context = (uint32_t)(number * 13),
                                 .stream = (uint32_t)(number * 17),
                                 .value = ~number};
}

void support_emit(struct trace_writer *writer, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        struct trace_record record = support_record(i);

        trace_writer_emit(writer, &record);
    }
}

void support_check(const struct trace_record *record)
{
    struct trace_record wanted = support_record(record->address);

    wanted.thread = record->thread;
    wanted.time_ns = record->time_ns;
    cr_assert(memcmp(record, &wanted, sizeof wanted) == 0, "record %llu is whole",
              (unsigned long long)record->address);
}

struct trace_reader *support_read(const char *path)
{
    struct trace_reader *reader = NULL;
    char why[256] = "";
    int error = trace_reader_open(path, &reader, why, sizeof why);

    cr_assert(error == 0, "%s: %s", path, why);
    return reader;
}

uint64_t support_count(struct trace_reader *reader)
{
    struct trace_record record;
    char why[256] = "";
    uint64_t count = 0, last = 0;
    int error;

    while ((error = trace_reader_next(reader, &record, why, sizeof why)) > 0) {
        cr_assert(trace_record_order_ns(&record) >= last, "in the order of time");
        last = trace_record_order_ns(&record);
        if (record.kind != TRACE_EVENT_ALLOCATE)
            continue;
        support_check(&record);
        count++;
    }
    cr_assert(error == 0, "%s", why);
    return count;
}

unsigned char *support_load(const char *path, size_t *ret_bytes)
{
    FILE *file = fopen(path, "rb");
    unsigned char *data;
    long bytes;

    cr_assert(file && fseek(file, 0, SEEK_END) == 0);
    bytes = ftell(file);
    rewind(file);
    data = malloc((size_t)bytes + 1);
    cr_assert(data && fread(data, 1, (size_t)bytes, file) == (size_t)bytes);
    fclose(file);
    *ret_bytes = (size_t)bytes;
    return data;
}

void support_store(const char *path, const unsigned char *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");

    cr_assert(file && fwrite(data, 1, bytes, file) == bytes);
    cr_assert(fclose(file) == 0);
}

uint64_t support_seed(void)
{
    const char *given = getenv("CUPOOL_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0)
                          : (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();

    fprintf(stderr, "CUPOOL_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

uint64_t support_random(uint64_t *state)
{
    uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);

    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}
