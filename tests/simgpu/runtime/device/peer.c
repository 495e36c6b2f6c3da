/* SPDX-License-Identifier: MIT */
/*
 * Between devices. The runtime names devices where the driver names contexts: each device stands
 * for its primary context, which is made if there is none yet.
 */
#include "tests/simgpu/runtime/base/runtime.h"

#include <stddef.h>

cudaError_t cudaDeviceEnablePeerAccess(int peerDevice, unsigned int flags)
{
    CUcontext peer = NULL;
    cudaError_t status = context_ready() ?: context_primary(peerDevice, &peer);

    return error_keep(status ?: error_from(DRIVER(cuCtxEnablePeerAccess)(peer, flags)));
}

cudaError_t cudaDeviceDisablePeerAccess(int peerDevice)
{
    CUcontext peer = NULL;
    cudaError_t status = context_ready() ?: context_primary(peerDevice, &peer);

    return error_keep(status ?: error_from(DRIVER(cuCtxDisablePeerAccess)(peer)));
}

static cudaError_t peers_ready(int dst_device, int src_device, CUcontext *ret_dst,
                               CUcontext *ret_src)
{
    return context_ready() ?: context_primary(dst_device, ret_dst)
                           ?: context_primary(src_device, ret_src);
}

cudaError_t cudaMemcpyPeer(void *dst, int dstDevice, const void *src, int srcDevice, size_t count)
{
    CUcontext dst_context = NULL, src_context = NULL;
    cudaError_t status = peers_ready(dstDevice, srcDevice, &dst_context, &src_context);

    return error_keep(
        status
            ?: error_from(DRIVER(cuMemcpyPeer)(DEVICE_ADDRESS(dst), dst_context,
                                               DEVICE_ADDRESS(src), src_context, count)));
}

cudaError_t cudaMemcpyPeerAsync(void *dst, int dstDevice, const void *src, int srcDevice,
                                size_t count, cudaStream_t stream)
{
    CUcontext dst_context = NULL, src_context = NULL;
    cudaError_t status = peers_ready(dstDevice, srcDevice, &dst_context, &src_context);

    return error_keep(status
                          ?: error_from(DRIVER(cuMemcpyPeerAsync)(DEVICE_ADDRESS(dst), dst_context,
                                                                  DEVICE_ADDRESS(src), src_context,
                                                                  count, stream)));
}
