/* SPDX-License-Identifier: MIT */
/*
 * See inside.h. A function's first bytes become a jump through a place that leads to `inside_first`
 * until the function is called, so that a simulated runtime is loaded only where one is used. It is
 * loaded into the program's namespace, as the auditor has one of its own.
 *
 * A module that exports functions of the same names, as wrappers and preload libraries do, has no
 * runtime inside: NVIDIA's comes with hundreds of helpers with a common prefix.
 */
#include "tests/simgpu/inside.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/simgpu/stripped.h"

#if defined(__x86_64__)

#define HELPER         "libcudart_static_"
#define NAME_BYTES     64
#define JUMP_BYTES     13
#define UNSUPPORTED    801 /* cudaErrorNotSupported */
#define FUNCTIONS_MOST 2048

/** Where a function of a module leads. */
struct place {
    _Atomic(void *) target; /* first: the jump reads it */
    const char *library;
    char name[NAME_BYTES];
};

/** The parts read from a module's file. */
struct symbols {
    const ElfW(Sym) * symbol;
    const char *names;
    size_t count, names_bytes;
};

/** A simulated runtime; mapped to see what it exports. */
static struct release {
    const char *version, *mark; /* a function that marks the release */
    char path[PATH_MAX];
    struct symbols exports;
} releases[] = {{.version = "12", .mark = "cudaGetDeviceProperties_v2"},
                {.version = "11.0", .mark = "cudaBindTexture"},
                {.version = "13", .mark = "cudaMalloc"}};

/* r11 is the place. The arguments are the function's. */
void inside_first(void) __attribute__((visibility("hidden")));
__asm__(".text\n"
        ".type inside_first, @function\n"
        "inside_first:\n"
        "    .cfi_startproc\n"
        "    pushq %rdi\n"
        "    pushq %rsi\n"
        "    pushq %rdx\n"
        "    pushq %rcx\n"
        "    pushq %r8\n"
        "    pushq %r9\n"
        "    subq $136, %rsp\n"
        "    .cfi_adjust_cfa_offset 184\n"
        "    movups %xmm0, (%rsp)\n"
        "    movups %xmm1, 16(%rsp)\n"
        "    movups %xmm2, 32(%rsp)\n"
        "    movups %xmm3, 48(%rsp)\n"
        "    movups %xmm4, 64(%rsp)\n"
        "    movups %xmm5, 80(%rsp)\n"
        "    movups %xmm6, 96(%rsp)\n"
        "    movups %xmm7, 112(%rsp)\n"
        "    movq %r11, %rdi\n"
        "    call inside_find\n"
        "    movq %rax, %r11\n"
        "    movups (%rsp), %xmm0\n"
        "    movups 16(%rsp), %xmm1\n"
        "    movups 32(%rsp), %xmm2\n"
        "    movups 48(%rsp), %xmm3\n"
        "    movups 64(%rsp), %xmm4\n"
        "    movups 80(%rsp), %xmm5\n"
        "    movups 96(%rsp), %xmm6\n"
        "    movups 112(%rsp), %xmm7\n"
        "    addq $136, %rsp\n"
        "    popq %r9\n"
        "    popq %r8\n"
        "    popq %rcx\n"
        "    popq %rdx\n"
        "    popq %rsi\n"
        "    popq %rdi\n"
        "    .cfi_adjust_cfa_offset -184\n"
        "    jmp *%r11\n"
        "    .cfi_endproc\n"
        ".size inside_first, .-inside_first\n");

static int unsupported(void)
{
    return UNSUPPORTED;
}

void *inside_find(struct place *place) __attribute__((visibility("hidden")));
void *inside_find(struct place *place)
{
    void *library = dlmopen(LM_ID_BASE, place->library, RTLD_NOW);
    void *target = library ? dlsym(library, place->name) : NULL;

    if (!target) {
        fprintf(stderr, "simgpu: %s is not in %s\n", place->name, place->library);
        target = (void *)unsupported;
    }
    atomic_store_explicit(&place->target, target, memory_order_release);
    return target;
}

/** A symbol table of a file that is mapped. False: it has none, or is no such file. */
static bool symbols_read(const char *file, size_t bytes, unsigned type, struct symbols *ret_symbols)
{
    const ElfW(Ehdr) *header = (const void *)file;
    const ElfW(Shdr) * section;

    if (bytes < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_shentsize != sizeof *section || header->e_shoff > bytes ||
        (bytes - header->e_shoff) / sizeof *section < header->e_shnum)
        return false;
    section = (const void *)(file + header->e_shoff);
    for (size_t i = 0; i < header->e_shnum; i++) {
        const ElfW(Shdr) *names = section[i].sh_link < header->e_shnum
                                      ? &section[section[i].sh_link]
                                      : NULL;

        if (section[i].sh_type != type || !names || section[i].sh_offset > bytes ||
            section[i].sh_size > bytes - section[i].sh_offset || names->sh_offset > bytes ||
            !names->sh_size || names->sh_size > bytes - names->sh_offset ||
            file[names->sh_offset + names->sh_size - 1])
            continue;
        *ret_symbols = (struct symbols){.symbol = (const void *)(file + section[i].sh_offset),
                                        .names = file + names->sh_offset,
                                        .count = section[i].sh_size / sizeof(ElfW(Sym)),
                                        .names_bytes = names->sh_size};
        return true;
    }
    return false;
}

