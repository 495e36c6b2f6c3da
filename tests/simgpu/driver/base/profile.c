/* SPDX-License-Identifier: MIT */
/*
 * Reading the profile and the environment. Anything unreadable is named on stderr and ignored: a
 * typing error must not look like a different device without a word.
 */
#include "tests/simgpu/driver/base/profile.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simgpu/driver/base/fault.h"

struct profile profile = {
#define DEFAULT_text(key, value)     .key = value,
#define DEFAULT_bytes(key, value)    .key = value,
#define DEFAULT_number(key, value)   .key = value,
#define PROFILE(key, type, default_) DEFAULT_##type(key, default_)
#include "tests/simgpu/driver/base/profile.def"
};

bool size_parse(const char *text, uint64_t *ret_bytes)
{
    static const struct {
        const char *unit;
        double bytes;
    } units[] = {{"", 1},       {"B", 1},        {"KiB", 0x1p10}, {"K", 0x1p10},   {"MiB", 0x1p20},
                 {"M", 0x1p20}, {"GiB", 0x1p30}, {"G", 0x1p30},   {"TiB", 0x1p40}, {"T", 0x1p40}};
    char *end;
    double value = strtod(text, &end);

    if (end == text || value < 0)
        return false;
    end += strspn(end, " ");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcmp(end, units[i].unit)) {
            *ret_bytes = (uint64_t)(value * units[i].bytes);
            return true;
        }
    return false;
}

void library_beside(const char *name, char *ret_path, size_t bytes)
{
    Dl_info info;
    const char *slash = NULL;

    if (dladdr((void *)&profile, &info) && info.dli_fname)
        slash = strrchr(info.dli_fname, '/');
    if (slash)
        snprintf(ret_path, bytes, "%.*s/%s", (int)(slash - info.dli_fname), info.dli_fname, name);
    else
        snprintf(ret_path, bytes, "%s", name);
}

static bool set_text(char *field, size_t bytes, const char *value)
{
    snprintf(field, bytes, "%s", value);
    return true;
}

static bool set_bytes(uint64_t *field, size_t bytes, const char *value)
{
    return size_parse(value, field);
}

static bool set_number(uint64_t *field, size_t bytes, const char *value)
{
    char *end;

    *field = strtoull(value, &end, 0);
    return end != value && !*end;
}

