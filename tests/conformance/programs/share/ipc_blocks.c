/* SPDX-License-Identifier: MIT */
/*
 * Blocks of every size shared by their own pointers, without a query for the range: several small
 * ones at once, through pointers into their middle, opened twice, closed in another order, freed
 * and shared again, also after the end of their context.
 *
 * Arguments for single runs: "serve" exports and waits for lines on stdin (a number frees that
 * block, anything else ends it), "serve-ranges" does so as libraries do that ask for the range and
 * export its base, "serve-fork" with a child that ends before, "serve-large" one large block,
 * "serve-threads" from several threads at once, "serve-leave" leaves by pthread_exit; "open
 * HANDLE[+OFFSET]..." opens what another process serves, "hold HANDLE..." keeps it open until a
 * line comes on stdin, "race HANDLE..." opens and closes it from several threads at once, "try "
 * opens, checks and closes the handle of each line on stdin, and answers by a line.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "route.h"
#include "program.h"

#define BLOCKS      6
#define TEXT_BYTES  (2 * sizeof(CUipcMemHandle))
#define ALL_BYTES   (BLOCKS * (TEXT_BYTES + 20) + 16)
#define CHECK_BYTES 100
#define LARGE_BYTES (((size_t)70 << 20) + 1000)
#define THREADS     4
#define RACES       25

static const size_t sizes[BLOCKS] = {1000, 1000, 3000, 200000, 200000, (size_t)8 << 20};

static void to_text(const CUipcMemHandle *handle, char *text)
{
    for (size_t i = 0; i < sizeof(*handle); i++)
        text += sprintf(text, "%02x", (unsigned char)handle->reserved[i]);
}

static void from_text(const char *text, CUipcMemHandle *ret_handle)
{
    for (size_t i = 0; i < sizeof(*ret_handle); i++, text += 2) {
        char digits[3] = {text[0], text[1], 0};

        ret_handle->reserved[i] = (char)strtoul(digits, NULL, 16);
    }
}

/* An opened pointer is a separate range, like the block in the exporter. */
static void ask(const char *opened)
{
    CUdeviceptr base = 0, start = 0, address = (CUdeviceptr)(uintptr_t)opened;
    size_t size = 0, range = 0;

    DRIVER(cuMemGetAddressRange)(&base, &size, address + 1);
    DRIVER(cuPointerGetAttribute)(&start, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, address);
    DRIVER(cuPointerGetAttribute)(&range, CU_POINTER_ATTRIBUTE_RANGE_SIZE, address);
    printf("  begins at %lld, %zu bytes, start agrees %d, size agrees %d\n",
           (long long)(base - address), size, start == base, range == size);
    if (size % 512)
        route_report("  behind it", DRIVER(cuMemGetAddressRange)(&base, &size, address + size));
}

static unsigned long long id_of(const char *opened)
{
    unsigned long long id = 0;

    DRIVER(cuPointerGetAttribute)
    (&id, CU_POINTER_ATTRIBUTE_BUFFER_ID, (CUdeviceptr)(uintptr_t)opened);
    return id;
}

static void synchronous(char *const opened[], int count, unsigned value)
{
    for (int i = 0; i < count; i += 2)
        route_report("  set",
                     DRIVER(cuPointerSetAttribute)(&value, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS,
                                                   (CUdeviceptr)(uintptr_t)opened[i]));
    for (int i = 0; i < count; i++) {
        unsigned now = 9;

        DRIVER(cuPointerGetAttribute)
        (&now, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, (CUdeviceptr)(uintptr_t)opened[i]);
        printf("%s%u%s", i ? ", " : "  synchronous: ", now, i + 1 < count ? "" : "\n");
    }
}