/** A function of the runtime that a symbol is; NULL: it is none. */
static const char *function_of(const struct symbols *symbols, size_t i)
{
    const ElfW(Sym) *symbol = &symbols->symbol[i];
    const char *name = symbols->names + symbol->st_name;

    if (symbol->st_name >= symbols->names_bytes || ELF64_ST_TYPE(symbol->st_info) != STT_FUNC ||
        symbol->st_shndx == SHN_UNDEF || symbol->st_size < JUMP_BYTES || strlen(name) >= NAME_BYTES)
        return NULL;
    if (!strncmp(name, "__cuda", 6))
        name += 2;
    return !strncmp(name, "cuda", 4) && name[4] >= 'A' && name[4] <= 'Z'
               ? symbols->names + symbol->st_name
               : NULL;
}

/** Names and places of the runtime's functions; 0: there is no runtime of NVIDIA's inside. */
static size_t named_read(const struct symbols *symbols, size_t capacity,
                         struct inside_function *ret_functions)
{
    size_t functions = 0;
    bool is_nvidias = false;

    for (size_t i = 0; i < symbols->count; i++) {
        const ElfW(Sym) *symbol = &symbols->symbol[i];
        const char *name = function_of(symbols, i);

        is_nvidias |= symbol->st_name < symbols->names_bytes &&
                      !strncmp(symbols->names + symbol->st_name, HELPER, sizeof HELPER - 1);
        if (name && functions < capacity)
            ret_functions[functions++] = (struct inside_function){name, symbol->st_value};
    }
    return is_nvidias ? functions : 0;
}

static struct release *release_of(const struct inside_function *functions, size_t count)
{
    size_t found = sizeof releases / sizeof *releases - 1;

    for (size_t i = 0; i < count; i++)
        for (size_t r = 0; r < found; r++)
            if (!strcmp(functions[i].name, releases[r].mark))
                found = r;
    return &releases[found];
}

/** A file, mapped. NULL: it is not to be read. */
static char *file_map(const char *path, size_t *ret_bytes)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *file = MAP_FAILED;

    if (fd >= 0 && fstat(fd, &status) == 0 && status.st_size > 0)
        file = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (fd >= 0)
        close(fd);
    if (file == MAP_FAILED)
        return NULL;
    *ret_bytes = (size_t)status.st_size;
    return file;
}

static bool release_open(struct release *release, const char *folder)
{
    size_t bytes;
    char *file;

    if (release->exports.count)
        return true;
    snprintf(release->path, sizeof release->path, "%slibcudart.so.%s", folder, release->version);
    file = file_map(release->path, &bytes);
    return file && symbols_read(file, bytes, SHT_DYNSYM, &release->exports);
}

/** A symbol with the name of a runtime function may be the program's own. */
static bool is_exported(const struct release *release, const char *name)
{
    for (size_t e = 0; e < release->exports.count; e++)
        if (!strcmp(release->exports.names + release->exports.symbol[e].st_name, name))
            return true;
    return false;
}

static void jump_write(unsigned char *code, struct place *place)
{
    static const unsigned char load[] = {0x49, 0xbb}, jump[] = {0x41, 0xff, 0x23};

    memcpy(code, load, sizeof load); /* movabs $place, %r11 */
    memcpy(code + sizeof load, &place, sizeof place);
    memcpy(code + sizeof load + sizeof place, jump, sizeof jump); /* jmp *(%r11) */
}

static void functions_replace(const struct inside_function *functions, size_t count, uintptr_t base,
                              const struct release *release)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = UINTPTR_MAX, end = 0;
    struct place *place = mmap(NULL, count * sizeof *place, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for (size_t i = 0; i < count; i++) {
        uintptr_t at = base + functions[i].value;

        begin = at < begin ? at : begin;
        end = at + JUMP_BYTES > end ? at + JUMP_BYTES : end;
    }
    begin &= ~(page - 1);
    if (place == MAP_FAILED ||
        mprotect((void *)begin, end - begin, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
        return;
    for (size_t i = 0; i < count; i++) {
        if (!is_exported(release, functions[i].name))
            continue;
        atomic_store_explicit(&place->target, (void *)inside_first, memory_order_relaxed);
        place->library = release->path;
        strcpy(place->name, functions[i].name);
        jump_write((unsigned char *)(base + functions[i].value), place++);
    }
    mprotect((void *)begin, end - begin, PROT_READ | PROT_EXEC);
}

void inside_replace(const char *path, uintptr_t base, const char *folder)
{
    struct inside_function *functions = mmap(NULL, FUNCTIONS_MOST * sizeof *functions,
                                             PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                                             -1, 0);
    struct symbols symbols;
    struct release *release;
    size_t count = 0, bytes;
    char *file = file_map(path, &bytes);

    if (file && functions != MAP_FAILED) {
        if (symbols_read(file, bytes, SHT_SYMTAB, &symbols))
            count = named_read(&symbols, FUNCTIONS_MOST, functions);
        if (!count)
            count = stripped_read(file, bytes, FUNCTIONS_MOST, functions);
        release = release_of(functions, count);
        if (count && release_open(release, folder))
            functions_replace(functions, count, base, release);
    }
    if (functions != MAP_FAILED)
        munmap(functions, FUNCTIONS_MOST * sizeof *functions);
    if (file)
        munmap(file, bytes);
}

#else

void inside_replace(const char *path, uintptr_t base, const char *folder)
{
    (void)path, (void)base, (void)folder;
}

#endif
