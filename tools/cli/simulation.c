/* SPDX-License-Identifier: MIT */
/*
 * The simulated device of the installation, for the program that a verb runs.
 */
#include "tools/cli/simulation.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/base/glob.h"
#include "tools/cli/verb.h"
#include "tools/launch/locate.h"

#define PROFILE_FOLDER "profiles"
#define PROFILE_END    ".ini"

#define PROFILE_BYTES_MOST 65536

/** A profile is a name, or a path with a slash: a regular file of bounded length. */
static bool profile_is_known(const char *directory, const char *profile)
{
    char path[2 * PATH_MAX];
    struct stat status;

    if (!profile || !*profile)
        return true;
    if (strchr(profile, '/'))
        snprintf(path, sizeof path, "%s", profile);
    else
        snprintf(path, sizeof path, "%s/" PROFILE_FOLDER "/%s" PROFILE_END, directory, profile);
    return access(path, R_OK) == 0 && stat(path, &status) == 0 && S_ISREG(status.st_mode) &&
           status.st_size <= PROFILE_BYTES_MOST;
}

static int profile_refuse(const char *verb, int code, const char *directory, const char *profile)
{
    char pattern[2 * PATH_MAX + 64], known[512] = "";
    glob_t found;

    strcpy(glob_literal(pattern, directory, strlen(directory)),
           "/" PROFILE_FOLDER "/*" PROFILE_END);
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            const char *name = strrchr(found.gl_pathv[i], '/') + 1;
            size_t used = strlen(known);

            snprintf(known + used, sizeof known - used, "%s%.*s", used ? ", " : "",
                     (int)(strlen(name) - strlen(PROFILE_END)), name);
        }
        globfree(&found);
    }
    return verb_error(verb, code,
                      "--sim=%s: no such profile: use %s, or a file with a slash in its path",
                      profile, known);
}

int simulation_use(const char *verb, int code, const char *profile)
{
    char directory[PATH_MAX];
    char *absolute; /* the program may change its directory */
    int error;

    if (locate_simulated_device(directory, sizeof directory) < 0)
        return verb_error(verb, code, "--sim: no simulated device in %s: build or install it",
                          directory);
    if (!profile_is_known(directory, profile))
        return profile_refuse(verb, code, directory, profile);
    absolute = profile && strchr(profile, '/') ? realpath(profile, NULL) : NULL;
    error = locate_use_simulated_device(directory, absolute ? absolute : profile);
    free(absolute);
    if (error == -EINVAL)
        return verb_error(verb, code,
                          "--sim: %s: the loader does not accept a path with a colon: move it",
                          directory);
    return error < 0 ? verb_error(verb, code, "%s", strerror(-error)) : 0;
}