/* Opens each handle twice, reads, writes and closes in the order of opening. */
static int child_open(char *handles)
{
    char *opened[BLOCKS] = {0}, *again;
    size_t offset[BLOCKS] = {0};
    unsigned long long id[BLOCKS];
    unsigned char bytes[CHECK_BYTES];
    CUipcMemHandle handle;
    int count = 0;

    for (char *text = strtok(handles, " "); text && count < BLOCKS; text = strtok(NULL, " ")) {
        from_text(text, &handle);
        if (strchr(text, '+'))
            offset[count] = strtoul(strchr(text, '+'), NULL, 16);
        int error = route_ipc_open((void **)&opened[count], handle);
        route_report("  open", error);
        if (error)
            continue;
        route_report("  again", route_ipc_open((void **)&again, handle));
        printf("  same: %d\n", again == opened[count]);
        ask(again);
        id[count] = id_of(again);
        for (int i = 0; i < count; i++)
            if (id[i] == id[count])
                printf("  two blocks, one id: %d %d\n", i, count);
        count++;
    }
    synchronous(opened, count, 1);
    for (int i = 0; i < count; i++) {
        route_report("  read", route_read(bytes, opened[i] + offset[i], CHECK_BYTES));
        printf("  bytes: %d %d\n", bytes[0], bytes[CHECK_BYTES - 1]);
        route_report("  close", route_ipc_close(opened[i]));
        printf("  same id: %d\n", id[i] == id_of(opened[i]));
        route_report("  write", route_fill(opened[i] + offset[i], bytes[0] + 100, CHECK_BYTES));
    }
    synchronous(opened, count, 0);
    route_report("  wait", route_synchronize());
    for (int i = 0; i < count; i++) {
        route_report("  close", route_ipc_close(opened[i]));
        route_report("  once more", route_ipc_close(opened[i]));
        printf("  gone: %d\n", id_of(opened[i]) == 0);
    }
    route_report("  last error", route_last_error());
    return 0;
}

/* Opens all, and reads and writes them after whatever has happened meanwhile. */
static int child_hold(char *handles)
{
    char *opened[BLOCKS] = {0}, line[16];
    unsigned char bytes[CHECK_BYTES];
    CUipcMemHandle handle;
    int count = 0;

    for (char *text = strtok(handles, " "); text && count < BLOCKS; text = strtok(NULL, " ")) {
        from_text(text, &handle);
        route_report("  open", route_ipc_open((void **)&opened[count++], handle));
    }
    printf("held\n");
    fflush(stdout);
    if (!fgets(line, sizeof(line), stdin))
        return 1;
    for (int i = 0; i < count; i++) {
        route_report("  read", route_read(bytes, opened[i], CHECK_BYTES));
        printf("  bytes: %d %d\n", bytes[0], bytes[CHECK_BYTES - 1]);
        route_report("  write", route_fill(opened[i], 77, CHECK_BYTES));
        route_report("  read", route_read(bytes, opened[i], CHECK_BYTES));
        printf("  bytes now: %d %d\n", bytes[0], bytes[CHECK_BYTES - 1]);
        route_report("  close", route_ipc_close(opened[i]));
    }
    return 0;
}

/* Opens a block that the driver may refuse to close; then it is open as before, or another opening
 * is not affected. */
static int child_close(const char *text)
{
    unsigned char bytes[CHECK_BYTES];
    CUipcMemHandle handle;
    char *opened = NULL, *second = NULL;

    from_text(text, &handle);
    route_report("open", route_ipc_open((void **)&opened, handle));
    for (int tries = 0; route_ipc_close(opened) && tries < 4; tries++) {
        size_t last = LARGE_BYTES - CHECK_BYTES;

        route_report("refused; open", route_ipc_open((void **)&second, handle));
        printf("the same: %d\n", second == opened);
        route_report("read", route_read(bytes, second, CHECK_BYTES));
        printf("first: %d\n", bytes[0]);
        route_report("read", route_read(bytes, second + last, CHECK_BYTES));
        printf("last: %d\n", bytes[0]);
        if (second != opened)
            route_report("close", route_ipc_close(second));
        else
            route_report("opened twice; close", route_ipc_close(second));
    }
    route_report("once more", route_ipc_close(opened));
    return 0;
}

/* One handle of a line, which may lie: what opens can be read from its first to its last byte. */
static void try_handle(const char *text)
{
    CUipcMemHandle handle;
    CUdeviceptr base = 0;
    size_t bytes = 0;
    unsigned char first = 0, last = 0;
    char *opened = NULL;

    from_text(text, &handle);
    int error = route_ipc_open((void **)&opened, handle);
    if (error) {
        printf("refused %d\n", error);
        return;
    }
    int ranged = (int)DRIVER(cuMemGetAddressRange)(&base, &bytes, (CUdeviceptr)(uintptr_t)opened);
    bool begins = ranged == 0 && base == (CUdeviceptr)(uintptr_t)opened && bytes > 0;
    int read = begins ? route_read(&first, opened, 1) : -1;
    if (read == 0)
        read = route_read(&last, opened + bytes - 1, 1);
    int closed = route_ipc_close(opened);
    printf("%s %zu %d %d\n", read == 0 && closed == 0 ? "opened" : "wrong", bytes, first, last);
}

static int child_try(void)
{
    char line[TEXT_BYTES + 2];

    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        try_handle(line);
        fflush(stdout);
    }
    return 0;
}

