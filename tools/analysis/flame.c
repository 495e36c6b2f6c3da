/* SPDX-License-Identifier: MIT */
#include "tools/analysis/flame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/grow.h"

static int node_new(struct flame *flame, uint32_t name, uint32_t *ret_node)
{
    if (flame->nodes == UINT32_MAX || ARRAY_GROW(flame->node, flame->nodes, flame->room, 64) < 0)
        return -ENOMEM;
    flame->node[flame->nodes] = (struct flame_node){.name = flame->texts.row[name - 1].text};
    *ret_node = (uint32_t)flame->nodes++;
    return 0;
}

int flame_create(const char *root, struct flame *ret_flame)
{
    uint32_t node, name;

    *ret_flame = (struct flame){0};
    name = texts_number(&ret_flame->texts, root);
    return name ? node_new(ret_flame, name, &node) : -ENOMEM;
}

void flame_done(struct flame *flame)
{
    free(flame->node);
    key_index_done(&flame->children);
    texts_done(&flame->texts);
    *flame = (struct flame){0};
}

static int child_get(struct flame *flame, uint32_t parent, const char *name, uint32_t *ret_child)
{
    uint32_t number = texts_number(&flame->texts, name), child;
    int error;

    if (!number)
        return -ENOMEM;
    child = key_index_get(&flame->children, (uint64_t)parent << 32 | number,
                          (uint32_t)flame->nodes);
    if (child == KEY_INDEX_NONE)
        return -ENOMEM;
    if (child == flame->nodes) {
        error = node_new(flame, number, &child);
        if (error < 0)
            return error;
        flame->node[child].sibling = flame->node[parent].child;
        flame->node[parent].child = child;
    }
    *ret_child = child;
    return 0;
}

static void node_add(struct flame_node *node, const uint64_t bytes[FLAME_MEASURES])
{
    for (int i = 0; i < FLAME_MEASURES; i++)
        node->bytes[i] += bytes[i];
}

int flame_add(struct flame *flame, const char *const *frames, size_t depth,
              const uint64_t bytes[FLAME_MEASURES])
{
    uint32_t node = 0;
    int error = 0;

    node_add(&flame->node[0], bytes);
    for (size_t i = 0; i < depth && i < FLAME_DEPTH && error == 0; i++) {
        error = child_get(flame, node, frames[i], &node);
        if (error == 0)
            node_add(&flame->node[node], bytes);
    }
    return error;
}

/** A node with its sort key. */
struct ordered {
    uint64_t bytes;
    const char *name;
    uint32_t node;
};

static int compare_ordered(const void *a, const void *b)
{
    const struct ordered *left = a, *right = b;

    if (left->bytes != right->bytes)
        return left->bytes > right->bytes ? -1 : 1;
    return strcmp(left->name, right->name);
}

static void children_sort(struct flame *flame, struct flame_node *parent,
                          enum flame_measure measure, struct ordered *scratch)
{
    uint32_t *link = &parent->child;
    size_t count = 0;

    for (uint32_t child = parent->child; child; child = flame->node[child].sibling) {
        const struct flame_node *node = &flame->node[child];

        scratch[count++] = (struct ordered){node->bytes[measure], node->name, child};
    }
    qsort(scratch, count, sizeof *scratch, compare_ordered);
    for (size_t i = 0; i < count; i++) {
        *link = scratch[i].node;
        link = &flame->node[scratch[i].node].sibling;
    }
    *link = 0;
}

int flame_sort(struct flame *flame, enum flame_measure measure)
{
    struct ordered *scratch = calloc(flame->nodes, sizeof *scratch);

    if (!scratch)
        return -ENOMEM;
    for (size_t i = 0; i < flame->nodes; i++)
        if (flame->node[i].child)
            children_sort(flame, &flame->node[i], measure, scratch);
    free(scratch);
    return 0;
}

static size_t count_below(const struct flame *flame, uint32_t node, enum flame_measure measure,
                          uint64_t least)
{
    size_t count = 1, joined = 0;

    for (uint32_t child = flame->node[node].child; child; child = flame->node[child].sibling) {
        uint64_t bytes = flame->node[child].bytes[measure];

        if (bytes >= least && bytes)
            count += count_below(flame, child, measure, least);
        else
            joined |= bytes != 0;
    }
    return count + joined;
}

size_t flame_count(const struct flame *flame, enum flame_measure measure, uint64_t least)
{
    return count_below(flame, 0, measure, least);
}
