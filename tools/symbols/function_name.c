/* SPDX-License-Identifier: MIT */
/*
 * Templates may contain spaces and parentheses, operators may contain all of these, and local
 * functions are named after the parameters of the outer one.
 */
#include "tools/symbols/function_name.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cupti/base/safe_text.h"

static const char anonymous[] = "(anonymous namespace)";
static const char operator_word[] = "operator";

static bool begins(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

static bool is_name_sign(char sign)
{
    return isalnum((unsigned char)sign) || sign == '_' || sign == '$';
}

/** Returns the position after the parenthesis or template that a text begins with. */
static const char *bracket_end(const char *text)
{
    size_t depth = 0;

    for (; *text; text++) {
        if (begins(text, "->") || begins(text, "operator<") || begins(text, "operator>")) {
            text += text[0] == '-' ? 1 : sizeof operator_word - 1;
            continue;
        }
        if (strchr("(<[{", *text))
            depth++;
        else if (strchr(")>]}", *text) && --depth == 0)
            return text + 1;
    }
    return text;
}

/** Returns the position after "operator" and its symbol or type: up to the parameters. */
static const char *operator_end(const char *text)
{
    text += sizeof operator_word - 1;
    if (begins(text, "()"))
        return text + 2;
    while (*text && strchr("<>=!+-*/%^&|~,[]", *text))
        text++;
    while (*text && *text != '(' && !(*text == '<' && is_name_sign(text[-1])))
        text++;
    return text;
}

struct name_part function_name_qualified(const char *name)
{
    const char *begin = name, *at = name;

    while (*at) {
        if (begins(at, anonymous)) {
            at += sizeof anonymous - 1;
        } else if (begins(at, operator_word) && (at == name || !is_name_sign(at[-1])) &&
                   !is_name_sign(at[sizeof operator_word - 1])) {
            at = operator_end(at);
        } else if (*at == '<' || *at == '{' || *at == '[') {
            const char *end = bracket_end(at);

            /* " [clone .isra.0]", " [with T = int]" are not part of the name. */
            if (*at == '[' && at > begin && at[-1] == ' ')
                return (struct name_part){begin, (size_t)(at - 1 - begin)};
            at = end;
        } else if (*at == '(') {
            const char *end = bracket_end(at);

            if (!begins(end, "::"))
                break;
            at = end;
        } else if (*at == ' ') {
            begin = ++at;
        } else {
            at++;
        }
    }
    if (at == begin)
        return (struct name_part){name, strlen(name)};
    return (struct name_part){begin, (size_t)(at - begin)};
}

/** Removes the suffix that compilers append to a mangled symbol: "decode.constprop.0". */
static size_t suffix_length(struct name_part part)
{
    static const char *const suffixes[] = {".constprop.", ".isra.", ".part.", ".cold",
                                           ".lto_priv."};

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        const char *found = memmem(part.text, part.length, suffixes[i], strlen(suffixes[i]));

        if (found && found != part.text)
            part.length = (size_t)(found - part.text);
    }
    return part.length;
}

void function_name_copy(const char *name, char *ret_text, size_t text_bytes)
{
    struct name_part part = function_name_qualified(name);

    size_t used = 0;

    part.length = suffix_length(part);
    for (size_t i = 0; i < part.length && used + 1 < text_bytes;) {
        if (part.length - i > sizeof anonymous && begins(part.text + i, anonymous) &&
            begins(part.text + i + sizeof anonymous - 1, "::"))
            i += sizeof anonymous - 1 + 2;
        else
            ret_text[used++] = part.text[i++];
    }
    ret_text[used] = '\0';
    safe_text_end(ret_text, text_bytes);
}

/** The last component, and the one before it; without their template's arguments. */
static void components(struct name_part part, struct name_part *ret_last,
                       struct name_part *ret_before)
{
    const char *at = part.text, *end = part.text + part.length, *begin = at, *stop = NULL;

    *ret_last = *ret_before = (struct name_part){at, 0};
    while (at < end) {
        if (begins(at, anonymous)) {
            at += sizeof anonymous - 1;
        } else if (begins(at, operator_word)) {
            at = end;
        } else if (*at == '<' || *at == '(' || *at == '{') {
            stop = stop ? stop : at;
            at = bracket_end(at);
        } else if (at + 1 < end && at[0] == ':' && at[1] == ':') {
            *ret_before = (struct name_part){begin, (size_t)((stop ? stop : at) - begin)};
            begin = at += 2;
            stop = NULL;
        } else if (*at == '.') { /* of Python */
            *ret_before = (struct name_part){begin, (size_t)(at - begin)};
            begin = ++at;
            stop = NULL;
        } else {
            at++;
        }
    }
    *ret_last = (struct name_part){begin, (size_t)((stop ? stop : end) - begin)};
}