/* Every block by a pointer to it; the handles as one text. */
static void export_silently(char *const blocks[BLOCKS], char *text)
{
    CUipcMemHandle handle;

    for (int i = 0; i < BLOCKS; i++) {
        memset(&handle, 0, sizeof(handle));
        route_ipc_export(&handle, blocks[i]);
        to_text(&handle, text + (size_t)i * (TEXT_BYTES + 1));
        text[(size_t)(i + 1) * (TEXT_BYTES + 1) - 1] = i + 1 < BLOCKS ? ' ' : 0;
    }
}

/** What threads do at once, each in its turn through all blocks. */
struct racer {
    pthread_t thread;
    const char *handles;
    char *const *blocks;
    char text[ALL_BYTES];
    int wrong;
};

static void *open_and_close(void *argument)
{
    struct racer *racer = argument;
    CUipcMemHandle handle;
    unsigned char bytes[CHECK_BYTES];

    for (int round = 0; round < RACES; round++)
        for (const char *text = racer->handles; *text; text += TEXT_BYTES + 1) {
            char *opened;

            from_text(text, &handle);
            racer->wrong += route_ipc_open((void **)&opened, handle) != 0;
            racer->wrong += route_read(bytes, opened, CHECK_BYTES) != 0;
            racer->wrong += bytes[0] < 10 || bytes[0] >= 10 + BLOCKS || bytes[0] != bytes[9];
            racer->wrong += route_ipc_close(opened) != 0;
            if (strlen(text) <= TEXT_BYTES)
                break;
        }
    return NULL;
}

/* The runtime makes a thread's context at its first call, the driver needs it to be set. */
static CUcontext shared_context;

static void *race_begin(void *argument)
{
    struct racer *racer = argument;

    DRIVER(cuCtxSetCurrent)(shared_context);
    if (racer->handles)
        return open_and_close(racer);
    export_silently(racer->blocks, racer->text);
    return NULL;
}

