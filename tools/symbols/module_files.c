/* SPDX-License-Identifier: MIT */
/*
 * libdwfl holds the files of a module, reported offline at the addresses that the file itself has.
 * It looks for debug information under /usr/lib/debug (by build-id, by .gnu_debuglink, for the
 * common part that dwz took out), checks what it finds, and asks debuginfod.
 *
 * Two things are done here because paths and files are hostile, and libdwfl trusts both:
 *  - Files in places where anyone may put them (the module, and debug files beside it) are opened
 *    here. libdwfl opens FIFOs and devices, which may block or have side effects.
 *  - Only plain ELF files that a loader can load are passed on. libdwfl inflates compressed files,
 *    and symbols of relocatable ones, into memory without a bound.
 *  - Files that would become many times larger in memory, by compressed sections or by holes, are
 *    not passed on.
 * Symbols of .gnu_debugdata are not read for the same reason.
 */
#include "tools/symbols/module_files.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <elfutils/libdwelf.h>

#include "tools/base/file/mapped_guard.h"
#include "tools/base/file/regular_file.h"
#include "tools/base/shortage.h"
#include "tools/symbols/debug_bounds.h"
#include "tools/symbols/elf_file.h"

#define DEBUG_ROOT       "/usr/lib/debug"
#define SERVERS_VARIABLE "DEBUGINFOD_URLS"
#define ALLOWED_VARIABLE "CUPOOL_DEBUGINFOD"

/* libdw makes a row of some hundred bytes of each byte of a line table, if it is made for that. */
#define LINES_WEIGHT 16

/* libdw makes some fifty bytes of an abbreviation of five. */
#define UNITS_WEIGHT 12

/** Whether a file has this build-id, or has none if none is wanted. */
static bool build_id_is(Elf *elf, const char *wanted)
{
    const void *id;
    ssize_t bytes = dwelf_elf_gnu_build_id(elf, &id);
    char digits[3];

    if (bytes <= 0 || strlen(wanted) != 2 * (size_t)bytes)
        return bytes <= 0 && !*wanted;
    for (ssize_t i = 0; i < bytes; i++) {
        snprintf(digits, sizeof digits, "%02x", ((const unsigned char *)id)[i]);
        if (strncmp(wanted + 2 * i, digits, 2) != 0)
            return false;
    }
    return true;
}

/** What cannot be opened is not there. */
static int regular_open(const char *path)
{
    int fd = regular_file_open(path);

    if (fd < 0)
        shortage_note(fd);
    return fd < 0 ? -ENOENT : fd;
}

/** Returns the bytes of a section when it is inflated; 0: it is not compressed. */
static uint64_t inflated_bytes(Elf_Scn *section, const GElf_Shdr *header, const char *name)
{
    GElf_Chdr compressed;
    const Elf_Data *raw;
    const unsigned char *bytes;
    uint64_t size = 0;

    if (header->sh_flags & SHF_COMPRESSED)
        return gelf_getchdr(section, &compressed) ? compressed.ch_size : 0;
    /* As before there was that flag: "ZLIB" and the size, its highest byte first. */
    if (strncmp(name, ".zdebug", 7) != 0)
        return 0;
    raw = elf_rawdata(section, NULL);
    if (!raw || !raw->d_buf || raw->d_size < 12)
        return 0;
    bytes = raw->d_buf;
    for (int i = 4; i < 12; i++)
        size = size << 8 | bytes[i];
    return size;
}

/** Sums up the inflated sections of a file. False: they are not in proportion to it. */
static bool inflated_sum(Elf *elf, uint64_t left, uint64_t *ret_bytes)
{
    Elf_Scn *section = NULL;
    GElf_Shdr header;

    *ret_bytes = 0;
    while ((section = elf_nextscn(elf, section))) {
        const char *name = gelf_getshdr(section, &header) ? elf_file_section_name(elf, &header)
                                                          : NULL;
        uint64_t inflated = name ? inflated_bytes(section, &header, name) : 0;
        uint64_t weight = inflated && strstr(name, "debug_line") ? LINES_WEIGHT : 1;

        if (inflated > left / weight)
            return false;
        left -= inflated * weight;
        *ret_bytes += inflated;
    }
    return true;
}

