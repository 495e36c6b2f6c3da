/* SPDX-License-Identifier: MIT */
/*
 * Tensor descriptors: checks the requirements of cuda.h, and stores the request in the descriptor
 * in a format of our own. Nothing reads it: host twins of kernels take none.
 */
#include "tests/simgpu/driver/base/call.h"

#include <assert.h>
#include <string.h>

#include "tests/simgpu/driver/context/context.h"

#define RANK_MOST      5
#define DIMENSION_MOST (UINT64_C(1) << 32)
#define STRIDE_MOST    (UINT64_C(1) << 40)
#define BOX_MOST       256
#define STEP_MOST      8

/** Fields of the request kept in a descriptor. */
struct kept {
    uint64_t address;
    uint32_t type, rank, interleave, swizzle, promotion, fill;
};

static_assert(sizeof(struct kept) <= sizeof(CUtensorMap), "it fits the descriptor");

static bool is_wide(CUtensorMapDataType type)
{
    return type == CU_TENSOR_MAP_DATA_TYPE_16U4_ALIGN16B ||
           type == CU_TENSOR_MAP_DATA_TYPE_16U6_ALIGN16B;
}

static bool is_packed(CUtensorMapDataType type)
{
    return is_wide(type) || type == CU_TENSOR_MAP_DATA_TYPE_16U4_ALIGN8B;
}

static bool is_floating(CUtensorMapDataType type)
{
    return type >= CU_TENSOR_MAP_DATA_TYPE_FLOAT16 && type <= CU_TENSOR_MAP_DATA_TYPE_TFLOAT32_FTZ;
}

static unsigned bits_of(CUtensorMapDataType type)
{
    static const unsigned char bits[] = {8,  16, 32, 32, 64, 64, 16, 32,
                                         64, 16, 32, 32, 32, 4,  4,  6};

    return (size_t)type < sizeof bits ? bits[type] : 0;
}

static size_t address_unit(const struct kept *kept)
{
    return kept->interleave == CU_TENSOR_MAP_INTERLEAVE_32B ||
                   is_wide((CUtensorMapDataType)kept->type)
               ? 32
               : 16;
}

/** What all forms of a descriptor demand. */
static bool request_is_good(const CUtensorMap *map, const struct kept *kept)
{
    CUtensorMapDataType type = (CUtensorMapDataType)kept->type;

    return map && (uintptr_t)map % 64 == 0 && bits_of(type) && kept->rank &&
           kept->rank <= RANK_MOST && kept->address && kept->address % address_unit(kept) == 0 &&
           kept->interleave <= CU_TENSOR_MAP_INTERLEAVE_32B &&
           (kept->interleave == CU_TENSOR_MAP_INTERLEAVE_NONE || kept->rank >= 3) &&
           kept->swizzle <= CU_TENSOR_MAP_SWIZZLE_128B_ATOM_64B &&
           (kept->interleave != CU_TENSOR_MAP_INTERLEAVE_32B ||
            kept->swizzle == CU_TENSOR_MAP_SWIZZLE_32B) &&
           kept->promotion <= CU_TENSOR_MAP_L2_PROMOTION_L2_256B &&
           (kept->fill == CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE ||
            (kept->fill == CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA && is_floating(type)));
}

static bool tensor_is_good(const struct kept *kept, const cuuint64_t *dimensions,
                           const cuuint64_t *strides, const cuuint32_t *steps)
{
    CUtensorMapDataType type = (CUtensorMapDataType)kept->type;

    if (!dimensions || !steps || (kept->rank > 1 && !strides))
        return false;
    for (uint32_t i = 0; i < kept->rank; i++) {
        bool is_ignored = i == 0 && kept->interleave == CU_TENSOR_MAP_INTERLEAVE_NONE;

        if (!dimensions[i] || dimensions[i] > DIMENSION_MOST ||
            (!is_ignored && (!steps[i] || steps[i] > STEP_MOST)))
            return false;
        if (i && (strides[i - 1] % address_unit(kept) || strides[i - 1] >= STRIDE_MOST))
            return false;
    }
    return !is_packed(type) || dimensions[0] % (is_wide(type) ? 128 : 2) == 0;
}

