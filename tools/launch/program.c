/* SPDX-License-Identifier: MIT */
/*
 * A statically linked runtime leaves its entry points in the symbol table; in a stripped program
 * its request for the driver's function table remains in the data.
 */
#include "tools/launch/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tools/base/file/mapped_guard.h"
#include "tools/symbols/elf_file.h"

/* Of a table of symbols or of the loader: more than any program has, and a bound for a file that
 * is mostly a hole. */
#define ROWS_MOST (1 << 22)

/* Longer than any name that is looked for. */
#define NAME_BYTES 256

/** First executable of that name on PATH. */
static int path_find(const char *name, char *ret_path, size_t path_bytes)
{
    const char *path = getenv("PATH");
    int error = -ENOENT;

    if (!name || !*name)
        return error;
    if (strchr(name, '/')) {
        snprintf(ret_path, path_bytes, "%s", name);
        return access(name, F_OK) < 0 ? -errno : access(name, X_OK) < 0 ? -EACCES : 0;
    }
    for (const char *at = path ? path : "/bin:/usr/bin", *end; at; at = *end ? end + 1 : NULL) {
        end = strchrnul(at, ':');
        snprintf(ret_path, path_bytes, "%.*s%s%s", (int)(end - at), at, end == at ? "" : "/", name);
        if (access(ret_path, X_OK) == 0)
            return 0;
        if (errno == EACCES)
            error = -EACCES;
    }
    return error;
}

static bool is_cuda_library(const char *name)
{
    static const char *const prefixes[] = {"libcuda", "libcublas", "libcudnn",    "libnvrtc",
                                           "libnccl", "libcufft",  "libnvJitLink"};

    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
            return true;
    return false;
}

static void library_add(struct program *program, const char *name)
{
    if (!name || !is_cuda_library(name))
        return;
    program->needs_driver |= !strncmp(name, "libcuda.so", strlen("libcuda.so"));
    if (program->libraries < PROGRAM_LIBRARIES)
        snprintf(program->library[program->libraries++], sizeof *program->library, "%s", name);
}

static void dynamic_read(struct program *program, Elf *elf, Elf_Scn *section,
                         const GElf_Shdr *header)
{
    Elf_Data *data = elf_getdata(section, NULL);
    GElf_Dyn entry;

    for (int i = 0; data && i < ROWS_MOST && gelf_getdyn(data, i, &entry) && entry.d_tag != DT_NULL;
         i++)
        if (entry.d_tag == DT_NEEDED)
            library_add(program, elf_file_text(elf, header->sh_link, entry.d_un.d_val, NAME_BYTES));
}

/* Of hooks.def, those that take or give memory. */
static const char *const memory_functions[] = {
#define MEMORY_POOLED(name) #name,
#define MEMORY_TAKES(name)  #name,
#define MEMORY_GIVES(name)  #name,
#define MEMORY_RECORDED(name)
#define MEMORY_CONTEXT(name)
#define MEMORY_CAPTURE(name)
#define MEMORY_RESOLVE(name)
#define MEMORY_QUERY(name)
#define MEMORY_WATCHES(name)
#define HOOK(action, family, name, since, params, args) MEMORY_##action(name)
#define WATCHES(family, name, since, params, args)
#include "shim/resolve/hooks.def"
};

const char *program_memory_function(const char *name)
{
    if (strncmp(name, "cu", 2) != 0)
        return NULL;
    for (size_t i = 0; i < sizeof memory_functions / sizeof *memory_functions; i++)
        if (!strcmp(memory_functions[i], name))
            return memory_functions[i];
    return NULL;
}

/** Finds what the loader will bind: the functions that it calls, and its own dlsym. */
static void imports_read(struct program *program, Elf *elf, Elf_Scn *section,
                         const GElf_Shdr *header)
{
    Elf_Data *data = elf_getdata(section, NULL);
    GElf_Sym symbol;

    for (int i = 0; data && i < ROWS_MOST && gelf_getsym(data, i, &symbol); i++) {
        const char *name = elf_file_text(elf, header->sh_link, symbol.st_name, NAME_BYTES);
        const char *function;

        if (!name)
            continue;
        if (symbol.st_shndx != SHN_UNDEF) {
            program->defines_dlsym |= !strcmp(name, "dlsym");
            continue;
        }
        program->uses_dlmopen |= !strcmp(name, "dlmopen");
        function = program_memory_function(name);
        if (function && program->imports < PROGRAM_IMPORTS)
            program->import[program->imports++] = function;
    }
}

static bool symbols_define_runtime(Elf *elf, Elf_Scn *section, const GElf_Shdr *header)
{
    Elf_Data *data = elf_getdata(section, NULL);
    GElf_Sym symbol;

    for (int i = 0; data && i < ROWS_MOST && gelf_getsym(data, i, &symbol); i++) {
        const char *name = elf_file_text(elf, header->sh_link, symbol.st_name, NAME_BYTES);

        if (symbol.st_shndx != SHN_UNDEF && name && !strcmp(name, "cudaMalloc"))
            return true;
    }
    return false;
}

