/* SPDX-License-Identifier: MIT */
/*
 * `cupool metrics`: the statistics of running programs as OpenMetrics text, once or over HTTP.
 * Every request reads the pages anew; nothing is kept.
 */
#include "tools/cli/verb.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <netdb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#ifdef HAVE_MICROHTTPD
#include <arpa/inet.h>
#include <microhttpd.h>
#include <pthread.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#endif

#include "tools/base/prometheus_text.h"
#include "tools/cli/report_pid.h"
#include "tools/live/live_processes.h"

#define VERB_NAME    "metrics"
#define CONTENT_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define CONNECTIONS  32
#define TIMEOUT_S    10
#define HOST_BYTES   256
#define ALLOWED_MOST 64

static const char help_text[] =
    "Options:\n"
    "      --listen HOST:PORT serve http://HOST:PORT/metrics until interrupted; port 0: any\n"
    "      --allow-host NAME  a name clients may use for the server, besides HOST, localhost and\n"
    "                         addresses; may be repeated\n"
    "  -f, --format FORMAT    openmetrics (default), or prometheus: text format 0.0.4; with\n"
    "                         --listen the client chooses by Accept\n"
    "      --from DIRECTORY   the directory in the programs' option 'live' "
    "(default " LIVE_PAGE_PLACE ")\n"
    "  -h, --help\n\n"
    "Without --listen, prints the statistics once. Covers programs of the same user that run\n"
    "under 'cupool run', or with the option live:" LIVE_PAGE_PLACE "; all of them, or PID alone\n"
    "(a program, or the launcher of a single one, such as 'cupool run').\n"
    "There is no access control: listen on 127.0.0.1, or behind a server that has some. Requests\n"
    "for other host names are rejected: a web page could point any name at this address.\n\n"
    "Examples:\n"
    "  cupool metrics\n"
    "  cupool metrics --listen 127.0.0.1:9415\n";

struct request {
    const char *where, *listen;
    unsigned pid;                      /* 0: all */
    const char *allowed[ALLOWED_MOST]; /* by --allow-host */
    size_t allows;
    char host[HOST_BYTES]; /* of --listen */
    bool older;            /* --format prometheus */
};

static int option_set(void *state, int option)
{
    struct request *request = state;
    int trouble = 0;

    switch (option) {
    case 'l': request->listen = optarg; break;
    case 'a':
        if (request->allows == ALLOWED_MOST)
            trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "--allow-host: given more than %d times",
                                 ALLOWED_MOST);
        else
            request->allowed[request->allows++] = optarg;
        break;
    case 'F': request->where = optarg; break;
    case 'f':
        request->older = !strcmp(optarg, "prometheus");
        if (!request->older && strcmp(optarg, "openmetrics") != 0)
            trouble = verb_error(VERB_NAME, EXIT_TROUBLE,
                                 "--format %s: no such format: use openmetrics or "
                                 "prometheus",
                                 optarg);
        break;
    default: return VERB_OPTION_UNKNOWN;
    }
    return trouble;
}

static int request_read(int argc, char **argv, struct request *request)
{
    static const struct option options[] = {
        {"listen", required_argument, NULL, 'l'}, {"allow-host", required_argument, NULL, 'a'},
        {"from", required_argument, NULL, 'F'},   {"format", required_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},         {0}};
    static const struct verb_options reading = {VERB_NAME, EXIT_TROUBLE, help_text,
                                                ":f:h",    options,      option_set};
    int trouble = verb_options_read(&reading, argc, argv, request);
    char *end;

    if (trouble)
        return trouble;
    if (optind < argc) {
        unsigned long pid = strtoul(argv[optind], &end, 10);

        if (!pid || pid > INT_MAX || *end || optind + 1 < argc)
            trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "%s: give one process id, or none",
                                 argv[!pid || pid > INT_MAX || *end ? optind : optind + 1]);
        request->pid = (unsigned)pid;
    }
    return trouble ? trouble + 1 : 0;
}

/** In OpenMetrics, or in the older format of Prometheus. A server may start before its process.
 * Errors: -ESRCH the process that was asked for publishes nothing; others from the system. */
static int text_write(const struct request *request, bool older, FILE *out)
{
    struct live_processes processes;
    int error = live_program_read(request->where, request->pid, &processes);
    char *text = NULL;
    size_t bytes;
    FILE *draft;

    if (error < 0)
        return error;
    if (request->pid && !request->listen && !processes.count) {
        live_processes_done(&processes);
        return -ESRCH;
    }
    draft = older ? open_memstream(&text, &bytes) : NULL;
    if (older && !draft)
        error = -ENOMEM;
    else
        live_metrics_print(&processes, draft ? draft : out);
    live_processes_done(&processes);
    if (draft && fclose(draft) != EOF)
        prometheus_text(text, out);
    free(text);
    return error;
}

