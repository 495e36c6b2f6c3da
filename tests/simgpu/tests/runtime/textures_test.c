/* SPDX-License-Identifier: MIT */
/*
 * Texture objects and imported memory through the runtime: queries return the description.
 */
#include <cuda_runtime_api.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/simgpu/tests/runtime/support.h"

static void test_texture(void)
{
    struct cudaTextureDesc how = {.addressMode = {cudaAddressModeMirror, cudaAddressModeClamp},
                                  .filterMode = cudaFilterModeLinear,
                                  .readMode = cudaReadModeNormalizedFloat,
                                  .normalizedCoords = 1,
                                  .borderColor = {1, 2, 3, 4}};
    struct cudaResourceDesc resource = {.resType = cudaResourceTypePitch2D}, told;
    struct cudaTextureDesc told_how;
    cudaTextureObject_t texture;
    void *memory;
    size_t pitch;

    OK(cudaMallocPitch(&memory, &pitch, 400, 10));
    resource.res.pitch2D.devPtr = memory;
    resource.res.pitch2D.desc = cudaCreateChannelDesc(8, 8, 8, 8, cudaChannelFormatKindUnsigned);
    resource.res.pitch2D.width = 100;
    resource.res.pitch2D.height = 10;
    resource.res.pitch2D.pitchInBytes = pitch;
    OK(cudaCreateTextureObject(&texture, &resource, &how, NULL));
    OK(cudaGetTextureObjectResourceDesc(&told, texture));
    OK(cudaGetTextureObjectTextureDesc(&told_how, texture));
    CHECK(told.res.pitch2D.devPtr == memory && told.res.pitch2D.pitchInBytes == pitch);
    CHECK(told.res.pitch2D.desc.w == 8 && told.res.pitch2D.desc.f == cudaChannelFormatKindUnsigned);
    CHECK(!memcmp(&told_how, &how, sizeof(how)));
    OK(cudaDestroyTextureObject(texture));
    resource.res.pitch2D.pitchInBytes = pitch + 1;
    EXPECT(cudaErrorInvalidValue, cudaCreateTextureObject(&texture, &resource, &how, NULL));
    cudaGetLastError();
    OK(cudaFree(memory));
}

static void test_imported(void)
{
    struct cudaExternalMemoryHandleDesc desc = {.type = cudaExternalMemoryHandleTypeOpaqueFd,
                                                .size = 1 << 20};
    struct cudaExternalMemoryBufferDesc all = {.size = 1 << 20};
    cudaExternalMemory_t memory;
    unsigned char *host;
    void *buffer;

    desc.handle.fd = memfd_create("exported", MFD_CLOEXEC);
    CHECK(!ftruncate(desc.handle.fd, 1 << 20));
    host = mmap(NULL, 1 << 20, PROT_READ, MAP_SHARED, desc.handle.fd, 0);
    OK(cudaImportExternalMemory(&memory, &desc));
    OK(cudaExternalMemoryGetMappedBuffer(&buffer, memory, &all));
    OK(cudaMemset(buffer, 5, 1 << 20));
    OK(cudaDeviceSynchronize());
    CHECK(host[0] == 5 && host[(1 << 20) - 1] == 5);
    OK(cudaFree(buffer));
    OK(cudaDestroyExternalMemory(memory));
    munmap(host, 1 << 20);
}

int main(void)
{
    test_texture();
    test_imported();
    return check_done();
}