static unsigned swizzle_bytes(uint32_t swizzle)
{
    return swizzle == CU_TENSOR_MAP_SWIZZLE_32B   ? 32
           : swizzle == CU_TENSOR_MAP_SWIZZLE_64B ? 64
                                                  : 128;
}

static bool box_is_good(const struct kept *kept, const cuuint32_t *box)
{
    CUtensorMapDataType type = (CUtensorMapDataType)kept->type;
    uint64_t inner;

    if (!box)
        return false;
    for (uint32_t i = 0; i < kept->rank; i++)
        if (!box[i] || box[i] > BOX_MOST)
            return false;
    if (is_wide(type))
        return box[0] == 128;
    inner = (uint64_t)box[0] * bits_of(type);
    return kept->interleave != CU_TENSOR_MAP_INTERLEAVE_NONE ||
           (inner % 128 == 0 && (kept->swizzle == CU_TENSOR_MAP_SWIZZLE_NONE ||
                                 inner / 8 <= swizzle_bytes(kept->swizzle)));
}

static CUresult keep(CUtensorMap *ret_map, const struct kept *kept, bool is_good)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result != CUDA_SUCCESS)
        return result;
    if (!is_good || profile.compute_major < 9)
        return profile.compute_major < 9 ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE;
    memset(ret_map, 0, sizeof *ret_map);
    memcpy(ret_map, kept, sizeof *kept);
    return CUDA_SUCCESS;
}

static CUresult address_replace(CUtensorMap *map, const void *address)
{
    struct kept kept;

    if (!map)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(&kept, map, sizeof kept);
    kept.address = (uintptr_t)address;
    return keep(map, &kept, request_is_good(map, &kept));
}

CUresult CUDAAPI cuTensorMapEncodeTiled(
    CUtensorMap *tensorMap, CUtensorMapDataType tensorDataType, cuuint32_t tensorRank,
    void *globalAddress, const cuuint64_t *globalDim, const cuuint64_t *globalStrides,
    const cuuint32_t *boxDim, const cuuint32_t *elementStrides, CUtensorMapInterleave interleave,
    CUtensorMapSwizzle swizzle, CUtensorMapL2promotion l2Promotion, CUtensorMapFloatOOBfill oobFill)
{
    struct kept kept = {(uintptr_t)globalAddress,
                        tensorDataType,
                        tensorRank,
                        interleave,
                        swizzle,
                        l2Promotion,
                        oobFill};

    CALL(cuTensorMapEncodeTiled,
         keep(tensorMap, &kept,
              request_is_good(tensorMap, &kept) &&
                  tensor_is_good(&kept, globalDim, globalStrides, elementStrides) &&
                  box_is_good(&kept, boxDim)));
}

CUresult CUDAAPI cuTensorMapEncodeIm2col(
    CUtensorMap *tensorMap, CUtensorMapDataType tensorDataType, cuuint32_t tensorRank,
    void *globalAddress, const cuuint64_t *globalDim, const cuuint64_t *globalStrides,
    const int *pixelBoxLowerCorner, const int *pixelBoxUpperCorner, cuuint32_t channelsPerPixel,
    cuuint32_t pixelsPerColumn, const cuuint32_t *elementStrides, CUtensorMapInterleave interleave,
    CUtensorMapSwizzle swizzle, CUtensorMapL2promotion l2Promotion, CUtensorMapFloatOOBfill oobFill)
{
    struct kept kept = {(uintptr_t)globalAddress,
                        tensorDataType,
                        tensorRank,
                        interleave,
                        swizzle,
                        l2Promotion,
                        oobFill};

    CALL(cuTensorMapEncodeIm2col,
         keep(tensorMap, &kept,
              request_is_good(tensorMap, &kept) && kept.rank >= 3 &&
                  tensor_is_good(&kept, globalDim, globalStrides, elementStrides) &&
                  pixelBoxLowerCorner && pixelBoxUpperCorner && channelsPerPixel &&
                  channelsPerPixel <= BOX_MOST && pixelsPerColumn && pixelsPerColumn <= 1024));
}

CUresult CUDAAPI cuTensorMapReplaceAddress(CUtensorMap *tensorMap, void *globalAddress)
{
    CALL(cuTensorMapReplaceAddress, address_replace(tensorMap, globalAddress));
}