static bool part_is(struct name_part part, const char *text)
{
    return part.length == strlen(text) && !memcmp(part.text, text, part.length);
}

/** Whether a part contains a word of small letters, in whatever case. */
static bool part_has(struct name_part part, const char *word)
{
    for (size_t i = 0; i + strlen(word) <= part.length; i++)
        if ((part.text[i] | ' ') == *word && !strncasecmp(part.text + i, word, strlen(word)))
            return true;
    return false;
}

static bool is_of_library(struct name_part name)
{
    static const char *const spaces[] = {
        "std::",      "__gnu_cxx::", "thrust::", "cub::", "cuda::std::",
        "cuda::mr::", "rmm::",       "c10::",    "at::",  "__cxxabiv1::"};

    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++)
        if (name.length > strlen(spaces[i]) && begins(name.text, spaces[i]))
            return true;
    return false;
}

static bool is_constructor(struct name_part last, struct name_part before)
{
    return part_is(last, "__init__") || part_is(last, "__new__") || part_is(last, "__enter__") ||
           (before.length && before.length == last.length &&
            !memcmp(before.text, last.text, last.length));
}

/** Returns the length of a name's first word: up to a symbol, a digit or a capital letter. */
static size_t word_length(const char *text, size_t length)
{
    size_t i = 1;

    while (i < length && isalpha((unsigned char)text[i]) &&
           !(isupper((unsigned char)text[i]) && islower((unsigned char)text[i - 1])))
        i++;
    return i;
}

static bool is_among(const char *const *words, size_t count, const char *text, size_t length)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(words[i]) == length && !strncasecmp(words[i], text, length))
            return true;
    return false;
}

#define IS_AMONG(words, text, length) is_among(words, sizeof(words) / sizeof *(words), text, length)

/**
 * Whether a name has no word for the purpose of the memory: "make", "zeros_like",
 * "newDeviceBuffer", but not "make_session".
 */
static bool is_general(struct name_part name)
{
    static const char *const makers[] = {"make",  "create",  "empty",  "zeros",   "ones",
                                         "clone", "reserve", "resize", "acquire", "obtain"};
    static const char *const takers[] = {"new", "get", "take", "fetch", "request", "grab", "full"};
    static const char *const things[] = {"buffer",  "buf",    "tensor", "array",   "ptr",
                                         "pointer", "memory", "mem",    "storage", "vector",
                                         "bytes",   "unique", "shared"};
    static const char *const fillers[] = {"device",  "gpu",  "cuda",  "dev",  "raw",
                                          "checked", "or",   "throw", "like", "impl",
                                          "float",   "half", "of",    "typed"};
    bool makes = false, takes = false, thing = false;

    for (size_t at = 0, length; at < name.length; at += length) {
        const char *word = name.text + at;

        length = word_length(word, name.length - at);
        if (!isalpha((unsigned char)*word))
            length = 1;
        else if (IS_AMONG(makers, word, length))
            makes = true;
        else if (IS_AMONG(takers, word, length))
            takes = true;
        else if (IS_AMONG(things, word, length))
            thing = true;
        else if (!IS_AMONG(fillers, word, length))
            return false;
    }
    return makes || (takes && thing);
}

enum function_role function_role_of(const char *name)
{
    static const char *const makers[] = {
        "make",   "create", "new",      "get",  "acquire", "resize", "reserve", "ensure",
        "obtain", "fetch",  "checkout", "init", "buffer",  "reset",  "request", "take",
        "empty",  "zeros",  "ones",     "full", "clone",   "grab"};
    struct name_part whole = function_name_qualified(name), last, before;

    components(whole, &last, &before);
    if (begins(last.text, "operator new") || begins(whole.text, "operator new"))
        return FUNCTION_ALLOCATES;
    if (is_of_library(whole))
        return FUNCTION_OF_LIBRARY;
    if (part_has(last, "alloc") || is_general(last))
        return FUNCTION_ALLOCATES;
    if (is_constructor(last, before))
        return FUNCTION_CONSTRUCTS;
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++)
        if (part_has(last, makers[i]))
            return FUNCTION_MAKES;
    return FUNCTION_PLAIN;
}