#ifdef HAVE_MICROHTTPD
static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type,
                              char *text, size_t length)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(length, text,
                                                                    MHD_RESPMEM_MUST_FREE);
    enum MHD_Result result;

    if (!response) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_line(struct MHD_Connection *connection, unsigned status,
                                   const char *line)
{
    char *text = strdup(line);

    return text ? answer(connection, status, "text/plain", text, strlen(text)) : MHD_NO;
}

/** An address as a host: not a name, so no name server can redirect it. */
static bool is_address(const char *host)
{
    struct in6_addr address;

    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

/** The host of "HOST", "HOST:PORT" or "[ADDRESS]:PORT", without a dot at its end. */
static bool host_take(const char *text, char ret_host[HOST_BYTES])
{
    bool bracket = *text == '[';
    size_t length = bracket ? strcspn(++text, "]") : strcspn(text, ":");
    const char *rest = text + length + bracket;

    if (!length || (bracket && text[length] != ']') || length >= HOST_BYTES ||
        (*rest && *rest != ':') || (*rest && rest[1 + strspn(rest + 1, "0123456789")]))
        return false;
    if (!bracket && length > 1 && text[length - 1] == '.')
        length--;
    snprintf(ret_host, HOST_BYTES, "%.*s", (int)length, text);
    return true;
}

static bool host_is_allowed(const struct request *request, const char *text)
{
    char host[HOST_BYTES];

    if (!host_take(text, host))
        return false;
    if (is_address(host) || !strcasecmp(host, "localhost") || !strcasecmp(host, request->host))
        return true;
    for (size_t i = 0; i < request->allows; i++)
        if (!strcasecmp(host, request->allowed[i]))
            return true;
    return false;
}

/** What a client calls us. */
struct called {
    const struct request *request;
    size_t names;
    bool refused;
};

static enum MHD_Result host_check(void *context, enum MHD_ValueKind kind, const char *key,
                                  const char *value)
{
    struct called *called = context;

    if (!strcasecmp(key, MHD_HTTP_HEADER_HOST)) {
        called->names++;
        called->refused |= !value || !host_is_allowed(called->request, value);
    }
    return MHD_YES;
}

static bool is_called_rightly(const struct request *request, struct MHD_Connection *connection)
{
    struct called called = {.request = request};

    MHD_get_connection_values(connection, MHD_HEADER_KIND, host_check, &called);
    return called.names && !called.refused;
}

/* A connection that exceeds its time is shut down, however active: the library's own time-out
 * is for idle ones, and a slow reader is never idle. */
static struct connection {
    int socket;
    time_t until; /* 0: not in use */
} connections[CONNECTIONS];

static pthread_mutex_t connections_lock = PTHREAD_MUTEX_INITIALIZER; /* guards connections */

static time_t now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void connection_note(void *context, struct MHD_Connection *connection, void **state,
                            enum MHD_ConnectionNotificationCode code)
{
    int socket = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;

    pthread_mutex_lock(&connections_lock);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        struct connection *each = &connections[i];

        if (code == MHD_CONNECTION_NOTIFY_STARTED && !each->until) {
            *each = (struct connection){socket, now_s() + TIMEOUT_S + 1};
            break;
        }
        if (code == MHD_CONNECTION_NOTIFY_CLOSED && each->until && each->socket == socket) {
            each->until = 0;
            break;
        }
    }
    pthread_mutex_unlock(&connections_lock);
}

static void connections_expire(void)
{
    time_t now = now_s();

    pthread_mutex_lock(&connections_lock);
    for (size_t i = 0; i < CONNECTIONS; i++)
        if (connections[i].until && connections[i].until <= now)
            shutdown(connections[i].socket, SHUT_RDWR);
    pthread_mutex_unlock(&connections_lock);
}

/** A client that asks for the older format and not OpenMetrics gets it. */
static bool wants_older(struct MHD_Connection *connection)
{
    const char *accepted = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                                       MHD_HTTP_HEADER_ACCEPT);

    return accepted && strstr(accepted, "text/plain") &&
           !strstr(accepted, "application/openmetrics-text");
}

