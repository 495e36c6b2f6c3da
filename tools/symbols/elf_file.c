/* SPDX-License-Identifier: MIT */
#include "tools/symbols/elf_file.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file may take so many times its bytes on the disk; what is small is not looked at. Debug
 * information is compressed to a quarter, seldom to a tenth. */
#define MOST_FOLD      64
#define ANY_FOLD_BYTES (UINT64_C(16) << 20)

#define SECTION_NAME_BYTES 128

/** Returns the bytes of a file that are no hole. */
static uint64_t data_bytes(int fd, uint64_t bytes)
{
    uint64_t sum = 0;
    off_t data, hole = 0;

    while ((data = lseek(fd, hole, SEEK_DATA)) >= 0) {
        hole = lseek(fd, data, SEEK_HOLE);
        if (hole <= data)
            return bytes; /* the file system does not say */
        sum += (uint64_t)(hole - data);
    }
    return errno == ENXIO ? sum : bytes;
}

/** Returns how many bytes a file may take: many times those on the disk. */
static uint64_t most_bytes(int fd, uint64_t bytes)
{
    uint64_t held = bytes > ANY_FOLD_BYTES ? data_bytes(fd, bytes) : bytes;

    return held > UINT64_MAX / MOST_FOLD / 2 ? UINT64_MAX / 2 : ANY_FOLD_BYTES + held * MOST_FOLD;
}

/** Whether the table with the names of sections ends with a zero byte, as libelf expects it. */
static bool names_end(Elf *elf)
{
    size_t section;
    const Elf_Data *names = elf_getshdrstrndx(elf, &section) == 0
                                ? elf_rawdata(elf_getscn(elf, section), NULL)
                                : NULL;

    return !names || !names->d_buf || !names->d_size ||
           !((const char *)names->d_buf)[names->d_size - 1];
}

Elf *elf_file_begin(int fd, uint64_t *ret_left)
{
    struct stat status;
    Elf *elf;
    uint64_t bytes, most;

    if (fstat(fd, &status) < 0)
        return NULL;
    bytes = (uint64_t)status.st_size;
    most = most_bytes(fd, bytes);
    if (bytes > most)
        return NULL;
    elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
    if (elf && elf_kind(elf) == ELF_K_ELF && !names_end(elf)) {
        elf_end(elf);
        return NULL;
    }
    *ret_left = most - bytes;
    return elf;
}

const char *elf_file_section_name(Elf *elf, const GElf_Shdr *header)
{
    size_t names;
    const char *name = elf_getshdrstrndx(elf, &names) == 0
                           ? elf_file_text(elf, names, header->sh_name, SECTION_NAME_BYTES)
                           : NULL;

    return name ? name : "";
}

const char *elf_file_text(Elf *elf, size_t section, uint64_t offset, size_t most_bytes)
{
    const Elf_Data *texts = elf_getdata(elf_getscn(elf, section), NULL);
    const char *text;
    size_t left;

    if (!texts || !texts->d_buf || offset >= texts->d_size)
        return NULL;
    text = (const char *)texts->d_buf + offset;
    left = texts->d_size - (size_t)offset;
    return memchr(text, '\0', left < most_bytes ? left : most_bytes) ? text : NULL;
}
