/* SPDX-License-Identifier: MIT */
/*
 * Modules: images in a context.
 */
#include "tests/simgpu/driver/module/module.h"

static struct handle_cache module_cache = {HANDLE_MODULE, sizeof(struct CUmod_st), {NULL}, {NULL}};

CUresult module_create(CUcontext ctx, const void *data, CUmodule *ret)
{
    CUmodule made = handle_take(&module_cache);

    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = image_open(&made->image, data);
    if (result != CUDA_SUCCESS) {
        handle_give(&module_cache, made);
        return result;
    }
    made->ctx = ctx;
    made->image.module = made;
    made->image.library = NULL;
    made->of_library = NULL;
    LIST_INSERT_HEAD(&ctx->modules, made, link);
    *ret = made;
    return CUDA_SUCCESS;
}

void module_destroy(CUmodule module)
{
    LIST_REMOVE(module, link);
    image_close(&module->image);
    handle_give(&module_cache, module);
}

void modules_drop(CUcontext ctx)
{
    while (!LIST_EMPTY(&ctx->modules))
        module_destroy(LIST_FIRST(&ctx->modules));
}