int64_t module_files_taken_bytes(const char *path)
{
    int fd = regular_open(path);
    uint64_t left = 0, inflated, units, paths;
    struct debug_bounds_lines sections;
    int64_t result = -EFBIG;
    Elf *elf;

    if (fd < 0)
        return fd;
    elf = elf_file_begin(fd, &left);
    if (elf && elf_kind(elf) != ELF_K_ELF)
        result = -ENOENT;
    else if (elf && inflated_sum(elf, left, &inflated) && debug_bounds_units(elf, &units) == 0 &&
             debug_bounds_lines_find(elf, &sections) == 0 &&
             debug_bounds_paths(&sections, 0, NULL, &paths) == 0)
        result = (int64_t)(inflated + UNITS_WEIGHT * units + paths);
    elf_end(elf);
    close(fd);
    return result;
}

int module_files_identify(const char *path, char ret_text[MODULE_FILES_IDENTITY_BYTES])
{
    struct stat status;

    if (stat(path, &status) < 0)
        return -errno;
    snprintf(ret_text, MODULE_FILES_IDENTITY_BYTES, "%llu.%llu", (unsigned long long)status.st_dev,
             (unsigned long long)status.st_ino);
    return S_ISREG(status.st_mode) ? 0 : -ENOENT;
}

/** Opens a file that can be loaded. Errors: -ENOENT none, -ESTALE with another build-id. */
static int loadable_open(const char *path, const char *build_id)
{
    int fd = regular_open(path), error = -ENOENT;
    uint64_t left = 0, inflated;
    GElf_Ehdr header;
    Elf *elf;

    if (fd < 0)
        return fd;
    elf = elf_file_begin(fd, &left);
    if (elf && elf_kind(elf) == ELF_K_ELF && gelf_getehdr(elf, &header) &&
        (header.e_type == ET_EXEC || header.e_type == ET_DYN) && inflated_sum(elf, left, &inflated))
        error = build_id_is(elf, build_id) ? 0 : -ESTALE;
    elf_end(elf);
    if (!error)
        return fd;
    close(fd);
    return error;
}

/** Input and result of the search for a module's debug files. */
struct search {
    const char *build_id;
    int found_fd; /* duplicate of the descriptor given to libdwfl; -1: none */
};

/** Opens the debug file beside a module or in .debug/ there; -1: none. */
static int beside_open(const struct search *search, const char *path, const char *link,
                       char **ret_path)
{
    static const char *const places[] = {"%.*s/%s", "%.*s/.debug/%s"};
    const char *slash = strrchr(path, '/');
    int directory = slash ? (int)(slash - path) : 0;

    for (size_t i = 0; slash && i < sizeof places / sizeof *places; i++) {
        char place[PATH_MAX];
        int fd;

        /* A truncated path must not be opened. */
        snprintf(place, sizeof place, places[i], directory, path, link);
        fd = loadable_open(place, search->build_id);
        if (fd < 0)
            continue;
        *ret_path = strdup(place);
        return fd;
    }
    return -1;
}

/**
 * Runs libdwfl's own search. It queries servers last, but only if the user allows it: a report
 * should not use the network uninvited, and distributions configure servers for all users.
 */
static int standard_find(Dwfl_Module *module, void **state, const char *name, Dwarf_Addr base,
                         const char *path, const char *link, GElf_Word checksum, char **ret_path)
{
    const char *allowed = getenv(ALLOWED_VARIABLE), *named = getenv(SERVERS_VARIABLE);
    bool hidden = named && !(allowed && !strcmp(allowed, "1"));
    char *servers = hidden ? strdup(named) : NULL;
    int fd;

    if (hidden && !servers)
        return -1;
    if (hidden)
        unsetenv(SERVERS_VARIABLE);
    fd = dwfl_standard_find_debuginfo(module, state, name, base, path, link, checksum, ret_path);
    if (hidden)
        setenv(SERVERS_VARIABLE, servers, 1);
    free(servers);
    return fd;
}

/**
 * Finds the debug file of a module, and the common file that dwz made for several modules. The
 * latter has no checksum, and its name is a path, of which libdwfl needs only the last part.
 */
