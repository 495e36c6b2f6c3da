/* SPDX-License-Identifier: MIT */
/*
 * The functions that are more than a row: versions, texts, and the answers that programs choose
 * their way by. Compiled once for each library, with LIBRARY_NAME defined to 1 for its own.
 */
#include "tests/simgpu/libraries/call.h"

#include <string.h>

/* clang-format off */
#define VERSION_3(version) {(version) / 10000, (version) / 100 % 100, (version) % 100}
/* clang-format on */

/** Parts of a version as cudaLibraryPropertyType numbers them. */
static inline int part_write(const int parts[3], unsigned which, int *ret, int refused)
{
    if (which > 2 || !ret)
        return refused;
    *ret = parts[which];
    return 0;
}

#define RUNTIME_VERSION (CUDA_MAJOR == 12 ? 12080 : 13000)

#if LIBRARY_cublas || LIBRARY_cublasLt
#define VERSION (CUDA_MAJOR == 12 ? 120804 : 130401)

const struct library_errors library_errors = {1, 13};

static const char *status_text(int status)
{
    switch (status) {
    case 0: return "CUBLAS_STATUS_SUCCESS";
    case 1: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case 3: return "CUBLAS_STATUS_ALLOC_FAILED";
    case 7: return "CUBLAS_STATUS_INVALID_VALUE";
    case 8: return "CUBLAS_STATUS_ARCH_MISMATCH";
    case 11: return "CUBLAS_STATUS_MAPPING_ERROR";
    case 13: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case 14: return "CUBLAS_STATUS_INTERNAL_ERROR";
    case 15: return "CUBLAS_STATUS_NOT_SUPPORTED";
    case 16: return "CUBLAS_STATUS_LICENSE_ERROR";
    default: return "cublas unknown error";
    }
}

static int property(unsigned which, int *ret)
{
    static const int parts[3] = VERSION_3(VERSION);

    return part_write(parts, which, ret, 7);
}
#endif

#if LIBRARY_cublas
LIBRARY_API int cublasGetVersion_v2(void *handle, int *ret)
{
    if (!ret)
        return 7;
    *ret = VERSION;
    return 0;
}

LIBRARY_API int cublasGetVersion(int *ret)
{
    return cublasGetVersion_v2(NULL, ret);
}

LIBRARY_API size_t cublasGetCudartVersion(void)
{
    return RUNTIME_VERSION;
}

LIBRARY_API int cublasGetProperty(unsigned which, int *ret)
{
    return property(which, ret);
}

LIBRARY_API const char *cublasGetStatusName(int status)
{
    return status_text(status);
}

LIBRARY_API const char *cublasGetStatusString(int status)
{
    return status_text(status);
}
#endif

#if LIBRARY_cublasLt
LIBRARY_API size_t cublasLtGetVersion(void)
{
    return VERSION;
}

LIBRARY_API size_t cublasLtGetCudartVersion(void)
{
    return RUNTIME_VERSION;
}

LIBRARY_API int cublasLtGetProperty(unsigned which, int *ret)
{
    return property(which, ret);
}

LIBRARY_API const char *cublasLtGetStatusName(int status)
{
    return status_text(status);
}

LIBRARY_API const char *cublasLtGetStatusString(int status)
{
    return status_text(status);
}

/** cublasLtMatmulHeuristicResult_t */
struct heuristic {
    uint64_t algorithm[8];
    size_t workspace_bytes;
    int state;
    float waves;
    int reserved[4];
};

static const struct heuristic one_way = {.algorithm = {1}, .waves = 1};

LIBRARY_API int cublasLtMatmulAlgoGetHeuristic(void *handle, void *operation, void *a, void *b,
                                               void *c, void *d, void *preference, int room,
                                               struct heuristic *ret, int *ret_count)
{
    if (!ret || !ret_count || room < 1)
        return 7;
    *ret = one_way;
    *ret_count = 1;
    return 0;
}

LIBRARY_API int cublasLtMatmulAlgoGetIds(void *handle, int compute, int scale, int a, int b, int c,
                                         int d, int room, int *ret, int *ret_count)
{
    if (!ret || !ret_count || room < 1)
        return 7;
    *ret = 1;
    *ret_count = 1;
    return 0;
}

LIBRARY_API int cublasLtMatmulAlgoCheck(void *handle, void *operation, void *a, void *b, void *c,
                                        void *d, const void *algorithm, struct heuristic *ret)
{
    if (!ret)
        return 7;
    *ret = one_way;
    return 0;
}
#endif

