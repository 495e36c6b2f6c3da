/* SPDX-License-Identifier: MIT */
/*
 * The table of policies.
 */
#include "tools/replay/policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shim/options/options_pool.h"

static const struct {
    const char *name;
    const struct policy_ops *ops;
} policies[] = {
#define POLICY(name, ops, help) {name, &ops},
    POLICIES(POLICY)
#undef POLICY
};

size_t policy_count(void)
{
    return sizeof policies / sizeof *policies;
}

const char *policy_name(size_t index)
{
    return index < policy_count() ? policies[index].name : NULL;
}

struct complaint {
    char *why;
    size_t why_bytes;
};

static void complain(void *state, const char *line)
{
    struct complaint *complaint = state;

    if (!*complaint->why)
        snprintf(complaint->why, complaint->why_bytes, "%s", line);
}

void policy_options_note(struct policy *policy)
{
    options_pool_format(&policy->options, policy->options_text, sizeof policy->options_text);
}

int policy_parse(const char *text, const struct options *base, struct policy *ret_policy,
                 char *ret_why, size_t why_bytes)
{
    const char *plus = strchrnul(text, '+');
    struct complaint complaint = {ret_why, why_bytes};

    *ret_why = '\0';
    *ret_policy = (struct policy){0};
    for (size_t i = 0; i < policy_count(); i++)
        if (strlen(policies[i].name) == (size_t)(plus - text) &&
            !strncmp(policies[i].name, text, (size_t)(plus - text))) {
            ret_policy->name = policies[i].name;
            ret_policy->ops = policies[i].ops;
        }
    if (!ret_policy->ops ||
        (*plus && ret_policy->ops != &policy_cupool && ret_policy->ops != &policy_mapped)) {
        snprintf(ret_why, why_bytes, "%s",
                 ret_policy->ops
                     ? "only cupool and mapped have options"
                     : "no such policy: use cupool, mapped, native, pytorch, expandable, "
                       "bfc, rmm-pool or async");
        return ret_policy->ops ? -EINVAL : -ENOENT;
    }
    if (base)
        ret_policy->options = *base;
    else
        options_init(&ret_policy->options);
    if (*plus && options_set_list_of(&ret_policy->options, plus + 1, ret_policy->name, complain,
                                     &complaint) > 0)
        return -EINVAL;
    policy_options_note(ret_policy);
    return 0;
}
