/* SPDX-License-Identifier: MIT */
#include "tools/base/json_text.h"

#include <stdlib.h>

#include "tools/base/escape.h"

json_t *json_text(const char *text)
{
    char *copy = escape_copy(text);
    json_t *string = copy ? json_string(copy) : NULL;

    free(copy);
    return string;
}

json_t *json_text_or_null(const char *text)
{
    json_t *string = json_text(text);

    return string ? string : json_null();
}