static int debug_file_find(Dwfl_Module *module, void **state, const char *name, Dwarf_Addr base,
                           const char *path, const char *link, GElf_Word checksum, char **ret_path)
{
    struct search *search = *state;
    const char *slash = link ? strrchr(link, '/') : NULL;
    int fd = dwfl_build_id_find_debuginfo(module, state, name, base, path, link, checksum,
                                          ret_path);

    if (fd < 0 && link && !slash && checksum)
        fd = beside_open(search, path, link, ret_path);
    if (fd < 0)
        fd = standard_find(module, state, name, base, path, slash ? slash + 1 : link, checksum,
                           ret_path);
    if (fd >= 0 && search->found_fd < 0)
        search->found_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return fd;
}

/** The file of a module is always open already. */
static int file_find(Dwfl_Module *module, void **state, const char *name, Dwarf_Addr base,
                     char **ret_path, Elf **ret_elf)
{
    return -1;
}

static Dwfl_Module *module_report(Dwfl *dwfl, const char *path, int fd)
{
    /* With base 0 addresses are those in the file. */
    Dwfl_Module *module = dwfl_report_elf(dwfl, path, path, fd, 0, true);

    if (!module)
        close(fd);
    return dwfl_report_end(dwfl, NULL, NULL) == 0 ? module : NULL;
}

/** Opens a debug file without debug information, as of a program built without -g. */
static void bare_open(int fd, struct module_files *files)
{
    Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);

    if (elf && elf_kind(elf) == ELF_K_ELF) {
        files->debug = files->bare = elf;
        files->bare_fd = fd;
        return;
    }
    elf_end(elf);
    close(fd);
}

/** Returns the directory of an open file; NULL: out of memory. */
static char *folder_of(int fd)
{
    char link[32], path[PATH_MAX] = "", *slash;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) < 0)
        *path = '\0';
    slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
    return strdup(path);
}

static void debug_open(Dwfl_Module *module, int fd, struct search *search,
                       struct module_files *files)
{
    void **state;
    Dwarf_Addr bias;

    dwfl_module_info(module, &state, NULL, NULL, NULL, NULL, NULL, NULL);
    *state = search;
    files->dwarf = dwfl_module_getdwarf(module, &bias);
    *state = NULL;
    if (files->dwarf && dwarf_getelf(files->dwarf) != files->elf)
        files->debug = dwarf_getelf(files->dwarf);
    files->folder = folder_of(files->debug ? search->found_fd : fd);
    if (!files->folder)
        files->dwarf = NULL;
    if (!files->dwarf && search->found_fd >= 0)
        bare_open(search->found_fd, files);
    else if (search->found_fd >= 0)
        close(search->found_fd);
}

int module_files_open(const char *path, const char *build_id, struct module_files *ret_files)
{
    static char *root = DEBUG_ROOT;
    static const Dwfl_Callbacks callbacks = {.find_elf = file_find,
                                             .find_debuginfo = debug_file_find,
                                             .section_address = dwfl_offline_section_address,
                                             .debuginfo_path = &root};
    struct module_files files = {.bare_fd = -1};
    struct search search = {build_id, -1};
    Dwfl_Module *module = NULL;
    GElf_Addr bias;
    int fd;

    if (elf_version(EV_CURRENT) == EV_NONE)
        return -ENOENT;
    mapped_guard_begin();
    fd = loadable_open(path, build_id);
    if (fd < 0)
        return fd;
    files.dwfl = dwfl_begin(&callbacks);
    if (files.dwfl)
        module = module_report(files.dwfl, path, fd);
    else
        close(fd);
    files.elf = module ? dwfl_module_getelf(module, &bias) : NULL;
    if (!files.elf) {
        module_files_close(&files);
        return -ENOENT;
    }
    debug_open(module, fd, &search, &files);
    *ret_files = files;
    return 0;
}

void module_files_close(struct module_files *files)
{
    if (files->bare) {
        elf_end(files->bare);
        close(files->bare_fd);
    }
    free(files->folder);
    if (files->dwfl)
        dwfl_end(files->dwfl);
    *files = (struct module_files){.bare_fd = -1};
}
