/* SPDX-License-Identifier: MIT */
/*
 * The math libraries that compute nothing, against NVIDIA's headers: handles, streams, properties,
 * sizes, and work that takes its place on a stream, in captures and in the count.
 */
#include <cublasLt.h>
#include <cublas_v2.h>
#include <cudnn.h>
#include <curand.h>
#include <cusolverDn.h>
#include <cusparse.h>

#include "tests/simgpu/simgpu.h"
#include "tests/simgpu/tests/runtime/support.h"

static void *memory; /* of the device */

static uint64_t calls(void)
{
    uint64_t (*count)(void) = NULL;

    *(void **)&count = check_control("simgpu_library_calls");
    return count();
}

static int gemm(cublasHandle_t handle)
{
    const float one = 1;

    return cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_T, 8, 8, 8, &one, memory, 8, memory, 8, &one,
                       memory, 8);
}

static void test_cublas(cudaStream_t stream)
{
    cublasHandle_t handle;
    cudaStream_t found = stream;
    cublasPointerMode_t mode;
    cublasMath_t math = CUBLAS_DEFAULT_MATH;
    uint64_t before = calls();
    int version = 0;

    EQUAL(cublasCreate(&handle), CUBLAS_STATUS_SUCCESS);
    EQUAL(cublasGetVersion(handle, &version), CUBLAS_STATUS_SUCCESS);
    EQUAL(version / 10000, 13);
    EQUAL(cublasGetStream(handle, &found), CUBLAS_STATUS_SUCCESS);
    CHECK(!found);
    EQUAL(cublasSetStream(handle, stream), CUBLAS_STATUS_SUCCESS);
    EQUAL(cublasGetStream(handle, &found), CUBLAS_STATUS_SUCCESS);
    CHECK(found == stream);
    EQUAL(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_DEVICE), CUBLAS_STATUS_SUCCESS);
    EQUAL(cublasGetPointerMode(handle, &mode), CUBLAS_STATUS_SUCCESS);
    EQUAL(mode, CUBLAS_POINTER_MODE_DEVICE);
    EQUAL(cublasSetMathMode(handle, CUBLAS_TF32_TENSOR_OP_MATH), CUBLAS_STATUS_SUCCESS);
    EQUAL(cublasGetMathMode(handle, &math), CUBLAS_STATUS_SUCCESS);
    EQUAL(math, CUBLAS_TF32_TENSOR_OP_MATH);
    EQUAL(calls(), before);
    EQUAL(gemm(handle), CUBLAS_STATUS_SUCCESS);
    EQUAL(calls(), before + 1);
    EQUAL(gemm(NULL), CUBLAS_STATUS_NOT_INITIALIZED);
    EQUAL(calls(), before + 1);
    EQUAL(cublasDestroy(handle), CUBLAS_STATUS_SUCCESS);
}

/* Work waits its turn on the stream of its handle. */
static void test_order(cudaStream_t stream)
{
    cublasHandle_t handle;
    int (*hold)(cudaStream_t), (*release)(cudaStream_t);

    *(void **)&hold = check_control("simgpu_hold");
    *(void **)&release = check_control("simgpu_release");
    EQUAL(cublasCreate(&handle), CUBLAS_STATUS_SUCCESS);
    EQUAL(cublasSetStream(handle, stream), CUBLAS_STATUS_SUCCESS);
    OK(cudaStreamSynchronize(stream));
    hold(stream);
    EQUAL(gemm(handle), CUBLAS_STATUS_SUCCESS);
    EQUAL(cudaStreamQuery(stream), cudaErrorNotReady);
    release(stream);
    OK(cudaStreamSynchronize(stream));
    EQUAL(cublasDestroy(handle), CUBLAS_STATUS_SUCCESS);
}

static void test_capture(cudaStream_t stream)
{
    cublasHandle_t handle;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    cudaGraphNode_t node;
    enum cudaGraphNodeType type;
    size_t nodes = 0, one = 1;

    EQUAL(cublasCreate(&handle), CUBLAS_STATUS_SUCCESS);
    EQUAL(cublasSetStream(handle, stream), CUBLAS_STATUS_SUCCESS);
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    EQUAL(gemm(handle), CUBLAS_STATUS_SUCCESS);
    EQUAL(gemm(handle), CUBLAS_STATUS_SUCCESS);
    OK(cudaStreamEndCapture(stream, &graph));
    OK(cudaGraphGetNodes(graph, NULL, &nodes));
    EQUAL(nodes, 2);
    OK(cudaGraphGetNodes(graph, &node, &one));
    OK(cudaGraphNodeGetType(node, &type));
    EQUAL(type, cudaGraphNodeTypeKernel);
    OK(cudaGraphInstantiate(&exec, graph, 0));
    OK(cudaGraphLaunch(exec, stream));
    OK(cudaStreamSynchronize(stream));
    OK(cudaGraphExecDestroy(exec));
    OK(cudaGraphDestroy(graph));
    EQUAL(cublasDestroy(handle), CUBLAS_STATUS_SUCCESS);
}

