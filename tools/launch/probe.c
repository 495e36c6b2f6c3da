/* SPDX-License-Identifier: MIT */
/*
 * The child is this binary again, as `cupool doctor --probe`, so that it is started
 * with the environment a traced program would have. It writes lines KEY VALUE.
 */
#include "tools/launch/probe.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_SECONDS 10

const char *const probe_runtime_name[PROBE_RUNTIMES] = {"libcudart.so.13", "libcudart.so.12",
                                                        "libcudart.so.11.0"};

static const char *const cupti_names[] = {"libcupti.so.13", "libcupti.so.12",
                                          "/usr/local/cuda/extras/CUPTI/lib64/libcupti.so",
                                          "/usr/local/cuda/lib64/libcupti.so"};

static void library_tell(const char *key, void *handle)
{
    struct link_map *map;

    if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0)
        printf("%s %s\n", key, map->l_name);
    fflush(stdout);
}

static void driver_tell(void *driver)
{
    int (*version_get)(int *) = (int (*)(int *))dlsym(driver, "cuDriverGetVersion");
    int (*init)(unsigned) = (int (*)(unsigned))dlsym(driver, "cuInit");
    int (*count_get)(int *) = (int (*)(int *))dlsym(driver, "cuDeviceGetCount");
    int version = 0, devices = 0, error = -1;

    printf("simulated %d\n", dlsym(driver, "simgpu_calls") != NULL);
    if (version_get && version_get(&version) == 0)
        printf("driver_version %d\n", version);
    fflush(stdout);
    if (init)
        error = init(0);
    printf("driver_error %d\n", error);
    if (error == 0 && count_get && count_get(&devices) == 0)
        printf("devices %d\n", devices);
}

int probe_child(void)
{
    void *driver, *library;

    alarm(CHILD_SECONDS);
    for (int i = 0; i < PROBE_RUNTIMES; i++) {
        char key[32];

        snprintf(key, sizeof key, "runtime%d", i);
        library = dlopen(probe_runtime_name[i], RTLD_LAZY | RTLD_LOCAL);
        if (library)
            library_tell(key, library);
    }
    library = NULL;
    for (size_t i = 0; !library && i < sizeof cupti_names / sizeof *cupti_names; i++)
        library = dlopen(cupti_names[i], RTLD_LAZY | RTLD_LOCAL);
    if (library)
        library_tell("cupti", library);
    driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (driver) {
        library_tell("driver", driver);
        driver_tell(driver);
    }
    fflush(stdout);
    _exit(0); /* the libraries' own endings are none of ours */
}

static void line_read(struct probe *probe, char *line)
{
    char *value = strchr(line, ' ');
    const struct {
        const char *key;
        char *path;
        int *number;
    } fields[] = {
        {"driver", probe->driver, NULL},
        {"cupti", probe->cupti, NULL},
        {"runtime0", probe->runtime[0], NULL},
        {"runtime1", probe->runtime[1], NULL},
        {"runtime2", probe->runtime[2], NULL},
        {"driver_version", NULL, &probe->driver_version},
        {"driver_error", NULL, &probe->driver_error},
        {"devices", NULL, &probe->devices},
    };

    if (!value)
        return;
    *value++ = '\0';
    value[strcspn(value, "\n")] = '\0';
    if (!strcmp(line, "simulated"))
        probe->simulated = *value == '1';
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (strcmp(line, fields[i].key) != 0)
            continue;
        if (fields[i].path)
            snprintf(fields[i].path, PATH_MAX, "%s", value);
        else
            *fields[i].number = atoi(value);
    }
}

/** Starts a program with its `redirected` descriptor as a pipe. */
static int child_start(const char *path, char *const *argv, char *const *environment,
                       int redirected, pid_t *ret_pid, FILE **ret_output)
{
    posix_spawn_file_actions_t actions;
    int ends[2], error;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], redirected);
    error = -posix_spawn(ret_pid, path, &actions, NULL, argv, environment);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    *ret_output = error == 0 ? fdopen(ends[0], "r") : NULL;
    if (!*ret_output)
        close(ends[0]);
    return error;
}

static int child_wait(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

int probe_run(struct probe *ret_probe)
{
    char name[] = "cupool", verb[] = "doctor", flag[] = "--probe";
    char *argv[] = {name, verb, flag, NULL};
    char line[PATH_MAX + 64];
    FILE *output = NULL;
    pid_t pid = -1;
    int error = child_start("/proc/self/exe", argv, environ, STDOUT_FILENO, &pid, &output);

    memset(ret_probe, 0, sizeof *ret_probe);
    if (error < 0)
        return error;
    while (output && fgets(line, sizeof line, output))
        line_read(ret_probe, line);
    if (output)
        fclose(output);
    return child_wait(pid);
}

int probe_preload(const char *library, char *ret_complaint, size_t complaint_bytes)
{
    char name[] = "true", preload[PATH_MAX + 16];
    char *argv[] = {name, NULL}, *environment[] = {preload, NULL};
    FILE *output = NULL;
    pid_t pid = -1;
    int error;

    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", library);
    error = child_start("/bin/true", argv, environment, STDERR_FILENO, &pid, &output);
    if (error < 0)
        return error;
    *ret_complaint = '\0';
    if (output) {
        if (fgets(ret_complaint, (int)complaint_bytes, output))
            ret_complaint[strcspn(ret_complaint, "\n")] = '\0';
        while (fgetc(output) != EOF)
            ;
        fclose(output);
    }
    error = child_wait(pid);
    return error < 0 ? error : *ret_complaint ? -EIO : 0;
}