static bool data_asks_for_driver(Elf_Scn *section)
{
    static const char wanted[] = "cuGetProcAddress_v2";
    Elf_Data *data = elf_getdata(section, NULL);

    return data && data->d_buf && memmem(data->d_buf, data->d_size, wanted, sizeof wanted);
}

/** What a section is looked at for; nothing of a second one of its kind, as there may be thousands
 * of the same bytes. */
enum section_kind {
    SECTION_DYNAMIC,
    SECTION_IMPORTS,
    SECTION_SYMBOLS,
    SECTION_DATA,
    SECTION_OTHER
};

static enum section_kind section_kind(Elf *elf, const GElf_Shdr *header)
{
    switch (header->sh_type) {
    case SHT_DYNAMIC: return SECTION_DYNAMIC;
    case SHT_DYNSYM: return SECTION_IMPORTS;
    case SHT_SYMTAB: return SECTION_SYMBOLS;
    }
    return strcmp(elf_file_section_name(elf, header), ".rodata") == 0 ? SECTION_DATA
                                                                      : SECTION_OTHER;
}

static void section_read(struct program *program, Elf *elf, Elf_Scn *section,
                         const GElf_Shdr *header, enum section_kind kind)
{
    switch (kind) {
    case SECTION_DYNAMIC: dynamic_read(program, elf, section, header); break;
    case SECTION_IMPORTS:
        imports_read(program, elf, section, header);
        program->has_static_cudart |= symbols_define_runtime(elf, section, header);
        break;
    case SECTION_SYMBOLS:
        program->has_static_cudart |= symbols_define_runtime(elf, section, header);
        break;
    case SECTION_DATA: program->has_static_cudart |= data_asks_for_driver(section); break;
    case SECTION_OTHER: break;
    }
}

static void sections_read(struct program *program, Elf *elf)
{
    Elf_Scn *section = NULL;
    GElf_Shdr header;
    unsigned seen = 1u << SECTION_OTHER;

    while ((section = elf_nextscn(elf, section))) {
        enum section_kind kind;

        if (!gelf_getshdr(section, &header))
            continue;
        kind = section_kind(elf, &header);
        if (!(seen & 1u << kind))
            section_read(program, elf, section, &header, kind);
        seen |= 1u << kind;
    }
}

static void segments_read(struct program *program, Elf *elf)
{
    size_t count;
    GElf_Phdr header;

    if (elf_getphdrnum(elf, &count) < 0)
        return;
    for (size_t i = 0; i < count; i++)
        if (gelf_getphdr(elf, (int)i, &header) && header.p_type == PT_INTERP)
            program->is_dynamic = true;
}

/** The interpreter of a script: the first word behind "#!". */
static bool script_read(struct program *program, int fd)
{
    char line[PATH_MAX] = "";
    char *word;

    if (pread(fd, line, sizeof line - 1, 0) < 2 || strncmp(line, "#!", 2) != 0)
        return false;
    word = line + 2 + strspn(line + 2, " \t");
    word[strcspn(word, " \t\n")] = '\0';
    snprintf(program->interpreter, sizeof program->interpreter, "%s", word);
    return *word;
}

static int file_read(struct program *program, int fd)
{
    uint64_t left;
    Elf *elf;

    if (script_read(program, fd))
        return 0;
    if (elf_version(EV_CURRENT) == EV_NONE)
        return -ENOEXEC;
    mapped_guard_begin();
    elf = elf_file_begin(fd, &left);
    if (!elf)
        return -EFBIG;
    if (elf_kind(elf) != ELF_K_ELF) {
        elf_end(elf);
        return -ENOEXEC;
    }
    program->is_elf = true;
    segments_read(program, elf);
    sections_read(program, elf);
    elf_end(elf);
    return 0;
}

int program_inspect(const char *name, struct program *ret_program)
{
    struct stat status;
    int fd, error;

    memset(ret_program, 0, sizeof *ret_program);
    error = path_find(name, ret_program->path, sizeof ret_program->path);
    if (error < 0)
        return error;
    fd = open(ret_program->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) < 0) {
        error = -errno;
    } else if (!S_ISREG(status.st_mode)) {
        error = -EACCES;
    } else {
        ret_program->is_privileged = (status.st_mode & (S_ISUID | S_ISGID)) ||
                                     fgetxattr(fd, "security.capability", NULL, 0) > 0;
        error = file_read(ret_program, fd);
    }
    close(fd);
    return error;
}

const char *program_escape(const struct program *program)
{
    if (program->is_privileged)
        return "setuid, setgid or with file capabilities: the loader ignores LD_PRELOAD";
    if (program->is_elf && !program->is_dynamic)
        return "statically linked: no loader preloads libraries";
    return NULL;
}