static void test_cublas_lt(cudaStream_t stream)
{
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t layout;
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t way;
    cublasOperation_t transposed = CUBLAS_OP_T, found = CUBLAS_OP_N;
    uint64_t before = calls();
    size_t written = 0;
    float one = 1;
    int ways = 0;

    EQUAL(cublasLtCreate(&handle), 0);
    EQUAL(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), 0);
    EQUAL(cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F, 8, 8, 8), 0);
    EQUAL(cublasLtMatmulPreferenceCreate(&preference), 0);
    EQUAL(cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                         sizeof transposed),
          0);
    EQUAL(cublasLtMatmulDescGetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSA, &found,
                                         sizeof found, &written),
          0);
    EQUAL(found, CUBLAS_OP_T);
    EQUAL(written, sizeof found);
    EQUAL(cublasLtMatmulAlgoGetHeuristic(handle, operation, layout, layout, layout, layout,
                                         preference, 1, &way, &ways),
          0);
    EQUAL(ways, 1);
    EQUAL(way.state, CUBLAS_STATUS_SUCCESS);
    EQUAL(cublasLtMatmul(handle, operation, &one, memory, layout, memory, layout, &one, memory,
                         layout, memory, layout, &way.algo, NULL, 0, stream),
          0);
    EQUAL(calls(), before + 1);
    EQUAL(cublasLtMatmulPreferenceDestroy(preference), 0);
    EQUAL(cublasLtMatrixLayoutDestroy(layout), 0);
    EQUAL(cublasLtMatmulDescDestroy(operation), 0);
    EQUAL(cublasLtDestroy(handle), 0);
}

/* The way programs choose a convolution by: one engine, one plan with a workspace. */
static void test_cudnn_graph(cudnnHandle_t handle)
{
    cudnnBackendDescriptor_t heuristics, config, plan;
    int64_t count = 0, bytes = 0;
    uint64_t before = calls();

    EQUAL(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics), 0);
    EQUAL(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &config), 0);
    EQUAL(cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan), 0);
    EQUAL(cudnnBackendFinalize(heuristics), 0);
    EQUAL(cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                   CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, NULL),
          0);
    EQUAL(count, 1);
    EQUAL(cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
                                   CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config),
          0);
    EQUAL(cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64,
                                   1, &count, &bytes),
          0);
    CHECK(count == 1 && bytes > 0);
    EQUAL(cudnnBackendExecute(handle, plan, config), 0);
    EQUAL(calls(), before + 1);
    EQUAL(cudnnBackendDestroyDescriptor(plan), 0);
    EQUAL(cudnnBackendDestroyDescriptor(config), 0);
    EQUAL(cudnnBackendDestroyDescriptor(heuristics), 0);
}

static void test_cudnn(cudaStream_t stream)
{
    cudnnHandle_t handle;
    cudnnTensorDescriptor_t tensor;
    cudnnFilterDescriptor_t filter;
    cudnnConvolutionDescriptor_t convolution;
    size_t bytes = 0;
    float one = 1;
    uint64_t before = calls();

    EQUAL(cudnnGetVersion() / 10000, 9);
    EQUAL(cudnnCreate(&handle), 0);
    EQUAL(cudnnSetStream(handle, stream), 0);
    EQUAL(cudnnCreateTensorDescriptor(&tensor), 0);
    EQUAL(cudnnCreateFilterDescriptor(&filter), 0);
    EQUAL(cudnnCreateConvolutionDescriptor(&convolution), 0);
    EQUAL(cudnnSetTensor4dDescriptor(tensor, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 1, 8, 8, 8), 0);
    EQUAL(cudnnGetConvolutionForwardWorkspaceSize(handle, tensor, filter, convolution, tensor,
                                                  CUDNN_CONVOLUTION_FWD_ALGO_GEMM, &bytes),
          0);
    CHECK(bytes > 0);
    EQUAL(cudnnConvolutionForward(handle, &one, tensor, memory, filter, memory, convolution,
                                  CUDNN_CONVOLUTION_FWD_ALGO_GEMM, memory, bytes, &one, tensor,
                                  memory),
          0);
    EQUAL(calls(), before + 1);
    test_cudnn_graph(handle);
    CHECK(!strcmp(cudnnGetErrorString(CUDNN_STATUS_SUCCESS), "CUDNN_STATUS_SUCCESS"));
    EQUAL(cudnnDestroyConvolutionDescriptor(convolution), 0);
    EQUAL(cudnnDestroyFilterDescriptor(filter), 0);
    EQUAL(cudnnDestroyTensorDescriptor(tensor), 0);
    EQUAL(cudnnDestroy(handle), 0);
}

