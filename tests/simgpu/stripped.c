/* SPDX-License-Identifier: MIT */
/*
 * Each entry point of NVIDIA's runtime reports its beginning and end to CUPTI, with its name and
 * its number in CUPTI's headers. So a function that loads the address of the string "cudaMalloc",
 * and the right number for two calls and a field, is cudaMalloc. The table of .eh_frame_hdr has the
 * beginnings of functions, also in stripped modules. Wrappers of the runtime load the same names
 * but other numbers (line numbers in a Python module, for example): a module is a runtime only if
 * it has all of some well-known functions with CUPTI's numbers.
 *
 * The functions by which the compiler registers and launches kernels report nothing. A module with
 * kernels would run half on one runtime, half on the other, so none is found there.
 */
#include "tests/simgpu/stripped.h"

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)

#define CODE_LEAST    128 /* bytes of an entry point: 394 to 801 */
#define CODE_MOST     4096
#define NUMBER_MOST   4096 /* of a callback: some 500 */
#define NAME_BYTES    64
#define SEGMENTS_MOST 64
#define TEXT          ".rodata" /* the section that the names lie in */

/** The beginning of .eh_frame_hdr as linkers write it: version, encodings of its parts. */
static const unsigned char INDEX_KIND[] = {1, 0x1b, 0x03, 0x3b};

struct index {
    unsigned char kind[4];
    int32_t frames;
    uint32_t count;
    struct {
        int32_t begin, frame; /* from the index on */
    } function[];             /* in order of `begin` */
};

struct image {
    const char *file;
    size_t bytes;
    const ElfW(Phdr) * segment;
    const ElfW(Shdr) * section;
    size_t segments, sections;
};

static bool table_fits(const struct image *image, uint64_t offset, uint64_t count, uint64_t each)
{
    return offset <= image->bytes && count <= (image->bytes - offset) / each && offset % 8 == 0;
}

static bool image_read(const char *file, size_t bytes, struct image *ret_image)
{
    const ElfW(Ehdr) *header = (const void *)file;
    struct image image = {.file = file, .bytes = bytes};

    if (bytes < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_phentsize != sizeof *image.segment ||
        header->e_shentsize != sizeof *image.section || header->e_phnum > SEGMENTS_MOST ||
        !table_fits(&image, header->e_phoff, header->e_phnum, sizeof *image.segment) ||
        !table_fits(&image, header->e_shoff, header->e_shnum, sizeof *image.section))
        return false;
    image.segment = (const void *)(file + header->e_phoff);
    image.segments = header->e_phnum;
    image.section = (const void *)(file + header->e_shoff);
    image.sections = header->e_shnum;
    *ret_image = image;
    return true;
}

/** Returns the file's bytes at an address of the module, and their number; NULL: none. */
static const char *image_at(const struct image *image, uint64_t value, size_t *ret_left)
{
    for (size_t i = 0; i < image->segments; i++) {
        const ElfW(Phdr) *segment = &image->segment[i];

        if (segment->p_type != PT_LOAD || value < segment->p_vaddr ||
            value - segment->p_vaddr >= segment->p_filesz || segment->p_offset > image->bytes ||
            segment->p_filesz > image->bytes - segment->p_offset)
            continue;
        *ret_left = segment->p_filesz - (value - segment->p_vaddr);
        return image->file + segment->p_offset + (value - segment->p_vaddr);
    }
    return NULL;
}

/** Finds a section by name, with its contents in the file; NULL: none. */
static const ElfW(Shdr) * section_find(const struct image *image, const char *wanted)
{
    const ElfW(Ehdr) *header = (const void *)image->file;
    const ElfW(Shdr) *names = header->e_shstrndx < image->sections
                                  ? &image->section[header->e_shstrndx]
                                  : NULL;

    if (!names || names->sh_offset > image->bytes ||
        names->sh_size > image->bytes - names->sh_offset)
        return NULL;
    for (size_t i = 0; i < image->sections; i++) {
        const ElfW(Shdr) *section = &image->section[i];

        if (section->sh_name < names->sh_size &&
            names->sh_size - section->sh_name > strlen(wanted) &&
            !strcmp(image->file + names->sh_offset + section->sh_name, wanted) &&
            section->sh_offset <= image->bytes &&
            section->sh_size <= image->bytes - section->sh_offset)
            return section;
    }
    return NULL;
}

/** Whether to search the module: it has the name of a common function, and no kernels. */
static bool may_have_runtime(const struct image *image)
{
    const ElfW(Shdr) *texts = section_find(image, TEXT);

    return texts && !section_find(image, ".nvFatBinSegment") &&
           !section_find(image, ".nv_fatbin") &&
           memmem(image->file + texts->sh_offset, texts->sh_size, "cudaRuntimeGetVersion",
                  sizeof "cudaRuntimeGetVersion");
}

static uint64_t index_find(const struct image *image, const struct index **ret_index)
{
    for (size_t i = 0; i < image->segments; i++) {
        const struct index *index;
        size_t left;

        if (image->segment[i].p_type != PT_GNU_EH_FRAME)
            continue;
        index = (const void *)image_at(image, image->segment[i].p_vaddr, &left);
        if (!index || left < sizeof *index || (uintptr_t)index % 4 ||
            memcmp(index->kind, INDEX_KIND, sizeof INDEX_KIND) != 0 ||
            index->count > (left - sizeof *index) / sizeof *index->function)
            continue;
        *ret_index = index;
        return image->segment[i].p_vaddr;
    }
    *ret_index = NULL;
    return 0;
}