#if LIBRARY_cudnn
#define VERSION 92600 /* of the lists: programs of older releases of 9 take a newer one */

const struct library_errors library_errors = {2002, 5000};

LIBRARY_API size_t cudnnGetVersion(void)
{
    return VERSION;
}

LIBRARY_API size_t cudnnGetMaxDeviceVersion(void)
{
    return 1200;
}

LIBRARY_API size_t cudnnGetCudartVersion(void)
{
    return RUNTIME_VERSION;
}

LIBRARY_API int cudnnGetProperty(unsigned which, int *ret)
{
    static const int parts[3] = VERSION_3(VERSION);

    return part_write(parts, which, ret, 2000);
}

LIBRARY_API const char *cudnnGetErrorString(int status)
{
    switch (status) {
    case 0: return "CUDNN_STATUS_SUCCESS";
    case 1001: return "CUDNN_STATUS_NOT_INITIALIZED";
    case 2000: return "CUDNN_STATUS_BAD_PARAM";
    case 2002: return "CUDNN_STATUS_BAD_PARAM_NULL_POINTER";
    case 3000: return "CUDNN_STATUS_NOT_SUPPORTED";
    case 4000: return "CUDNN_STATUS_INTERNAL_ERROR";
    case 5000: return "CUDNN_STATUS_EXECUTION_FAILED";
    default: return "CUDNN_STATUS_UNKNOWN";
    }
}

LIBRARY_API void cudnnGetLastErrorString(char *ret, size_t bytes)
{
    if (ret && bytes)
        *ret = '\0';
}

/** Bytes of an element of cudnnBackendAttributeType_t. */
static size_t element_bytes(unsigned type)
{
    enum {
        BOOLEAN = 2,
        INT64 = 3,
        FLOATING = 4,
        DOUBLE = 5,
        POINTER = 6,
        DESCRIPTOR = 15,
        CHAR = 24,
        FRACTION = 26
    };

    switch (type) {
    case BOOLEAN:
    case CHAR: return 1;
    case 0: /* a handle */
    case INT64:
    case DOUBLE:
    case POINTER:
    case DESCRIPTOR: return 8;
    case FRACTION: return 16;
    default: return 4;
    }
}

LIBRARY_API int cudnnBackendSetAttribute(void *descriptor, unsigned name, unsigned type,
                                         int64_t count, const void *values)
{
    if (count < 0 || (count && !values))
        return 2000;
    return object_keep(descriptor, name, values ? values : "", (size_t)count * element_bytes(type))
               ? 0
               : library_errors.no_handle;
}

/** One engine for everything, which needs a workspace. Queries return the set values. */
LIBRARY_API int cudnnBackendGetAttribute(void *descriptor, unsigned name, unsigned type,
                                         int64_t room, int64_t *ret_count, void *ret)
{
    enum { RESULTS = 202, ENGINE = 300, WORKSPACE = 402 };
    enum { INT64 = 3, INT32 = 23 };
    const bool is_number = type == INT64 || type == INT32;
    size_t kept = object_kept(descriptor, name, ret,
                              ret && room > 0 ? (size_t)room * element_bytes(type) : 0);
    int64_t count = (int64_t)(kept / element_bytes(type));

    if (!kept)
        count = name == RESULTS || name == ENGINE || is_number;
    if (!kept && ret && room > 0 && is_number)
        memset(ret, 0, element_bytes(type));
    if (!kept && ret && room > 0 && name == WORKSPACE)
        *(int64_t *)ret = (int64_t)LIBRARY_WORKSPACE_BYTES;
    if (ret_count)
        *ret_count = count;
    return 0;
}

/** cudnnConvolutionFwdAlgoPerf_t and its kin. */
struct performance {
    int algorithm, status;
    float time;
    size_t memory;
    int determinism, math, reserved[3];
};

static int performance_write(int room, int *ret_count, struct performance *ret)
{
    if (room < 1 || !ret_count || !ret)
        return 2000;
    *ret = (struct performance){
        .algorithm = 1, .memory = LIBRARY_WORKSPACE_BYTES, .determinism = 1};
    *ret_count = 1;
    return 0;
}

