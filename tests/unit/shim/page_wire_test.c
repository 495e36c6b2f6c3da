/* SPDX-License-Identifier: MIT */
/*
 * Runs the page server in this process, with the test as exporter and as a client, correct or
 * hostile. Messages are complete or refused, no descriptor stays open, and nobody waits for a
 * silent peer.
 */
#include <criterion/criterion.h>

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shim/share/page_server.h"

#define NAME "pages.test"
#define SLOT 5u
#define KEY  UINT64_C(77)

static char where[] = "/tmp/page-wire-XXXXXX";

/* The server's user, as far as the server knows: this many above the test's. */
static atomic_uint users_above;
static _Thread_local bool is_client;

uid_t geteuid(void)
{
    uid_t user = (uid_t)syscall(SYS_geteuid);

    return is_client ? user : user + atomic_load(&users_above);
}

static uint64_t soon(void)
{
    return page_wire_now_ns() + PAGE_WIRE_WAIT_NS;
}

static unsigned open_count(void)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/fd");

    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static int page_make(char letter)
{
    int made = memfd_create("page", MFD_CLOEXEC);

    cr_assert_eq(pwrite(made, &letter, 1, 0), 1);
    return made;
}

static int put(uint32_t first, uint32_t count)
{
    int descriptors[PAGE_WIRE_MOST];
    struct page_wire message = page_wire_make(PAGE_WIRE_PUT, SLOT, KEY);

    message.count = count;
    for (uint32_t i = 0; i < count; i++) {
        descriptors[i] = page_make((char)('a' + first + i));
        message.pages[i].id = first + i + 1;
        message.pages[i].bytes = (uint64_t)(i + 1) << 21;
    }
    return page_server_put(&message, first, descriptors);
}

static void drop(uint64_t key)
{
    page_server_owe(SLOT, key);
    page_server_settle();
}

static void setup(void)
{
    cr_assert(mkdtemp(where));
    cr_assert_eq(page_server_start(where, NAME), 0);
    cr_assert_eq(page_server_start(where, NAME), 0, "once is enough");
    cr_assert_eq(put(0, PAGE_WIRE_MOST), 0);
    cr_assert_eq(put(PAGE_WIRE_MOST, 3), 0);
}

static void folder_remove(void)
{
    char command[64];

    snprintf(command, sizeof command, "rm -rf %s", where);
    cr_assert_eq(system(command), 0);
}

static int client(void)
{
    int connection = page_wire_connect(where, NAME, soon());

    cr_assert_geq(connection, 0, "%d", connection);
    return connection;
}

/* Gets the pages as a correct client does; returns their number. */
static uint32_t ask(int connection, uint64_t key, uint32_t first)
{
    int descriptors[PAGE_WIRE_MOST];
    struct page_wire question = page_wire_make(PAGE_WIRE_ASK, SLOT, key), answer;

    question.first = first;
    cr_assert_eq(page_wire_ask(connection, &question, NULL, soon(), &answer, descriptors), 0);
    for (uint32_t i = 0; i < answer.count; i++) {
        char letter = 0;

        cr_assert_eq(pread(descriptors[i], &letter, 1, 0), 1);
        cr_assert_eq(letter, 'a' + (char)(first + i));
        cr_assert_eq(answer.pages[i].bytes % (2 << 20), 0);
        cr_assert_eq(answer.pages[i].id, 0, "an id is the exporter's business");
    }
    page_wire_close(descriptors, answer.count);
    return answer.count;
}

/* True when the server closes the connection. */
static bool is_closed(int connection)
{
    struct pollfd wanted = {.fd = connection, .events = POLLIN};
    char byte;

    return poll(&wanted, 1, 10000) == 1 && recv(connection, &byte, 1, 0) <= 0;
}

Test(page_wire, gives_what_was_put, .init = setup, .fini = folder_remove)
{
    unsigned before = open_count();
    int connection = client();
    struct stat status;
    char path[256];

    cr_assert_eq(ask(connection, KEY, 0), PAGE_WIRE_MOST);
    cr_assert_eq(ask(connection, KEY, PAGE_WIRE_MOST), 3);
    cr_assert_eq(ask(connection, KEY, PAGE_WIRE_MOST + 3), 0);
    cr_assert_eq(ask(connection, KEY + 1, 0), 0);
    drop(KEY - 1);
    cr_assert_eq(ask(connection, KEY, PAGE_WIRE_MOST), 3);
    drop(KEY);
    cr_assert_eq(ask(connection, KEY, 0), 0);
    close(connection);
    cr_assert_eq(open_count(), before, "the thread's descriptors are its own");
    snprintf(path, sizeof(path), "%s/cupool-%u/%s", where, geteuid(), NAME);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0600);
}