static uint32_t number_at(const char *code)
{
    uint32_t number;

    memcpy(&number, code, sizeof number);
    return number;
}

/** Returns the name of a runtime function at an address of the module; NULL: none. */
static const char *name_at(const struct image *image, uint64_t value)
{
    size_t left, length;
    const char *name = image_at(image, value, &left);

    if (!name || left < NAME_BYTES || strncmp(name, "cuda", 4) != 0 || name[4] < 'A' ||
        name[4] > 'Z')
        return NULL;
    length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    return length < NAME_BYTES && !name[length] ? name : NULL;
}

static bool is_argument(const char *code, const char *at)
{
    return at - code >= 1 && at[-1] == '\xbf'; /* mov $number, %edi */
}

static bool is_field(const char *code, const char *at)
{
    return (at - code >= 4 &&
            !memcmp(at - 4, "\x48\xc7\x45", 3)) ||                 /* movq $number, 8 bits(%rbp) */
           (at - code >= 7 && !memcmp(at - 7, "\x48\xc7\x85", 3)); /* 32 bits */
}

/** Returns the number that is the first argument of two calls and a field on the stack; 0: none.
 */
static uint32_t number_reported(const char *code, size_t bytes)
{
    enum { ONCE = 1, TWICE = 2, FIELD = 4 };
    uint8_t seen[NUMBER_MOST] = {0};

    for (const char *at = code + 1; at + 4 <= code + bytes; at++) {
        uint32_t number = number_at(at);

        if (number >= NUMBER_MOST)
            continue;
        if (is_argument(code, at))
            seen[number] |= seen[number] & ONCE ? TWICE : ONCE;
        if (is_field(code, at))
            seen[number] |= FIELD;
    }
    for (const char *at = code + 1; at + 4 <= code + bytes; at++) {
        uint32_t number = number_at(at);

        if (number && number < NUMBER_MOST && seen[number] == (ONCE | TWICE | FIELD))
            return number;
    }
    return 0;
}

/** Returns the one name that a function loads; NULL: none, or several. */
static const char *name_loaded(const struct image *image, uint64_t value, const char *code,
                               size_t bytes)
{
    const char *found = NULL;

    for (size_t i = 0; i + 7 <= bytes; i++) {
        const unsigned char *at = (const unsigned char *)code + i;
        const char *name;

        if ((at[0] != 0x48 && at[0] != 0x4c) || at[1] != 0x8d || (at[2] & 0xc7) != 0x05)
            continue; /* lea distance(%rip), any register */
        name = name_at(image, value + i + 7 + (uint64_t)(int64_t)(int32_t)number_at(code + i + 3));
        if (name && found && strcmp(name, found) != 0)
            return NULL;
        found = name ? name : found;
    }
    return found;
}

/** Numbers of CUPTI's headers; they are the same in all releases. */
static const struct {
    const char *name;
    uint32_t number;
} known[] = {{"cudaRuntimeGetVersion", 2}, {"cudaGetDeviceCount", 3}, {"cudaGetLastError", 10},
             {"cudaGetErrorString", 12},   {"cudaSetDevice", 16},     {"cudaGetDevice", 17},
             {"cudaMalloc", 20},           {"cudaFree", 22},          {"cudaMemcpy", 31}};
#define KNOWN_COUNT (sizeof known / sizeof *known)

/** State of the search: the well-known functions found. */
struct found {
    struct inside_function *functions;
    size_t count, capacity;
    unsigned known; /* bits */
};

/** False: a function reports a known name with a wrong number, so this is no runtime; or there is
 * no room for more. */
static bool function_add(struct found *found, const char *name, uint32_t number, uint64_t value)
{
    for (size_t k = 0; k < KNOWN_COUNT; k++)
        if (!strcmp(known[k].name, name)) {
            if (known[k].number != number)
                return false;
            found->known |= 1u << k;
        }
    if (found->count == found->capacity)
        return false;
    found->functions[found->count++] = (struct inside_function){name, value};
    return true;
}

static bool functions_find(const struct image *image, struct found *found)
{
    const struct index *index;
    uint64_t base = index_find(image, &index);

    for (size_t i = 0; index && i + 1 < index->count; i++) {
        int64_t length = (int64_t)index->function[i + 1].begin - index->function[i].begin;
        uint64_t value = base + (uint64_t)(int64_t)index->function[i].begin;
        size_t left;
        const char *code = image_at(image, value, &left), *name;
        uint32_t number;

        if (length < 0)
            return false; /* not in order: code would be read again and again */
        if (!code || length < CODE_LEAST || length > CODE_MOST || (size_t)length > left)
            continue;
        name = name_loaded(image, value, code, (size_t)length);
        number = name ? number_reported(code, (size_t)length) : 0;
        if (number && !function_add(found, name, number, value))
            return false;
    }
    return found->known == (1u << KNOWN_COUNT) - 1;
}

size_t stripped_read(const char *file, size_t bytes, size_t capacity,
                     struct inside_function *ret_functions)
{
    struct image image;
    struct found found = {.functions = ret_functions, .capacity = capacity};

    return image_read(file, bytes, &image) && may_have_runtime(&image) &&
                   functions_find(&image, &found)
               ? found.count
               : 0;
}

#else

size_t stripped_read(const char *file, size_t bytes, size_t capacity,
                     struct inside_function *ret_functions)
{
    (void)file, (void)bytes, (void)capacity, (void)ret_functions;
    return 0;
}

#endif
