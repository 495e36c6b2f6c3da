/* SPDX-License-Identifier: MIT */
/*
 * `cupool metrics`: the figures of running programs as OpenMetrics text, once or over HTTP. The
 * pages are read anew for every request; nothing is kept.
 */
#include "tools/cli/verb.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#ifdef HAVE_MICROHTTPD
#include <microhttpd.h>
#endif

#include "tools/live/live.h"

#define VERB_NAME    "metrics"
#define CONTENT_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define CONNECTIONS  32
#define TIMEOUT_S    10
#define HOST_BYTES   256

static const char help_text[] =
    "Options:\n"
    "      --listen HOST:PORT serve http://HOST:PORT/metrics until interrupted; port 0: any\n"
    "      --from DIRECTORY   where the programs' option 'live' keeps figures "
    "(default " LIVE_PAGE_PLACE ")\n"
    "  -h, --help\n\n"
    "Prints the figures once without --listen. Programs of the same user are served that run\n"
    "under 'cupool run', or with the option live:" LIVE_PAGE_PLACE "; all of them, or PID alone.\n"
    "There is no access control: listen on 127.0.0.1, or behind what has some.\n\n"
    "Examples:\n"
    "  cupool metrics\n"
    "  cupool metrics --listen 127.0.0.1:9415\n";

struct request {
    const char *where, *listen;
    unsigned pid; /* 0: all */
};

static int request_read(int argc, char **argv, struct request *request)
{
    static const struct option options[] = {{"listen", required_argument, NULL, 'l'},
                                            {"from", required_argument, NULL, 'f'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int option, trouble = 0;
    char *end;

    verb_options_begin();
    while (!trouble && (option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        switch (option) {
        case 'l': request->listen = optarg; break;
        case 'f': request->where = optarg; break;
        case 'h': verb_help(VERB_NAME, help_text); return EXIT_FINE + 1;
        default: trouble = verb_option_refused(VERB_NAME, EXIT_TROUBLE, option, argv);
        }
    }
    if (!trouble && optind < argc) {
        request->pid = (unsigned)strtoul(argv[optind], &end, 10);
        if (!request->pid || *end || optind + 1 < argc)
            trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "%s: give one process id, or none",
                                 argv[!request->pid || *end ? optind : optind + 1]);
    }
    return trouble ? trouble + 1 : 0;
}

static int text_write(const struct request *request, FILE *out)
{
    struct live_processes processes;
    int r = live_processes_read(request->where, request->pid, &processes);

    if (r < 0)
        return r;
    live_metrics_print(&processes, out);
    live_processes_done(&processes);
    return 0;
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

static enum MHD_Result serve(void *context, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *upload,
                             size_t *upload_bytes, void **state)
{
    const struct request *request = context;
    char *text = NULL;
    size_t length;
    FILE *out;
    int r;

    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return answer_line(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET\n");
    if (strcmp(url, "/metrics") != 0)
        return answer_line(connection, MHD_HTTP_NOT_FOUND, "the figures are at /metrics\n");
    out = open_memstream(&text, &length);
    r = out ? text_write(request, out) : -ENOMEM;
    if (out)
        fclose(out);
    if (r == 0)
        return answer(connection, MHD_HTTP_OK, CONTENT_TYPE, text, length);
    free(text);
    return answer_line(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "the figures cannot be read\n");
}

/** HOST:PORT taken apart; brackets around an IPv6 address go. False: it is not of that form. */
static bool address_split(const char *text, char ret_host[HOST_BYTES], const char **ret_port)
{
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;

    if (!length || !colon[1] || length >= HOST_BYTES)
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
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD;
    struct MHD_Daemon *daemon;
    sigset_t signals;
    int signal_number;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    daemon = MHD_start_daemon(flags | (address->ai_family == AF_INET6 ? MHD_USE_IPv6 : 0), 0, NULL,
                              NULL, serve, (void *)request, MHD_OPTION_SOCK_ADDR, address->ai_addr,
                              MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS,
                              MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_S, MHD_OPTION_END);
    if (!daemon)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: cannot listen there: %s", request->listen,
                          strerror(errno));
    verb_error(VERB_NAME, 0, "serving http://%.*s:%u/metrics; interrupt to end",
               (int)(strrchr(request->listen, ':') - request->listen), request->listen,
               MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    sigwait(&signals, &signal_number);
    MHD_stop_daemon(daemon);
    return 0;
}

static int listen_at(const struct request *request)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *address;
    char host[HOST_BYTES];
    const char *port;
    int r;

    if (!address_split(request->listen, host, &port))
        return verb_error(VERB_NAME, EXIT_TROUBLE,
                          "--listen %s: give HOST:PORT, like 127.0.0.1:9415", request->listen);
    r = getaddrinfo(host, port, &hints, &address);
    if (r != 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "--listen %s: %s", request->listen,
                          gai_strerror(r));
    r = serve_until_interrupted(request, address);
    freeaddrinfo(address);
    return r;
}
#else
static int listen_at(const struct request *request)
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
    int trouble = request_read(argc, argv, &request), r;

    if (trouble)
        return trouble - 1;
    if (request.listen)
        return listen_at(&request);
    r = text_write(&request, stdout);
    return r < 0 ? verb_error(VERB_NAME, EXIT_TROUBLE, "%s: %s", request.where, strerror(-r)) : 0;
}