/* What cannot be said is done all the same, and soon; then the memory goes. */
Test(page_wire, drops_without_a_word, .init = setup, .fini = folder_remove)
{
    int connection = client();
    struct rlimit limit, none;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = limit.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    drop(KEY);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    uint64_t end_ns = soon();
    while (ask(connection, KEY, 0))
        cr_assert_lt(page_wire_now_ns(), end_ns);
}

/* How much processor time the process may use while its server has nothing to do. */
static uint64_t used_ns(void)
{
    struct timespec used;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/* Fewer descriptors than it has connections: it gives them up, and goes on with new ones. */
Test(page_wire, gets_by_with_fewer_descriptors, .init = setup, .fini = folder_remove)
{
    int held[60];
    struct rlimit limit, few;

    for (unsigned i = 0; i < 60; i++)
        held[i] = client();
    cr_assert_eq(ask(held[59], KEY, PAGE_WIRE_MOST), 3);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = (struct rlimit){.rlim_cur = 20, .rlim_max = limit.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    cr_assert(is_closed(held[0]));
    cr_assert(is_closed(held[59]));
    uint64_t before_ns = used_ns();
    poll(NULL, 0, 500);
    cr_assert_lt(used_ns() - before_ns, 250000000, "it does not spin");
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(ask(client(), KEY, PAGE_WIRE_MOST), 3);
}

/* Longer than the server takes to look. */
static void *leave_later(void *unused)
{
    poll(NULL, 0, 1500);
    return unused;
}

/* The process ends with the last thread of the program, as one without the server does. */
static void end_with(bool other)
{
    int ends[2], status = -1;
    char text[16] = {0};

    cr_assert_eq(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        FILE *out = fdopen(ends[1], "w");

        page_server_fork_child();
        if (page_server_start(where, other ? NAME ".2" : NAME ".1") < 0 || !out ||
            fputs("kept", out) < 0 || (other && pthread_create(&thread, NULL, leave_later, NULL)))
            _exit(9);
        pthread_exit(NULL);
    }
    close(ends[1]);
    struct pollfd wanted = {.fd = ends[0], .events = POLLIN};
    if (poll(&wanted, 1, 60000) < 1)
        kill(child, SIGKILL); /* nothing else ends it */
    cr_assert_eq(read(ends[0], text, sizeof(text) - 1), 4, "what stdio held gets out");
    cr_assert_str_eq(text, "kept");
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0, "%x", (unsigned)status);
    close(ends[0]);
}

Test(page_wire, ends_with_the_program, .init = setup, .fini = folder_remove)
{
    end_with(false);
    end_with(true);
}

static void send_bytes(int connection, const void *bytes, size_t count)
{
    cr_assert_eq(send(connection, bytes, count, MSG_NOSIGNAL), (ssize_t)count);
}

Test(page_wire, refuses_what_is_no_message, .init = setup, .fini = folder_remove)
{
    struct page_wire message = page_wire_make(PAGE_WIRE_ASK, SLOT, KEY);
    int descriptor = page_make('x'), connection = client();

    send_bytes(connection, &message, sizeof(message) - 1);
    cr_assert(is_closed(connection), "too short");
    connection = client();
    char longer[sizeof(message) + 1] = {0};
    memcpy(longer, &message, sizeof(message));
    send_bytes(connection, longer, sizeof(longer));
    cr_assert(is_closed(connection), "too long");
    connection = client();
    message.magic[0] ^= 1;
    send_bytes(connection, &message, sizeof(message));
    cr_assert(is_closed(connection), "not ours");
    connection = client();
    message = page_wire_make(PAGE_WIRE_ASK, SLOT, KEY);
    message.count = 1;
    cr_assert_eq(page_wire_send(connection, &message, &descriptor), 0);
    cr_assert(is_closed(connection), "a question with a descriptor");
    connection = client();
    message.count = UINT32_MAX;
    send_bytes(connection, &message, sizeof(message));
    cr_assert(is_closed(connection), "more than there can be");
    connection = client();
    message = page_wire_make((enum page_wire_kind)9, SLOT, KEY);
    send_bytes(connection, &message, sizeof(message));
    cr_assert(is_closed(connection), "of no kind");
    connection = client();
    cr_assert_eq(ask(connection, KEY, 0), PAGE_WIRE_MOST, "it goes on");
}

/* Only the exporter may add and drop pages. */
Test(page_wire, listens_to_its_process_alone, .init = setup, .fini = folder_remove)
{
    for (int kind = PAGE_WIRE_PUT; kind <= PAGE_WIRE_DROP; kind++) {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            struct page_wire message = page_wire_make((enum page_wire_kind)kind, SLOT, KEY);
            int connection = page_wire_connect(where, NAME, soon());

            _exit(connection < 0 || page_wire_send(connection, &message, NULL) < 0 ||
                  !is_closed(connection));
        }
        int status = -1;
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert_eq(status, 0, "kind %d", kind);
    }
    cr_assert_eq(ask(client(), KEY, PAGE_WIRE_MOST), 3);
}

