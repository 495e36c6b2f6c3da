/* SPDX-License-Identifier: MIT */
/*
 * Insertion splits the subtree that the new node outranks; removal merges the node's two subtrees.
 */
#include "pool/base/size_tree.h"

#include "pool/base/base.h"

static bool is_less(const struct size_node *node, uint64_t bytes, uint64_t address)
{
    return node->bytes != bytes ? node->bytes < bytes : node->address < address;
}

/* xorshift32; any nonzero state will do. */
static uint32_t random_next(struct size_tree *tree)
{
    uint32_t x = tree->random ? tree->random : 0x9E3779B9u;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return tree->random = x;
}

static void split(struct size_node *root, const struct size_node *at, struct size_node **left,
                  struct size_node **right)
{
    while (root) {
        if (is_less(root, at->bytes, at->address)) {
            *left = root;
            left = &root->right;
            root = root->right;
        } else {
            *right = root;
            right = &root->left;
            root = root->left;
        }
    }
    *left = *right = NULL;
}

static struct size_node *merge(struct size_node *left, struct size_node *right)
{
    struct size_node *root, **link = &root;

    while (left && right) {
        if (left->priority >= right->priority) {
            *link = left;
            link = &left->right;
            left = left->right;
        } else {
            *link = right;
            link = &right->left;
            right = right->left;
        }
    }
    *link = left ? left : right;
    return root;
}

static struct size_node **child_towards(struct size_node *node, const struct size_node *target)
{
    return is_less(node, target->bytes, target->address) ? &node->right : &node->left;
}

void size_tree_insert(struct size_tree *tree, struct size_node *node)
{
    struct size_node **link = &tree->root;

    node->priority = random_next(tree);
    while (*link && (*link)->priority >= node->priority)
        link = child_towards(*link, node);
    split(*link, node, &node->left, &node->right);
    *link = node;
}

void size_tree_remove(struct size_tree *tree, struct size_node *node)
{
    struct size_node **link = &tree->root;

    while (*link != node)
        link = child_towards(*link, node);
    *link = merge(node->left, node->right);
    node->left = node->right = NULL;
}

struct size_node *size_tree_at_least(const struct size_tree *tree, uint64_t bytes, uint64_t address)
{
    struct size_node *best = NULL;

    for (struct size_node *node = tree->root; node;) {
        bool less = is_less(node, bytes, address);

        if (!less)
            best = node;
        node = less ? node->right : node->left;
    }
    return best;
}

struct size_node *size_tree_below(const struct size_tree *tree, uint64_t bytes, uint64_t address)
{
    struct size_node *best = NULL;

    for (struct size_node *node = tree->root; node;) {
        bool less = is_less(node, bytes, address);

        if (less)
            best = node;
        node = less ? node->right : node->left;
    }
    return best;
}

static const char *node_check(const struct size_node *node, uint64_t *count, uint64_t *bytes)
{
    const struct size_node *children[] = {node ? node->left : NULL, node ? node->right : NULL};
    const char *why = NULL;

    if (!node)
        return NULL;
    for (unsigned side = 0; side < 2; side++) {
        if (!children[side])
            continue;
        if (children[side]->priority > node->priority)
            return "size tree: a child has a higher priority";
        if (is_less(children[side], node->bytes, node->address) != (side == 0))
            return "size tree: out of order";
    }
    ++*count;
    *bytes += node->bytes;
    why = node_check(node->left, count, bytes);
    return why ? why : node_check(node->right, count, bytes);
}

const char *size_tree_check(const struct size_tree *tree, uint64_t *ret_count, uint64_t *ret_bytes)
{
    *ret_count = *ret_bytes = 0;
    return node_check(tree->root, ret_count, ret_bytes);
}