static void test_curand(cudaStream_t stream)
{
    curandGenerator_t generator;
    uint64_t before = calls();

    EQUAL(curandCreateGenerator(&generator, CURAND_RNG_PSEUDO_DEFAULT), 0);
    EQUAL(curandSetStream(generator, stream), 0);
    EQUAL(curandSetPseudoRandomGeneratorSeed(generator, 7), 0);
    EQUAL(curandGenerateUniform(generator, memory, 64), 0);
    EQUAL(calls(), before + 1);
    EQUAL(curandDestroyGenerator(generator), 0);
}

static void test_cusparse(cudaStream_t stream)
{
    cusparseHandle_t handle;
    cusparseDnVecDescr_t vector;
    cusparseSpMatDescr_t matrix;
    float one = 1;
    size_t bytes = 0;
    uint64_t before = calls();
    int version = 0;

    EQUAL(cusparseCreate(&handle), 0);
    EQUAL(cusparseGetVersion(handle, &version), 0);
    CHECK(version > 0);
    EQUAL(cusparseSetStream(handle, stream), 0);
    EQUAL(cusparseCreateDnVec(&vector, 8, memory, CUDA_R_32F), 0);
    EQUAL(cusparseCreateCsr(&matrix, 8, 8, 8, memory, memory, memory, CUSPARSE_INDEX_32I,
                            CUSPARSE_INDEX_32I, CUSPARSE_INDEX_BASE_ZERO, CUDA_R_32F),
          0);
    EQUAL(cusparseSpMV_bufferSize(handle, CUSPARSE_OPERATION_NON_TRANSPOSE, &one, matrix, vector,
                                  &one, vector, CUDA_R_32F, CUSPARSE_SPMV_ALG_DEFAULT, &bytes),
          0);
    CHECK(bytes > 0);
    EQUAL(calls(), before);
    EQUAL(cusparseSpMV(handle, CUSPARSE_OPERATION_NON_TRANSPOSE, &one, matrix, vector, &one, vector,
                       CUDA_R_32F, CUSPARSE_SPMV_ALG_DEFAULT, memory),
          0);
    EQUAL(calls(), before + 1);
    EQUAL(cusparseDestroySpMat(matrix), 0);
    EQUAL(cusparseDestroyDnVec(vector), 0);
    EQUAL(cusparseDestroy(handle), 0);
}

static void test_cusolver(cudaStream_t stream)
{
    cusolverDnHandle_t handle;
    uint64_t before = calls();
    int elements = 0;

    EQUAL(cusolverDnCreate(&handle), 0);
    EQUAL(cusolverDnSetStream(handle, stream), 0);
    EQUAL(cusolverDnSpotrf_bufferSize(handle, CUBLAS_FILL_MODE_LOWER, 8, memory, 8, &elements), 0);
    CHECK(elements > 0);
    EQUAL(cusolverDnSpotrf(handle, CUBLAS_FILL_MODE_LOWER, 8, memory, 8, memory, elements, memory),
          0);
    EQUAL(calls(), before + 1);
    EQUAL(cusolverDnDestroy(handle), 0);
}

int main(void)
{
    cudaStream_t stream;

    OK(cudaMalloc(&memory, 1 << 16));
    OK(cudaStreamCreate(&stream));
    test_cublas(stream);
    test_order(stream);
    test_capture(stream);
    test_cublas_lt(stream);
    test_cudnn(stream);
    test_curand(stream);
    test_cusparse(stream);
    test_cusolver(stream);
    OK(cudaStreamSynchronize(stream));
    return check_done();
}