static bool key_set(const char *key, const char *value)
{
#define SET_text(key_)   set_text(profile.key_, sizeof profile.key_, value)
#define SET_bytes(key_)  set_bytes(&profile.key_, 0, value)
#define SET_number(key_) set_number(&profile.key_, 0, value)
#define PROFILE(key_, type, default_)                                                              \
    if (!strcmp(key, #key_))                                                                       \
        return SET_##type(key_);
#include "tests/simgpu/driver/base/profile.def"
    return false;
}

static bool cost_set(const char *key, const char *value)
{
    struct cost cost = {0};
    enum call_id id = call_by_name(key, strlen(key));

    if (id == CALL_COUNT ||
        sscanf(value, "%u %u %u", &cost.base_ns, &cost.mib_ns, &cost.busy_ns) < 1)
        return false;
    profile.cost[id] = cost;
    return true;
}

static char *trimmed(char *text)
{
    text += strspn(text, " \t");
    for (char *end = text + strlen(text); end > text && isspace((unsigned char)end[-1]);)
        *--end = 0;
    return text;
}

static void file_read(FILE *file, const char *path)
{
    static char line[512];
    bool costs = false;

    for (unsigned number = 1; fgets(line, sizeof line, file); number++) {
        line[strcspn(line, "#;")] = 0;
        char *key = trimmed(line);
        char *value = strchr(key, '=');
        if (*key == '[')
            costs = !strncmp(key, "[cost]", 6);
        else if (*key && value) {
            *value++ = 0;
            key = trimmed(key);
            value = trimmed(value);
            if (!(costs ? cost_set(key, value) : key_set(key, value)))
                fprintf(stderr, "simgpu: %s:%u: cannot read \"%s = %s\"\n", path, number, key,
                        value);
        } else if (*key) {
            fprintf(stderr, "simgpu: %s:%u: cannot read \"%s\"\n", path, number, key);
        }
    }
}

/* Costs are given for the plain name; its per-thread twin takes as long. */
static void costs_copy_to_twins(void)
{
    for (int i = 1; i < CALL_COUNT; i++) {
        const char *name = call_name(i);
        size_t length = strlen(name);

        if (length > 5 &&
            (!strcmp(name + length - 5, "_ptsz") || !strcmp(name + length - 5, "_ptds")))
            profile.cost[i] = profile.cost[i - 1];
    }
}

static void file_load(void)
{
    const char *choice = getenv("SIMGPU_PROFILE");
    static char path[4096], name[256]; /* once, perhaps on a small stack */

    if (!choice || !*choice)
        choice = "h200";
    if (strchr(choice, '/'))
        snprintf(path, sizeof path, "%s", choice);
    else {
        snprintf(name, sizeof name, "profiles/%s.ini", choice);
        library_beside(name, path, sizeof path);
    }
    FILE *file = fopen(path, "re");
    if (!file) {
        fprintf(stderr, "simgpu: no profile at %s; built-in values are used\n", path);
        return;
    }
    file_read(file, path);
    fclose(file);
    costs_copy_to_twins();
}

CUuuid profile_uuid(unsigned physical)
{
    CUuuid uuid = {"simgpu device"};

    uuid.bytes[15] = (char)physical;
    return uuid;
}

/* "GPU-73696d67-7075-...", as device tools print it. */
static void uuid_text(unsigned physical, char *ret)
{
    static const char *const format = "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
                                      "%02x%02x%02x%02x%02x%02x";
    CUuuid uuid = profile_uuid(physical);
    const unsigned char *b = (const unsigned char *)uuid.bytes;

    snprintf(ret, 48, format, b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10],
             b[11], b[12], b[13], b[14], b[15]);
}

/* An index, or the beginning of one device's UUID. The count of devices when it is neither. */
static unsigned visible_read(const char *word, size_t length)
{
    unsigned found = profile.devices;
    char *end, text[48];

    if (length < 4 || strncmp(word, "GPU-", 4) != 0) {
        unsigned long index = strtoul(word, &end, 10);

        return end == word + length && length && index < profile.devices ? (unsigned)index
                                                                         : profile.devices;
    }
    for (unsigned i = 0; i < profile.devices; i++) {
        uuid_text(i, text);
        if (strncmp(word, text, length) != 0)
            continue;
        if (found < profile.devices)
            return profile.devices; /* of more than one */
        found = i;
    }
    return found;
}

/* As natively: what names no device ends the list, and so does one named before. */
static void visible_load(void)
{
    const char *list = getenv("CUDA_VISIBLE_DEVICES");

    for (unsigned i = 0; !list && i < profile.devices; i++)
        profile.visible[profile.visible_count++] = i;
    while (list && *list) {
        size_t length = strcspn(list, ",");
        unsigned device = visible_read(list, length);

        for (unsigned i = 0; i < profile.visible_count; i++)
            if (profile.visible[i] == device)
                return;
        if (device >= profile.devices)
            return;
        profile.visible[profile.visible_count++] = device;
        list += length + (list[length] == ',');
    }
}

static void delay_load(void)
{
    const char *text = getenv("SIMGPU_DELAY_US");
    unsigned long long us = 0, seed = 0;

    if (text && sscanf(text, "%llu:%llu", &us, &seed) < 1)
        fprintf(stderr, "simgpu: SIMGPU_DELAY_US: \"%s\" is not N or N:SEED\n", text);
    profile.delay_ns = us * 1000;
    profile.delay_seed = seed;
}

/* SIMGPU_SET: single keys of the profile, "key=value,key=value". */
static void keys_load(void)
{
    const char *list = getenv("SIMGPU_SET");

    while (list && *list) {
        char pair[256];
        size_t length = strcspn(list, ",");

        snprintf(pair, sizeof pair, "%.*s", (int)length, list);
        char *value = strchr(pair, '=');
        if (value)
            *value++ = 0;
        if (!value || !(key_set(pair, value) || cost_set(pair, value)))
            fprintf(stderr, "simgpu: SIMGPU_SET: cannot read \"%.*s\"\n", (int)length, list);
        list += length + (list[length] == ',');
    }
}

void profile_load(void)
{
    const char *memory = getenv("SIMGPU_MEMORY");
    const char *others = getenv("SIMGPU_OTHERS");
    const char *devices = getenv("SIMGPU_DEVICES");
    const char *verbose = getenv("SIMGPU_VERBOSE");

    file_load();
    keys_load();
    if (memory && *memory) {
        if (size_parse(memory, &profile.memory_bytes))
            profile.context_bytes = 0; /* a size set by a test is usable as a whole */
        else
            fprintf(stderr, "simgpu: SIMGPU_MEMORY: \"%s\" is not a size\n", memory);
    }
    if (others && *others && !size_parse(others, &profile.others_bytes))
        fprintf(stderr, "simgpu: SIMGPU_OTHERS: \"%s\" is not a size\n", others);
    profile.memory_bytes = profile.memory_bytes / PAGE_BYTES * PAGE_BYTES;
    profile.others_bytes = profile.others_bytes / PAGE_BYTES * PAGE_BYTES;
    if (profile.others_bytes > profile.memory_bytes)
        profile.others_bytes = profile.memory_bytes;
    profile.devices = devices && *devices ? (unsigned)strtoul(devices, NULL, 10) : 1;
    if (profile.devices > PROFILE_DEVICES)
        profile.devices = PROFILE_DEVICES;
    profile.verbose = verbose && *verbose && *verbose != '0';
    visible_load();
    delay_load();
}
