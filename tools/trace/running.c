/* SPDX-License-Identifier: MIT */
/*
 * Paths of another process are resolved below its root, /proc/PID/root, so a container's are
 * correct, too. Only names of regular files are opened.
 */
#include "tools/trace/running.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cupti/format/trace_format.h"
#include "tools/base/file/regular_file.h"

#define DELETED      " (deleted)"
#define LIBRARY_NAME "libcupool"
#define PROC_BYTES   64 /* "/proc/PID/status" */

/** Opens a file of /proc/PID. */
static FILE *proc_open(pid_t pid, const char *name, int *ret_error)
{
    char path[PROC_BYTES];
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    file = fopen(path, "re");
    *ret_error = file ? 0 : errno == ENOENT ? -ESRCH : errno == EPERM ? -EACCES : -errno;
    return file;
}

/** Returns the process's id in the innermost namespace; 0: it has ended, or there is none. */
static pid_t own_pid_of(pid_t pid)
{
    char *line = NULL;
    size_t bytes = 0;
    pid_t own = 0;
    int error;
    FILE *file = proc_open(pid, "status", &error);

    while (file && getline(&line, &bytes, file) > 0) {
        if (!strncmp(line, "State:", 6) && strpbrk(line + 6, "ZX")) {
            own = 0;
            break;
        }
        if (!strncmp(line, "Tgid:", 5))
            own = (pid_t)atoi(line + 5);
        if (!strncmp(line, "NStgid:", 7)) {
            const char *last = line + strlen(line);

            while (last > line && (isspace((unsigned char)last[-1]) || !*last))
                last--;
            while (last > line && isdigit((unsigned char)last[-1]))
                last--;
            own = (pid_t)atoi(last);
            break;
        }
    }
    free(line);
    if (file)
        fclose(file);
    return own;
}