static int race(const char *handles, char *const *blocks, char *ret_text)
{
    static struct racer racers[THREADS];
    int wrong = 0;

    DRIVER(cuCtxGetCurrent)(&shared_context);
    for (int i = 0; i < THREADS; i++) {
        racers[i] = (struct racer){.handles = handles, .blocks = blocks};
        pthread_create(&racers[i].thread, NULL, race_begin, &racers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(racers[i].thread, NULL);
        wrong += racers[i].wrong + (strcmp(racers[i].text, racers[0].text) != 0);
    }
    if (ret_text)
        strcpy(ret_text, racers[0].text);
    printf("race: %d wrong\n", wrong);
    return 0;
}

static void child_run(const char *self, const char *route, const char *handles)
{
    char text[ALL_BYTES + 8];

    snprintf(text, sizeof(text), "open %s", handles);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        execl(self, self, "ipc_blocks", route, text, NULL);
        _exit(127);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    printf("child: %d\n", status);
}

static void allocate(char *blocks[BLOCKS])
{
    for (int i = 0; i < BLOCKS; i++) {
        route_report("allocate", route_allocate((void **)&blocks[i], sizes[i]));
        route_report("fill", route_fill(blocks[i], 10 + i, sizes[i]));
    }
    route_report("wait", route_synchronize());
}

/* Every block by a pointer into it; the handles as one text. */
static void export_all(char *blocks[BLOCKS], size_t offset, char *text)
{
    CUipcMemHandle handles[BLOCKS];

    for (int i = 0; i < BLOCKS; i++) {
        route_report("export", route_ipc_export(&handles[i], blocks[i] + offset));
        to_text(&handles[i], text + (size_t)i * (TEXT_BYTES + 1));
        text[(size_t)(i + 1) * (TEXT_BYTES + 1) - 1] = i + 1 < BLOCKS ? ' ' : 0;
        for (int j = 0; j < i; j++)
            if (memcmp(&handles[i], &handles[j], sizeof(handles[i])) == 0)
                printf("two blocks, one handle: %d %d\n", i, j);
    }
}

static void print_first_bytes(char *blocks[BLOCKS])
{
    for (int i = 0; i < BLOCKS; i++) {
        unsigned char byte = 0, last = 0;

        route_report("read", route_read(&byte, blocks[i], 1));
        route_report("read", route_read(&last, blocks[i] + sizes[i] - 1, 1));
        printf("%d: %d %d\n", i, byte, last);
    }
}

/* Every block as the base of its range and the offset from there. */
static void export_ranges(char *blocks[BLOCKS], char *text)
{
    CUipcMemHandle handle;

    for (int i = 0; i < BLOCKS; i++) {
        CUdeviceptr base = 0, address = (CUdeviceptr)(uintptr_t)blocks[i];

        route_report("range", DRIVER(cuMemGetAddressRange)(&base, NULL, address));
        route_report("export", route_ipc_export(&handle, (char *)(uintptr_t)base));
        to_text(&handle, text);
        text += TEXT_BYTES;
        text += sprintf(text, "+%llx%s", (unsigned long long)(address - base),
                        i + 1 < BLOCKS ? " " : "");
    }
}

static void child_end(void)
{
    int status = -1;

    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        exit(3);
    waitpid(pid, &status, 0);
    printf("child: %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

/* Its first and its last bytes differ. */
static void export_large(char *text)
{
    CUipcMemHandle handle;
    char *block;

    route_report("allocate", route_allocate((void **)&block, LARGE_BYTES));
    route_report("fill", route_fill(block, 21, LARGE_BYTES));
    route_report("fill", route_fill(block + LARGE_BYTES - CHECK_BYTES, 22, CHECK_BYTES));
    route_report("wait", route_synchronize());
    route_report("export", route_ipc_export(&handle, block));
    to_text(&handle, text);
    text[TEXT_BYTES] = ' ';
    to_text(&handle, text + TEXT_BYTES + 1);
    sprintf(text + 2 * TEXT_BYTES + 1, "+%zx", LARGE_BYTES - CHECK_BYTES);
}

/* Without work on the device, for which the driver may have threads. */
static void export_and_leave(void)
{
    CUipcMemHandle handle;
    void *block;

    route_report("allocate", route_allocate(&block, sizes[0]));
    route_ipc_export(&handle, block);
    printf("left\n");
    pthread_exit(NULL);
}

static int serve(const char *how)
{
    char *blocks[BLOCKS], text[ALL_BYTES], line[16];

    if (strcmp(how, "serve-leave") == 0)
        export_and_leave();
    allocate(blocks);
    if (strcmp(how, "serve-large") == 0)
        export_large(text);
    else if (strcmp(how, "serve-threads") == 0)
        race(NULL, blocks, text);
    else if (strcmp(how, "serve-ranges") == 0)
        export_ranges(blocks, text);
    else
        export_all(blocks, 0, text);
    if (strcmp(how, "serve-fork") == 0)
        child_end();
    printf("handles %s\n", text);
    while (fgets(line, sizeof(line), stdin) && line[0] >= '0' && line[0] < '0' + BLOCKS)
        route_report("free", route_free(blocks[line[0] - '0']));
    return 0;
}

int program_ipc_blocks(const char *self, const char *route, const char *argument)
{
    char *blocks[BLOCKS], text[ALL_BYTES], same[ALL_BYTES], line[ALL_BYTES];

    route_start();
    if (argument && strncmp(argument, "serve", 5) == 0)
        return serve(argument);
    if (argument && strcmp(argument, "try") == 0)
        return child_try();
    if (argument && strncmp(argument, "close ", 6) == 0)
        return child_close(argument + 6);
    if (argument) {
        snprintf(line, sizeof(line), "%s", strchr(argument, ' ') + 1);
        if (strncmp(argument, "race ", 5) == 0)
            return race(line, NULL, NULL);
        return strncmp(argument, "hold ", 5) == 0 ? child_hold(line) : child_open(line);
    }
    allocate(blocks);
    export_all(blocks, 0, text);
    export_all(blocks, 300, same);
    printf("the same handles: %d\n", strcmp(text, same) == 0);
    child_run(self, route, text);
    print_first_bytes(blocks);
    for (int i = 0; i < BLOCKS; i++)
        route_report("free", route_free(blocks[i]));
    child_run(self, route, text);
    allocate(blocks);
    export_all(blocks, 500, same);
    printf("other handles: %d\n", strcmp(text, same) != 0);
    child_run(self, route, same);
    print_first_bytes(blocks);
    /* A new context may have its blocks where the old one had them. */
    route_report("reset", route_is_runtime ? (int)route_runtime.cudaDeviceReset()
                                           : (int)DRIVER(cuDevicePrimaryCtxReset)(0));
    child_run(self, route, same);
    route_start();
    allocate(blocks);
    export_all(blocks, 700, text);
    printf("other handles: %d\n", strcmp(text, same) != 0);
    child_run(self, route, text);
    print_first_bytes(blocks);
    CUipcMemHandle handle;
    route_report("nothing", route_ipc_export(&handle, NULL));
    for (int i = BLOCKS - 1; i >= 0; i--) {
        route_report("free", route_free(blocks[i]));
        route_report("export what is freed", route_ipc_export(&handle, blocks[i]));
    }
    route_report("last error", route_last_error());
    return 0;
}