#define FIND(name)                                                                                 \
    LIBRARY_API int name(void *handle, void *x, void *w, void *convolution, void *y, int room,     \
                         int *ret_count, struct performance *ret)                                  \
    {                                                                                              \
        return performance_write(room, ret_count, ret);                                            \
    }
#define FIND_EX(name)                                                                              \
    LIBRARY_API int name(void *handle, void *x, void *x_data, void *w, void *w_data,               \
                         void *convolution, void *y, void *y_data, int room, int *ret_count,       \
                         struct performance *ret)                                                  \
    {                                                                                              \
        return performance_write(room, ret_count, ret);                                            \
    }
#define MAX_COUNT(name)                                                                            \
    LIBRARY_API int name(void *handle, int *ret)                                                   \
    {                                                                                              \
        if (!ret)                                                                                  \
            return 2000;                                                                           \
        *ret = 8;                                                                                  \
        return 0;                                                                                  \
    }

/* clang-format off */
FIND(cudnnGetConvolutionForwardAlgorithm_v7)
FIND(cudnnGetConvolutionBackwardDataAlgorithm_v7)
FIND(cudnnGetConvolutionBackwardFilterAlgorithm_v7)
FIND(cudnnFindConvolutionForwardAlgorithm)
FIND(cudnnFindConvolutionBackwardDataAlgorithm)
FIND(cudnnFindConvolutionBackwardFilterAlgorithm)
FIND_EX(cudnnFindConvolutionForwardAlgorithmEx)
FIND_EX(cudnnFindConvolutionBackwardDataAlgorithmEx)
FIND_EX(cudnnFindConvolutionBackwardFilterAlgorithmEx)
MAX_COUNT(cudnnGetConvolutionForwardAlgorithmMaxCount)
MAX_COUNT(cudnnGetConvolutionBackwardDataAlgorithmMaxCount)
MAX_COUNT(cudnnGetConvolutionBackwardFilterAlgorithmMaxCount)
/* clang-format on */
#endif

#if LIBRARY_curand
#define VERSION 10400

const struct library_errors library_errors = {101, 201};

LIBRARY_API int curandGetVersion(int *ret)
{
    if (!ret)
        return 100;
    *ret = VERSION;
    return 0;
}

LIBRARY_API int curandGetProperty(unsigned which, int *ret)
{
    static const int parts[3] = {VERSION / 1000, VERSION / 100 % 10, VERSION % 100};

    return part_write(parts, which, ret, 104);
}
#endif

#if LIBRARY_cusparse
#define VERSION (CUDA_MAJOR == 12 ? 12508 : 12700)

const struct library_errors library_errors = {1, 6};

LIBRARY_API int cusparseGetVersion(void *handle, int *ret)
{
    if (!ret)
        return 3;
    *ret = VERSION;
    return 0;
}

LIBRARY_API int cusparseGetProperty(unsigned which, int *ret)
{
    static const int parts[3] = {VERSION / 1000, VERSION / 100 % 10, VERSION % 100};

    return part_write(parts, which, ret, 3);
}

LIBRARY_API const char *cusparseGetErrorName(int status)
{
    static const char *const names[] = {
        "CUSPARSE_STATUS_SUCCESS",          "CUSPARSE_STATUS_NOT_INITIALIZED",
        "CUSPARSE_STATUS_ALLOC_FAILED",     "CUSPARSE_STATUS_INVALID_VALUE",
        "CUSPARSE_STATUS_ARCH_MISMATCH",    "CUSPARSE_STATUS_MAPPING_ERROR",
        "CUSPARSE_STATUS_EXECUTION_FAILED", "CUSPARSE_STATUS_INTERNAL_ERROR",
    };

    return (size_t)status < sizeof names / sizeof *names ? names[status]
                                                         : "unrecognized error code";
}

LIBRARY_API const char *cusparseGetErrorString(int status)
{
    return cusparseGetErrorName(status);
}
#endif

#if LIBRARY_cusolver
#define VERSION (CUDA_MAJOR == 12 ? 11703 : 12000)

const struct library_errors library_errors = {1, 6};

LIBRARY_API int cusolverGetVersion(int *ret)
{
    if (!ret)
        return 3;
    *ret = VERSION;
    return 0;
}

LIBRARY_API int cusolverGetProperty(unsigned which, int *ret)
{
    static const int parts[3] = {VERSION / 1000, VERSION / 100 % 10, VERSION % 100};

    return part_write(parts, which, ret, 3);
}
#endif