static enum MHD_Result serve(void *context, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *upload,
                             size_t *upload_bytes, void **state)
{
    const struct request *request = context;
    char *text = NULL;
    size_t length;
    bool older;
    FILE *out;
    int error;

    if (!is_called_rightly(request, connection))
        return answer_line(connection, MHD_HTTP_FORBIDDEN, "unknown host name: see --allow-host\n");
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return answer_line(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET is supported\n");
    if (strcmp(url, "/metrics") != 0)
        return answer_line(connection, MHD_HTTP_NOT_FOUND, "the metrics are at /metrics\n");
    out = open_memstream(&text, &length);
    older = wants_older(connection);
    error = out ? text_write(request, older, out) : -ENOMEM;
    if (out)
        fclose(out);
    if (error == 0)
        return answer(connection, MHD_HTTP_OK, older ? PROMETHEUS_TEXT_TYPE : CONTENT_TYPE, text,
                      length);
    free(text);
    return answer_line(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "the metrics cannot be read\n");
}

static bool port_is_sound(const char *text)
{
    size_t digits = strspn(text, "0123456789");

    return digits && digits <= 5 && !text[digits] && strtoul(text, NULL, 10) <= 65535;
}

/** Splits HOST:PORT; removes the brackets around an IPv6 address. False: not of that form. */
static bool address_split(const char *text, char ret_host[HOST_BYTES], const char **ret_port)
{
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;

    if (!length || length >= HOST_BYTES || !port_is_sound(colon + 1))
        return false;
    if (*text == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    }
    snprintf(ret_host, HOST_BYTES, "%.*s", (int)length, text);
    *ret_port = colon + 1;
    return true;
}

/** Waits for an interrupt with the signals blocked, which every thread inherits. */
static int serve_until_interrupted(const struct request *request, const struct addrinfo *address)
{
    static const struct timespec second = {.tv_sec = 1};
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD;
    struct MHD_Daemon *daemon;
    sigset_t signals;
    bool bracket;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    daemon = MHD_start_daemon(flags | (address->ai_family == AF_INET6 ? MHD_USE_IPv6 : 0), 0, NULL,
                              NULL, serve, (void *)request, MHD_OPTION_SOCK_ADDR, address->ai_addr,
                              MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS,
                              MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_S,
                              MHD_OPTION_NOTIFY_CONNECTION, connection_note, NULL, MHD_OPTION_END);
    if (!daemon)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: cannot listen: %s", request->listen,
                          strerror(errno));
    bracket = strchr(request->host, ':') != NULL;
    verb_error(VERB_NAME, 0, "serving http://%s%s%s:%u/metrics; interrupt to end",
               bracket ? "[" : "", request->host, bracket ? "]" : "",
               MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    while (sigtimedwait(&signals, NULL, &second) < 0)
        connections_expire();
    MHD_stop_daemon(daemon);
    return 0;
}

static int listen_at(struct request *request)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *address;
    const char *port;
    int error, trouble;

    if (!address_split(request->listen, request->host, &port))
        return verb_error(VERB_NAME, EXIT_TROUBLE,
                          "--listen %s: give HOST:PORT, like 127.0.0.1:9415; ports go to 65535",
                          request->listen);
    error = getaddrinfo(request->host, port, &hints, &address);
    if (error != 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "--listen %s: %s", request->listen,
                          gai_strerror(error));
    trouble = serve_until_interrupted(request, address);
    freeaddrinfo(address);
    return trouble;
}
#else
static int listen_at(struct request *request)
{
    return verb_error(VERB_NAME, EXIT_TROUBLE,
                      "--listen %s: built without libmicrohttpd: install libmicrohttpd-dev and "
                      "build again",
                      request->listen);
}
#endif

int verb_metrics(int argc, char **argv)
{
    struct request request = {.where = LIVE_PAGE_PLACE};
    char taken[PATH_MAX + 128];
    int trouble = request_read(argc, argv, &request), error;

    if (trouble)
        return trouble - 1;
    if (live_place_is_taken(request.where, taken, sizeof taken))
        verb_error(VERB_NAME, 0, "warning: %s", taken);
    if (request.listen)
        return listen_at(&request);
    error = text_write(&request, request.older, stdout);
    if (error == -ESRCH)
        return verb_error(VERB_NAME, EXIT_TROUBLE,
                          "no statistics of process %u, nor of a single program below it: run it "
                          "with 'cupool run', or set CUPOOL_LIVE=%s",
                          request.pid, request.where);
    return error < 0
               ? verb_error(VERB_NAME, EXIT_TROUBLE, "%s: %s", request.where, strerror(-error))
               : 0;
}
