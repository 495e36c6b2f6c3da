/* SPDX-License-Identifier: MIT */
/*
 * Counts calls, and provides the device as a backend of the pool.
 *
 * Addresses are those of the script while it is followed, then of an address space beside them. A
 * fence's handle is the time at which it is signalled, + 1.
 */
#include "tools/replay/device_model.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/file/infile.h"
#include "tools/replay/device_script.h"

#define LOOK_STEPS 8u /* for a block, which is seldom in a cache */

#define PROFILE_MOST_BYTES ((size_t)1 << 20)
#define FIRST_ADDRESS      (UINT64_C(1) << 40)
#define END_ADDRESS        (UINT64_C(1) << 48) /* the pool knows no more */
#define ENDLESS_BYTES      (UINT64_C(1) << 40) /* what an endless device says it has, at least */

static const struct {
    const char *function, *source;
    uint64_t base_ns, mib_ns;
} calls[DEVICE_CALLS] = {
#define DEVICE_CALL(NAME, function_, base, mib, source_)                                           \
    [DEVICE_##NAME] = {#function_, source_, base, mib},
#include "tools/replay/device_calls.def"
#undef DEVICE_CALL
};

const char *device_call_source(enum device_call call)
{
    return calls[call].source;
}

const char *device_call_function(enum device_call call)
{
    return calls[call].function;
}

/* ---- profiles ---- */

void device_profile_init(struct device_profile *ret_profile)
{
    *ret_profile = (struct device_profile){
        .source = "published values for several devices, not measured here"};
    for (unsigned call = 0; call < DEVICE_CALLS; call++) {
        ret_profile->base_ns[call] = calls[call].base_ns;
        ret_profile->mib_ns[call] = calls[call].mib_ns;
    }
}

/* Parses `function = ns [ns per MiB …]`; ignores functions that no policy calls. */
static int cost_line(const char *line, struct device_profile *profile)
{
    char function[64];
    unsigned long long base, mib = 0;

    if (sscanf(line, " %63[A-Za-z0-9_] = %llu %llu", function, &base, &mib) < 2)
        return -EINVAL;
    for (unsigned call = 0; call < DEVICE_CALLS; call++)
        if (!strcmp(function, calls[call].function)) {
            profile->base_ns[call] = base;
            profile->mib_ns[call] = mib;
        }
    return 0;
}

static bool is_blank(const char *line)
{
    line += strspn(line, " \t\r");
    return !*line || *line == '#' || *line == ';';
}

int device_profile_read(const char *path, struct device_profile *profile, char *ret_why,
                        size_t why_bytes)
{
    char *text, *rest;
    size_t bytes;
    bool costs = false;
    unsigned number = 0;
    int error = infile_read(path, PROFILE_MOST_BYTES, &text, &bytes);

    if (error < 0) {
        snprintf(ret_why, why_bytes, "%s: %s", path, infile_reason(error));
        return error;
    }
    rest = text;
    for (char *line; error == 0 && (line = strsep(&rest, "\n"));) {
        number++;
        if (*line == '[')
            costs = !strncmp(line, "[cost]", 6);
        else if (costs && !is_blank(line))
            error = cost_line(line, profile);
    }
    if (error < 0)
        snprintf(ret_why, why_bytes, "%s:%u: not a cost: write 'function = ns [ns per MiB]'", path,
                 number);
    free(text);
    if (error == 0)
        profile->source = path;
    return error;
}

/* ---- counting ---- */

void device_model_init(struct device_model *ret_device, const struct device_profile *profile)
{
    *ret_device = (struct device_model){.total_bytes = ENDLESS_BYTES, .profile = profile};
    address_space_init(&ret_device->addresses, FIRST_ADDRESS, END_ADDRESS);
}

uint64_t device_model_endless_bytes(uint64_t peak_bytes)
{
    uint64_t bytes = ENDLESS_BYTES;

    while (bytes < peak_bytes && bytes < END_ADDRESS)
        bytes *= 2;
    return bytes;
}

void device_model_done(struct device_model *device)
{
    address_space_done(&device->addresses);
}

void device_model_end(struct device_model *device, unsigned context)
{
    address_space_give_all(&device->addresses, context);
}

uint64_t device_model_calls(const struct device_model *device)
{
    uint64_t all = 0;

    for (unsigned call = 0; call < DEVICE_CALLS; call++)
        all += device->calls[call];
    return all;
}

uint64_t device_model_memory_calls(const struct device_model *device)
{
    return device_model_calls(device) - device->calls[DEVICE_FENCE] - device->calls[DEVICE_QUERY] -
           device->calls[DEVICE_INFO];
}

void device_model_call_often(struct device_model *device, enum device_call call, uint64_t bytes,
                             uint64_t count)
{
    const struct device_profile *profile = device->profile;

    device->calls[call] += count;
    device->simulated_ns += count * (profile->base_ns[call] +
                                     (profile->mib_ns[call] * (bytes >> 10) >> 10));
}

void device_model_call(struct device_model *device, enum device_call call, uint64_t bytes)
{
    device->steps++;
    device_model_call_often(device, call, bytes, 1);
}

void device_model_look(struct device_model *device, uint64_t count)
{
    device->steps += count * LOOK_STEPS;
}

int device_model_take(struct device_model *device, uint64_t bytes)
{
    uint64_t used;

    if (__builtin_add_overflow(device->used_bytes, bytes, &used) ||
        (device->capacity_bytes && used > device->capacity_bytes))
        return -ENOMEM;
    device->used_bytes = used;
    if (used > device->peak_bytes)
        device->peak_bytes = used;
    return 0;
}

uint64_t device_model_take_often(struct device_model *device, uint64_t bytes, uint64_t count)
{
    uint64_t most = device->capacity_bytes ? device->capacity_bytes : UINT64_MAX;
    uint64_t room = most > device->used_bytes ? (most - device->used_bytes) / bytes : 0;
    uint64_t taken = count < room ? count : room;

    (void)device_model_take(device, taken * bytes);
    return taken;
}

void device_model_give(struct device_model *device, uint64_t bytes)
{
    device->used_bytes -= bytes;
}

/* ---- the backend ---- */

static int segment_allocate(void *state, size_t bytes, uint64_t *ret_address)
{
    struct device_context *context = state;
    struct device_model *device = context->device;
    const struct script_call *call = script_step(context, SCRIPT_ALLOCATE, bytes);
    int error = call && call->error < 0 ? call->error : device_model_take(device, bytes);

    device_model_call(device, DEVICE_ALLOCATE, bytes);
    if (error < 0)
        return error;
    if (call) {
        *ret_address = call->address;
        return 0;
    }
    error = address_space_take(&device->addresses, context->context, bytes, ret_address);
    if (error < 0)
        device_model_give(device, bytes);
    return error;
}

static int segment_free(void *state, uint64_t address, size_t bytes)
{
    struct device_context *context = state;
    const struct script_call *call = script_step(context, SCRIPT_FREE, bytes);

    device_model_call(context->device, DEVICE_FREE, bytes);
    if (call && call->error < 0)
        return call->error;
    device_model_give(context->device, bytes);
    address_space_give(&context->device->addresses, context->context, address);
    return 0;
}

static int fence_record(void *state, pool_fence *ret_fence)
{
    struct device_context *context = state;
    const struct script_call *call = script_step(context, SCRIPT_FENCE, 0);

    device_model_call(context->device, DEVICE_FENCE, 0);
    if (call && call->error < 0)
        return call->error;
    *ret_fence = device_work_done_ns(context->device) + 1;
    return 0;
}

static int fence_query(void *state, pool_fence fence)
{
    struct device_context *context = state;
    const struct script_call *call = script_step(context, SCRIPT_QUERY, 0);

    device_model_call(context->device, DEVICE_QUERY, 0);
    if (call)
        return call->error < 0 ? call->error : (int)call->bytes;
    return fence - 1 <= context->device->now_ns;
}

/* Waiting costs what the work still takes. */
static int wait_until(struct device_context *context, uint64_t done_ns)
{
    struct device_model *device = context->device;

    if (done_ns > device->now_ns)
        device->simulated_ns += done_ns - device->now_ns;
    return 1;
}

static int fence_wait(void *state, pool_fence fence, uint64_t most_ns)
{
    struct device_context *context = state;
    const struct script_call *call = script_step(context, SCRIPT_WAIT, 0);

    (void)most_ns;
    device_model_call(context->device, DEVICE_QUERY, 0);
    if (call && (call->error < 0 || call->detail == 1))
        return call->error;
    return wait_until(context, fence - 1);
}

static void fence_release(void *state, pool_fence fence)
{
    (void)state;
    (void)fence;
}

static int device_wait(void *state)
{
    struct device_context *context = state;
    const struct script_call *call = script_step(context, SCRIPT_WAIT, 0);

    device_model_call(context->device, DEVICE_QUERY, 0);
    if (call && call->error < 0)
        return call->error;
    wait_until(context, device_work_done_ns(context->device));
    return 0;
}

static int memory_fill(void *state, uint64_t address, size_t bytes, uint8_t value, bool after_work)
{
    (void)state;
    (void)address;
    (void)bytes;
    (void)value;
    (void)after_work;
    return 0;
}

static int memory_info(void *state, size_t *ret_free_bytes, size_t *ret_total_bytes)
{
    struct device_context *context = state;
    struct device_model *device = context->device;
    uint64_t most = device->capacity_bytes ? device->capacity_bytes : device->total_bytes;
    const struct script_call *call = script_step(context, SCRIPT_ROOM, 0);

    device_model_call(device, DEVICE_INFO, 0);
    if (call && call->error < 0)
        return call->error;
    *ret_total_bytes = device->total_bytes;
    *ret_free_bytes = call                        ? call->bytes
                      : most > device->used_bytes ? most - device->used_bytes
                                                  : 0;
    return 0;
}

static uint64_t clock_ns(void *state)
{
    return ((struct device_context *)state)->device->now_ns;
}

/* ---- mapped memory: a handle is its size ---- */

static int range_reserve(void *state, size_t bytes, uint64_t *ret_address)
{
    struct device_context *context = state;
    struct device_model *device = context->device;
    uint64_t address = 0;

    device_model_call(device, DEVICE_RESERVE, 0);
    if (!script_range(context, bytes, &address))
        return -ENOMEM;
    if (!address)
        return address_space_take(&device->addresses, context->context, bytes, ret_address);
    *ret_address = address;
    return 0;
}

static int range_release(void *state, uint64_t address, size_t bytes)
{
    struct device_context *context = state;

    (void)bytes;
    address_space_give(&context->device->addresses, context->context, address);
    return 0;
}

static int page_create(void *state, size_t bytes, pool_page_handle *ret_handle)
{
    struct device_context *context = state;
    struct device_model *device = context->device;
    int error = script_refusal(context, POOL_REFUSAL_CREATE);

    device_model_call(device, DEVICE_CREATE, bytes);
    if (error == 0)
        error = device_model_take(device, bytes);
    if (error == 0)
        *ret_handle = bytes;
    return error;
}

static int page_release(void *state, pool_page_handle handle)
{
    struct device_context *context = state;
    int error = script_refusal(context, POOL_REFUSAL_RELEASE);

    device_model_call(context->device, DEVICE_RELEASE, handle);
    if (error == 0)
        device_model_give(context->device, handle);
    return error;
}

static int page_map(void *state, uint64_t address, size_t bytes, pool_page_handle handle)
{
    struct device_context *context = state;

    (void)address;
    (void)handle;
    device_model_call(context->device, DEVICE_MAP, bytes);
    return script_refusal(context, POOL_REFUSAL_MAP);
}

static int page_enable(void *state, uint64_t address, size_t bytes)
{
    struct device_context *context = state;
    const struct script_call *call = script_step(context, SCRIPT_MAP, bytes);

    (void)address;
    device_model_call(context->device, DEVICE_ACCESS, bytes);
    return call ? call->error : 0;
}

static int page_unmap(void *state, uint64_t address, size_t bytes)
{
    struct device_context *context = state;
    const struct script_call *call = script_step(context, SCRIPT_UNMAP, bytes);

    (void)address;
    device_model_call(context->device, DEVICE_UNMAP, bytes);
    return call ? call->error : 0;
}

static int memory_copy(void *state, uint64_t target, uint64_t source, size_t bytes)
{
    struct device_context *context = state;

    (void)target;
    (void)source;
    device_model_call(context->device, DEVICE_COPY, bytes);
    return script_refusal(context, POOL_REFUSAL_COPY);
}

struct pool_backend device_model_backend(struct device_context *context)
{
    return (struct pool_backend){
        .state = context,
        .segment_allocate = segment_allocate,
        .segment_free = segment_free,
        .fence_record = fence_record,
        .fence_query = fence_query,
        .fence_wait = fence_wait,
        .fence_release = fence_release,
        .device_wait = device_wait,
        .memory_fill = memory_fill,
        .memory_info = memory_info,
        .clock_ns = clock_ns,
        .range_reserve = range_reserve,
        .range_release = range_release,
        .page_create = page_create,
        .page_release = page_release,
        .page_map = page_map,
        .page_enable = page_enable,
        .page_unmap = page_unmap,
        .memory_copy = memory_copy,
    };
}
