/* SPDX-License-Identifier: MIT */
/*
 * Walks the loader's list; the build-id is the GNU note in a PT_NOTE segment.
 */
#include "cupti/stack/module_find.h"

#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

struct search {
    uint64_t address;
    struct module_place *place;
    bool found;
};

static void build_id_format(const unsigned char *id, size_t bytes, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < bytes && 2 * i + 2 < MODULE_BUILD_ID_BYTES; i++) {
        *ret_text++ = digits[id[i] >> 4];
        *ret_text++ = digits[id[i] & 15];
    }
    *ret_text = '\0';
}

/** Looks for the GNU build-id in a mapped segment of notes at `note`. */
static bool notes_read(const unsigned char *note, size_t bytes, char *ret_text)
{
    while (bytes >= sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *header = (const void *)note;
        size_t name_bytes = ((size_t)header->n_namesz + 3) & ~(size_t)3;
        size_t whole = sizeof *header + name_bytes + (((size_t)header->n_descsz + 3) & ~(size_t)3);

        if (whole > bytes)
            return false;
        if (header->n_type == NT_GNU_BUILD_ID && header->n_namesz == 4 &&
            !memcmp(note + sizeof *header, "GNU", 4)) {
            build_id_format(note + sizeof *header + name_bytes, header->n_descsz, ret_text);
            return true;
        }
        note += whole;
        bytes -= whole;
    }
    return false;
}

static bool module_contains(const struct dl_phdr_info *info, uint64_t address)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uint64_t begin = info->dlpi_addr + segment->p_vaddr;

        if (segment->p_type == PT_LOAD && address >= begin && address - begin < segment->p_memsz)
            return true;
    }
    return false;
}

static void module_describe(const struct dl_phdr_info *info, struct module_place *ret_place)
{
    const char *name = info->dlpi_name ? info->dlpi_name : "";
    size_t length = strnlen(name, sizeof ret_place->path - 1);
    uint64_t end = 0;

    /* Copied by hand, like everything in a site's first call: printf takes 2 KiB of stack. */
    memcpy(ret_place->path, name, length);
    ret_place->path[length] = '\0';
    ret_place->build_id[0] = '\0';
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

        if (segment->p_type == PT_LOAD && segment->p_vaddr + segment->p_memsz > end)
            end = segment->p_vaddr + segment->p_memsz;
        if (segment->p_type == PT_NOTE && !ret_place->build_id[0])
            notes_read((const void *)(info->dlpi_addr + segment->p_vaddr), segment->p_memsz,
                       ret_place->build_id);
    }
    ret_place->load_address = info->dlpi_addr;
    ret_place->extent_bytes = end;
}

static int visit(struct dl_phdr_info *info, size_t bytes, void *state)
{
    struct search *search = state;

    if (!module_contains(info, search->address))
        return 0;
    module_describe(info, search->place);
    search->found = true;
    return 1;
}

/** Cuts the suffix that the kernel adds to the name of a deleted or replaced program: a report
 * may find the same build there, or its debug file. */
static void deleted_cut(char *path, size_t length)
{
    static const char suffix[] = " (deleted)";
    size_t extra = sizeof suffix - 1;
    struct stat status;

    if (length > extra && !strcmp(path + length - extra, suffix) &&
        stat("/proc/self/exe", &status) == 0 && status.st_nlink == 0)
        path[length - extra] = '\0';
}

void module_program_path(char *ret_path, size_t path_bytes)
{
    ssize_t length = readlink("/proc/self/exe", ret_path, path_bytes - 1);
    const char *asked = (const char *)getauxval(AT_EXECFN);

    if (length >= 0) {
        ret_path[length] = '\0';
        deleted_cut(ret_path, (size_t)length);
    } else {
        snprintf(ret_path, path_bytes, "%s", asked ? asked : "");
    }
}

int module_find(const void *code_address, struct module_place *ret_place)
{
    struct search search = {.address = (uint64_t)(uintptr_t)code_address, .place = ret_place};

    dl_iterate_phdr(visit, &search);
    if (!search.found)
        return -ENOENT;
    if (!ret_place->path[0]) /* the loader has no name for the program itself */
        module_program_path(ret_place->path, sizeof ret_place->path);
    return 0;
}
