/* SPDX-License-Identifier: MIT */
/*
 * While a page is written, the next row and figure are kept by the writer and not in the page.
 */
#include "cupti/live/live_page.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cupti/base/safe_text.h"
#include "cupti/live/living_file.h"

#define READ_TRIES    100
#define READ_PAUSE_NS 100000

static unsigned next_figure; /* of the row being written; guarded by the caller, like the page */

static uint64_t realtime_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/** Processes of two namespaces may have the same pid and the same directory for their pages. */
static uint32_t pid_namespace(void)
{
    struct stat status;

    return stat("/proc/self/ns/pid", &status) == 0 ? (uint32_t)status.st_ino : 0;
}

static void name_of(char ret_name[LIVE_FILE_BYTES])
{
    snprintf(ret_name, LIVE_FILE_BYTES, LIVE_PAGE_PREFIX "%d.%u", getpid(), pid_namespace());
}

int live_page_create(const char *where, const char *command, bool pooled,
                     struct live_page **ret_page)
{
    char name[LIVE_FILE_BYTES];
    void *map = NULL;
    int directory = living_directory_open(where, true);

    if (directory < 0)
        return directory;
    living_files_visit(directory, LIVE_PAGE_PREFIX, NULL, NULL);
    name_of(name);
    int error = living_file_create(directory, name, sizeof(struct live_page), &map);
    close(directory);
    if (error < 0)
        return error;

    struct live_page *page = map;
    page->version = LIVE_PAGE_VERSION;
    page->pid = (uint32_t)getpid();
    page->pid_namespace = pid_namespace();
    page->pooled = pooled;
    page->start_realtime_ns = page->update_realtime_ns = realtime_ns();
    snprintf(page->command, sizeof page->command, "%s", command);
    safe_text_end(page->command, sizeof page->command);
    __atomic_store_n(&page->magic, LIVE_PAGE_MAGIC, __ATOMIC_RELEASE);
    *ret_page = page;
    return 0;
}

void live_page_remove(const char *where, struct live_page *page)
{
    char name[LIVE_FILE_BYTES];

    if (!page)
        return;
    name_of(name);
    living_file_remove(where, name);
}

void live_page_begin(struct live_page *page)
{
    __atomic_store_n(&page->sequence, page->sequence + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    page->contexts = 0;
}

void live_page_context(struct live_page *page, uint32_t number, uint32_t device)
{
    next_figure = LIVE_FIGURES_MAX;
    if (page->contexts == LIVE_CONTEXTS_MAX)
        return;
    page->context[page->contexts].number = number;
    page->context[page->contexts].device = device;
    page->contexts++;
    next_figure = 0;
}

void live_page_figure(struct live_page *page, const char *name, enum live_figure kind,
                      struct live_value value)
{
    if (next_figure >= LIVE_FIGURES_MAX)
        return;
    if (next_figure == page->figures) {
        struct live_name *row = &page->name[page->figures++];

        /* Formats by hand: printf takes 2 KiB of the caller's stack. */
        memcpy(row->text, name, strnlen(name, sizeof row->text - 1));
        row->total = kind == LIVE_FIGURE_TOTAL;
        row->peaked = kind == LIVE_FIGURE_PEAKED;
    }
    page->context[page->contexts - 1].value[next_figure++] = value;
}

void live_page_kind(struct live_page *page, unsigned memory, uint64_t blocks, uint64_t bytes)
{
    if (memory < LIVE_KINDS_MAX)
        page->kind[memory] = (struct live_kind){blocks, bytes};
}

void live_page_device(struct live_page *page, const struct live_device *device)
{
    uint32_t row = 0;

    while (row < page->devices && page->device[row].number != device->number)
        row++;
    if (row == LIVE_DEVICES_MAX)
        return;
    page->device[row] = *device;
    if (row == page->devices)
        page->devices++;
}

void live_page_requested(struct live_page *page, struct live_value requested)
{
    page->requested = requested;
}

void live_page_end(struct live_page *page)
{
    page->updates++;
    page->update_realtime_ns = realtime_ns();
    __atomic_store_n(&page->sequence, page->sequence + 1, __ATOMIC_RELEASE);
}

/** Enforces the bounds that a reader relies on, whatever the file contained. */
static int page_check(struct live_page *page)
{
    if (page->magic != LIVE_PAGE_MAGIC || page->version != LIVE_PAGE_VERSION ||
        page->figures > LIVE_FIGURES_MAX || page->contexts > LIVE_CONTEXTS_MAX ||
        page->devices > LIVE_DEVICES_MAX)
        return -EINVAL;
    page->command[sizeof page->command - 1] = '\0';
    for (unsigned i = 0; i < page->figures; i++) {
        char *text = page->name[i].text;

        text[LIVE_NAME_BYTES - 1] = '\0';
        if (!*text || text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_")])
            return -EINVAL;
    }
    return 0;
}

static int read_at(int file, void *ret_bytes, size_t bytes, size_t offset)
{
    ssize_t length = pread(file, ret_bytes, bytes, (off_t)offset);

    if (length < 0)
        return -errno;
    return (size_t)length == bytes ? 0 : -EINVAL;
}

static int page_copy(int file, struct live_page *page)
{
    return read_at(file, page, sizeof *page, 0);
}

static int sequence_read(int file, uint64_t *ret_sequence)
{
    return read_at(file, ret_sequence, sizeof *ret_sequence, offsetof(struct live_page, sequence));
}

int live_page_read(int file, struct live_page *ret_page)
{
    static const struct timespec pause = {.tv_nsec = READ_PAUSE_NS};
    int error = 0;

    for (int i = 0; i < READ_TRIES && error == 0; i++) {
        uint64_t before = 0, after = 0;

        error = sequence_read(file, &before);
        if (error == 0)
            error = page_copy(file, ret_page);
        if (error == 0)
            error = sequence_read(file, &after);
        if (error == 0 && before == after && !(after & 1))
            return page_check(ret_page);
        nanosleep(&pause, NULL);
    }
    return error < 0 ? error : -EAGAIN;
}