Test(page_wire, serves_its_user_alone, .init = setup, .fini = folder_remove)
{
    is_client = true;
    atomic_store(&users_above, 1);
    cr_assert(is_closed(client()));
    atomic_store(&users_above, 0);
    cr_assert_eq(ask(client(), KEY, PAGE_WIRE_MOST), 3);
}

Test(page_wire, waits_for_nobody, .init = setup, .fini = folder_remove)
{
    struct page_wire question = page_wire_make(PAGE_WIRE_ASK, SLOT, KEY);
    int silent[100], deaf = client(); /* more than the server keeps */

    for (unsigned i = 0; i < 100; i++)
        silent[i] = client();
    cr_assert_eq(ask(client(), KEY, PAGE_WIRE_MOST), 3);
    cr_assert(is_closed(deaf), "the oldest gives way");
    cr_assert(is_closed(silent[0]));
    /* A client that asks and never reads. */
    deaf = client();
    while (page_wire_send(deaf, &question, NULL) == 0)
        poll(NULL, 0, 0);
    cr_assert_eq(ask(client(), KEY, PAGE_WIRE_MOST), 3);
}

/* A peer that lies. */
Test(page_wire, believes_no_liar)
{
    int ends[2], descriptors[PAGE_WIRE_MOST], page = page_make('l');
    struct page_wire question = page_wire_make(PAGE_WIRE_ASK, SLOT, KEY), answer;
    unsigned before = open_count();

    for (int lie = 0; lie < 4; lie++) {
        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        struct page_wire said = page_wire_make(PAGE_WIRE_ANSWER, SLOT, KEY);
        said.count = 1;
        if (lie == 0) { /* states two, sends one */
            cr_assert_eq(page_wire_send(ends[1], &said, NULL), 0);
        } else if (lie == 1) {
            said.kind = PAGE_WIRE_PUT;
            cr_assert_eq(page_wire_send(ends[1], &said, &page), 0);
        } else if (lie == 2) {
            said.count = PAGE_WIRE_MOST + 1;
            send_bytes(ends[1], &said, sizeof(said));
        } else {
            close(ends[1]);
        }
        int error = page_wire_ask(ends[0], &question, NULL, soon(), &answer, descriptors);
        cr_assert(error < 0 && error != -ETIMEDOUT, "lie %d: %d", lie, error);
        close(ends[0]);
        if (lie < 3)
            close(ends[1]);
        cr_assert_eq(open_count(), before, "lie %d", lie);
    }
}

/* A silent peer costs the time-out, and no more. */
Test(page_wire, gives_up)
{
    int ends[2], descriptors[PAGE_WIRE_MOST];
    struct page_wire question = page_wire_make(PAGE_WIRE_ASK, SLOT, KEY), answer;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    cr_assert_eq(
        page_wire_ask(ends[0], &question, NULL, page_wire_now_ns() + 1000000, &answer, descriptors),
        -ETIMEDOUT);
    cr_assert_eq(page_wire_connect("/nowhere", NAME, soon()), -ENOENT);
}
