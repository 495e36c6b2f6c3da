/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of tensors: requirements of cuda.h on each argument, and accepted values.
 */
#include "tests/simgpu/tests/driver/support.h"

/** A valid request; a test makes one field invalid. */
struct request {
    CUtensorMapDataType type;
    cuuint32_t rank;
    CUdeviceptr address;
    cuuint64_t dimension[5], stride[4];
    cuuint32_t box[5], step[5];
    CUtensorMapInterleave interleave;
    CUtensorMapSwizzle swizzle;
    CUtensorMapL2promotion promotion;
    CUtensorMapFloatOOBfill fill;
};

static CUdeviceptr block;

static struct request good(void)
{
    return (struct request){
        .type = CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        .rank = 2,
        .address = block,
        .dimension = {1024, 64},
        .stride = {2048},
        .box = {64, 64},
        .step = {1, 1},
        .swizzle = CU_TENSOR_MAP_SWIZZLE_128B,
        .promotion = CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
    };
}

static CUresult encode(struct request request)
{
    static CUtensorMap map;

    return cuTensorMapEncodeTiled(&map, request.type, request.rank, (void *)request.address,
                                  request.dimension, request.stride, request.box, request.step,
                                  request.interleave, request.swizzle, request.promotion,
                                  request.fill);
}

#define REFUSED(change)                                                                            \
    do {                                                                                           \
        struct request r = good();                                                                 \
        change;                                                                                    \
        EXPECT(CUDA_ERROR_INVALID_VALUE, encode(r));                                               \
    } while (0)
#define TAKEN(change)                                                                              \
    do {                                                                                           \
        struct request r = good();                                                                 \
        change;                                                                                    \
        OK(encode(r));                                                                             \
    } while (0)

static void test_tiled(void)
{
    TAKEN((void)0);
    REFUSED(r.rank = 0);
    REFUSED(r.rank = 6);
    REFUSED(r.type = (CUtensorMapDataType)99);
    REFUSED(r.address += 8);
    REFUSED(r.dimension[1] = 0);
    REFUSED(r.dimension[0] = ((cuuint64_t)1 << 32) + 1);
    TAKEN(r.dimension[0] = (cuuint64_t)1 << 32);
    REFUSED(r.stride[0] = 2056);
    REFUSED(r.stride[0] = (cuuint64_t)1 << 40);
    REFUSED(r.box[1] = 257);
    REFUSED(r.box[0] = 0);
    REFUSED(r.box[0] = 4);   /* 8 bytes */
    REFUSED(r.box[0] = 128); /* more than the swizzle takes */
    TAKEN(r.box[0] = 128; r.swizzle = CU_TENSOR_MAP_SWIZZLE_NONE);
    REFUSED(r.swizzle = CU_TENSOR_MAP_SWIZZLE_64B);
    REFUSED(r.step[1] = 9);
    TAKEN(r.step[0] = 0);                                 /* ignored without interleaving */
    REFUSED(r.interleave = CU_TENSOR_MAP_INTERLEAVE_16B); /* of rank 2 */
    TAKEN(r.fill = CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA);
    REFUSED(r.fill = CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA;
            r.type = CU_TENSOR_MAP_DATA_TYPE_UINT16);
    REFUSED(r.promotion = (CUtensorMapL2promotion)4);
}

static void test_place(void)
{
    static _Alignas(128) char memory[sizeof(CUtensorMap) + 64];
    CUtensorMap *map = (CUtensorMap *)memory, *askew = (CUtensorMap *)(memory + 8);
    struct request r = good();
    const int low[] = {0, 0}, high[] = {0, 0};

    OK(cuTensorMapEncodeTiled(map, r.type, r.rank, (void *)r.address, r.dimension, r.stride, r.box,
                              r.step, r.interleave, r.swizzle, r.promotion, r.fill));
    EXPECT(CUDA_ERROR_INVALID_VALUE,
           cuTensorMapEncodeTiled(askew, r.type, r.rank, (void *)r.address, r.dimension, r.stride,
                                  r.box, r.step, r.interleave, r.swizzle, r.promotion, r.fill));
    OK(cuTensorMapReplaceAddress(map, (void *)(block + 4096)));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuTensorMapReplaceAddress(map, (void *)(block + 8)));
    r = (struct request){.type = CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
                         .rank = 4,
                         .address = block,
                         .dimension = {64, 32, 32, 2},
                         .stride = {128, 4096, 131072},
                         .step = {1, 1, 1, 1}};
    OK(cuTensorMapEncodeIm2col(map, r.type, r.rank, (void *)r.address, r.dimension, r.stride, low,
                               high, 64, 128, r.step, r.interleave, r.swizzle, r.promotion,
                               r.fill));
    EXPECT(CUDA_ERROR_INVALID_VALUE,
           cuTensorMapEncodeIm2col(map, r.type, 2, (void *)r.address, r.dimension, r.stride, low,
                                   high, 64, 128, r.step, r.interleave, r.swizzle, r.promotion,
                                   r.fill));
}

int main(void)
{
    start();
    OK(cuMemAlloc(&block, MIB));
    test_tiled();
    test_place();
    OK(cuMemFree(block));
    return 0;
}