/** Parses a line of /proc/PID/maps: its file's name as the process sees it, NULL: none. */
static char *mapped_path(char *line)
{
    char *path = strchr(line, '/'), *to = path;

    if (!path)
        return NULL;
    path[strcspn(path, "\n")] = '\0';
    for (const char *from = path; *from;) { /* a line end is \012 */
        if (!strncmp(from, "\\012", 4)) {
            *to++ = '\n';
            from += 4;
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
    return path;
}

static bool is_shared_and_written(const char *line)
{
    const char *permissions = strchr(line, ' ');

    return permissions && !strncmp(permissions + 1, "rw-s", 4);
}

/** Returns a name below the root of a process; our own name if both lead to one file. */
static int name_for_us(pid_t pid, const char *path, char *ret_path, size_t path_bytes)
{
    struct stat theirs, ours;
    int length = snprintf(ret_path, path_bytes, "/proc/%d/root%s", (int)pid, path);

    if (length < 0 || (size_t)length >= path_bytes)
        return -ENAMETOOLONG;
    if (stat(ret_path, &theirs) == 0 && stat(path, &ours) == 0 && theirs.st_dev == ours.st_dev &&
        theirs.st_ino == ours.st_ino)
        snprintf(ret_path, path_bytes, "%s", path);
    return 0;
}

/** Whether a file is a trace of a process. */
static bool is_trace_of(const char *path, pid_t own_pid)
{
    struct trace_file_header header;
    bool is_one = false;
    int fd = regular_file_open(path);

    if (fd >= 0) {
        is_one = pread(fd, &header, sizeof header, 0) == (ssize_t)sizeof header &&
                 header.magic == TRACE_FILE_MAGIC && header.pid == (uint32_t)own_pid;
        close(fd);
    }
    return is_one;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);

    return length >= tail && !strcmp(text + length - tail, end);
}

static bool is_library(const char *path)
{
    const char *name = strrchr(path, '/');

    return name && !strncmp(name + 1, LIBRARY_NAME, strlen(LIBRARY_NAME));
}

/** One mapping. 1: it is the trace; 0: it is not. */
static int mapping_look(pid_t pid, char *line, struct running_process *process, char *ret_path,
                        size_t path_bytes)
{
    bool written = is_shared_and_written(line);
    char *path = mapped_path(line);
    int error;

    if (!path)
        return 0;
    process->has_cupool |= is_library(path);
    if (!written)
        return 0;
    if (ends_with(path, DELETED)) {
        process->is_removed |= strstr(path, ".cupool") != NULL;
        return 0;
    }
    error = name_for_us(pid, path, ret_path, path_bytes);
    if (error < 0)
        return error;
    return is_trace_of(ret_path, process->own_pid);
}

int running_look(pid_t pid, struct running_process *ret_process, char *ret_path, size_t path_bytes)
{
    struct running_process process = {.own_pid = own_pid_of(pid)};
    char *line = NULL;
    size_t bytes = 0;
    int error, found = 0;
    FILE *maps = process.own_pid > 0 ? proc_open(pid, "maps", &error) : NULL;

    if (process.own_pid <= 0)
        return -ESRCH;
    if (!maps)
        return error;
    errno = 0;
    while (found == 0 && getline(&line, &bytes, maps) > 0)
        found = mapping_look(pid, line, &process, ret_path, path_bytes);
    error = ferror(maps) && errno ? -errno : 0;
    free(line);
    fclose(maps);
    if (found < 0 || error < 0)
        return found < 0 ? found : error;
    if (!found && !own_pid_of(pid)) /* it ended meanwhile: its mappings say nothing */
        return -ESRCH;
    process.has_trace = found > 0;
    process.has_cupool |= process.has_trace;
    if (!process.has_trace)
        *ret_path = '\0';
    *ret_process = process;
    return 0;
}

static uint32_t namespace_of(const char *process)
{
    char path[PROC_BYTES];
    struct stat status;

    snprintf(path, sizeof path, "/proc/%.20s/ns/pid", process);
    return stat(path, &status) == 0 ? (uint32_t)status.st_ino : 0;
}

pid_t running_find(pid_t own_pid, uint32_t namespace_inode)
{
    const struct dirent *entry;
    pid_t found = 0;
    DIR *processes;

    if (!namespace_inode || namespace_inode == namespace_of("self"))
        return own_pid;
    processes = opendir("/proc");
    while (processes && !found && (entry = readdir(processes))) {
        pid_t pid = (pid_t)atoi(entry->d_name);

        if (pid > 0 && own_pid_of(pid) == own_pid && namespace_of(entry->d_name) == namespace_inode)
            found = pid;
    }
    if (processes)
        closedir(processes);
    return found;
}

size_t running_children(pid_t pid, pid_t *ret_children, size_t most)
{
    char name[PROC_BYTES];
    size_t count = 0;
    int error, child;
    FILE *list;

    snprintf(name, sizeof name, "task/%d/children", (int)pid);
    list = proc_open(pid, name, &error);
    while (list && count < most && fscanf(list, "%d", &child) == 1)
        ret_children[count++] = child;
    if (list)
        fclose(list);
    return count;
}

/** Whether a process maps the file with these numbers for writing. */
static bool maps_file(pid_t pid, const struct stat *wanted)
{
    char *line = NULL, path[PATH_MAX + PROC_BYTES];
    size_t bytes = 0;
    bool found = false;
    int error;
    FILE *maps = proc_open(pid, "maps", &error);

    while (maps && !found && getline(&line, &bytes, maps) > 0) {
        struct stat status;
        const char *mapped = is_shared_and_written(line) ? mapped_path(line) : NULL;

        found = mapped && name_for_us(pid, mapped, path, sizeof path) == 0 &&
                stat(path, &status) == 0 && status.st_dev == wanted->st_dev &&
                status.st_ino == wanted->st_ino;
    }
    free(line);
    if (maps)
        fclose(maps);
    return found;
}

bool running_writes(int fd, pid_t own_pid)
{
    struct stat wanted;
    const struct dirent *entry;
    bool found = false;
    DIR *processes;

    if (own_pid <= 0 || fstat(fd, &wanted) < 0)
        return false;
    if (own_pid_of(own_pid) == own_pid && maps_file(own_pid, &wanted))
        return true;
    /* In another PID namespace its number here is different. */
    processes = opendir("/proc");
    while (processes && !found && (entry = readdir(processes))) {
        pid_t pid = (pid_t)atoi(entry->d_name);

        found = pid > 0 && pid != own_pid && own_pid_of(pid) == own_pid && maps_file(pid, &wanted);
    }
    if (processes)
        closedir(processes);
    return found;
}

int running_place(pid_t pid, const char *variable, const char *fallback, char *ret_path,
                  size_t path_bytes)
{
    size_t length = strlen(variable), bytes = 0;
    const char *place = fallback;
    char *pair = NULL;
    int error;
    FILE *environment = proc_open(pid, "environ", &error);

    while (environment && getdelim(&pair, &bytes, '\0', environment) > 0)
        if (!strncmp(pair, variable, length) && pair[length] == '=' && pair[length + 1] == '/') {
            place = pair + length + 1;
            break;
        }
    error = name_for_us(pid, place, ret_path, path_bytes);
    free(pair);
    if (environment)
        fclose(environment);
    return error;
}
