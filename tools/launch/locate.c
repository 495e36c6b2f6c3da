/* SPDX-License-Identifier: MIT */
/*
 * Each list is tried in order, relative to the directory of the running binary.
 */
#include "tools/launch/locate.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/base/glob.h"

static const char *const library_places[] = {"../shim/libcupool.so", "../lib*/cupool/libcupool.so",
                                             "../lib*/libcupool.so", "../lib*/*/libcupool.so",
                                             NULL};

static const char *const simulated_places[] = {"../tests/simgpu/libcuda.so.1",
                                               "../lib*/cupool/sim/libcuda.so.1",
                                               "../lib*/*/cupool/sim/libcuda.so.1", NULL};

static int own_directory(char *ret_path, size_t path_bytes)
{
    ssize_t length = readlink("/proc/self/exe", ret_path, path_bytes - 1);

    if (length < 0)
        return -errno;
    ret_path[length] = '\0';
    *strrchr(ret_path, '/') = '\0';
    return 0;
}

/** Returns the directory of a file as an absolute plain path; if the file is a link, it is not
 * followed. */
static void path_clean(const char *path, char *ret_path, size_t path_bytes)
{
    const char *name = strrchr(path, '/');
    char directory[PATH_MAX], real[PATH_MAX];

    snprintf(directory, sizeof directory, "%.*s", name ? (int)(name - path) : 1, name ? path : ".");
    if (realpath(directory, real))
        snprintf(ret_path, path_bytes, "%s/%s", real, name ? name + 1 : path);
    else
        snprintf(ret_path, path_bytes, "%s", path);
}

/** Returns the first file that exists. On -ENOENT `ret_path` is the first place itself. */
static int place_find(const char *const *places, char *ret_path, size_t path_bytes)
{
    char directory[PATH_MAX], pattern[2 * PATH_MAX + 64], *place;
    int error = own_directory(directory, sizeof directory);

    if (error < 0) {
        snprintf(ret_path, path_bytes, "/proc/self/exe");
        return error;
    }
    place = glob_literal(pattern, directory, strlen(directory));
    for (size_t i = 0; places[i]; i++) {
        glob_t found;

        snprintf(place, (size_t)(pattern + sizeof pattern - place), "/%s", places[i]);
        if (glob(pattern, 0, NULL, &found) == 0) {
            path_clean(found.gl_pathv[0], ret_path, path_bytes);
            globfree(&found);
            return 0;
        }
    }
    snprintf(ret_path, path_bytes, "%s/%s", directory, places[0]);
    return -ENOENT;
}

int locate_library(char *ret_path, size_t path_bytes)
{
    const char *named = getenv("CUPOOL_LIBRARY");
    struct stat status;

    if (!named || !*named)
        return place_find(library_places, ret_path, path_bytes);
    path_clean(named, ret_path, path_bytes);
    /* The loader of the program would wait for the other end of a pipe. */
    if (stat(ret_path, &status) < 0 || !S_ISREG(status.st_mode))
        return -ENOENT;
    return access(ret_path, R_OK) < 0 ? -ENOENT : 0;
}

int locate_simulated_device(char *ret_path, size_t path_bytes)
{
    int error = place_find(simulated_places, ret_path, path_bytes);

    *strrchr(ret_path, '/') = '\0';
    return error;
}

/** Puts an entry before those of a list in the environment. */
static int list_prepend(const char *variable, const char *path)
{
    const char *before = getenv(variable);
    char *joined = NULL;
    int error = 0;

    if (asprintf(&joined, "%s%s%s", path, before && *before ? ":" : "", before ? before : "") < 0)
        return -ENOMEM;
    if (setenv(variable, joined, 1) < 0)
        error = -errno;
    free(joined);
    return error;
}

/* With an auditor the loader has reserved thread-local memory before it loads preloaded and linked
 * libraries. Those that need theirs there, as allocators do, must fit: jemalloc needs 2,632 bytes,
 * glibc reserves 1,664. */
#define STATIC_TLS "glibc.rtld.optional_static_tls"

static int static_tls_raise(void)
{
    const char *before = getenv("GLIBC_TUNABLES");

    return before && strstr(before, STATIC_TLS)
               ? 0
               : list_prepend("GLIBC_TUNABLES", STATIC_TLS "=4096");
}

/* LD_LIBRARY_PATH finds the libraries if nothing precedes it. The loader's auditor finds them
 * before an RPATH, and in place of others named by path. Device files exist for programs that
 * look for them. */
int locate_use_simulated_device(const char *directory, const char *profile)
{
    char auditor[PATH_MAX + 32], files[PATH_MAX + 32];
    int error;

    if (strpbrk(directory, ":;"))
        return -EINVAL;
    snprintf(files, sizeof files, "%s/simgpu_files.so", directory);
    error = list_prepend("LD_LIBRARY_PATH", directory);
    snprintf(auditor, sizeof auditor, "%s/simgpu_loader.so", directory);
    if (error == 0 && access(auditor, R_OK) == 0)
        error = list_prepend("LD_AUDIT", auditor);
    if (error == 0)
        error = static_tls_raise();
    if (error == 0 && access(files, R_OK) == 0 && !strpbrk(files, " \t\n"))
        error = list_prepend("LD_PRELOAD", files);
    if (error == 0 && profile && *profile && setenv("SIMGPU_PROFILE", profile, 1) < 0)
        error = -errno;
    return error;
}

const char *locate_display(const char *path)
{
    char directory[PATH_MAX];
    size_t length;

    if (!getcwd(directory, sizeof directory))
        return path;
    length = strlen(directory);
    return !strncmp(path, directory, length) && path[length] == '/' ? path + length + 1 : path;
}
