/* SPDX-License-Identifier: MIT */
/*
 * A program of the 12 ABI: the functions whose names or signatures 13 changed, declared here as a
 * 12 header has them, on the stand-in for libcudart.so.12.
 */
#include "tests/simgpu/runtime/abi/abi12_properties.h"
#include "tests/simgpu/tests/runtime/support.h"

cudaError_t twelve_properties(struct abi12_properties *properties,
                              int device) __asm__("cudaGetDeviceProperties_v2");
cudaError_t eleven_properties(void *properties, int device) __asm__("cudaGetDeviceProperties");
cudaError_t twelve_edges(cudaGraph_t graph, cudaGraphNode_t *from, cudaGraphNode_t *to,
                         size_t *count) __asm__("cudaGraphGetEdges");
cudaError_t twelve_add_dependencies(cudaGraph_t graph, const cudaGraphNode_t *from,
                                    const cudaGraphNode_t *to,
                                    size_t count) __asm__("cudaGraphAddDependencies");
cudaError_t twelve_capture_info(cudaStream_t stream, enum cudaStreamCaptureStatus *status,
                                unsigned long long *id) __asm__("cudaStreamGetCaptureInfo");
cudaError_t twelve_capture_info_v2(cudaStream_t stream, enum cudaStreamCaptureStatus *status,
                                   unsigned long long *id, cudaGraph_t *graph,
                                   const cudaGraphNode_t **nodes,
                                   size_t *count) __asm__("cudaStreamGetCaptureInfo_v2");
cudaError_t cudaThreadSynchronize(void);
cudaError_t cudaThreadExit(void);

static void test_properties(void)
{
    struct abi12_properties properties;
    struct {
        char known[offsetof(struct abi12_properties, hostRegisterSupported)];
        unsigned char behind[64];
    } eleven;
    int value = 0, untouched = 1;

    memset(&eleven, 0xee, sizeof(eleven));
    OK(twelve_properties(&properties, 0));
    OK(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 0));
    EQUAL(properties.multiProcessorCount, value);
    OK(cudaDeviceGetAttribute(&value, cudaDevAttrClockRate, 0));
    EQUAL(properties.clockRate, value);
    OK(cudaDeviceGetAttribute(&value, cudaDevAttrClusterLaunch, 0));
    EQUAL(properties.clusterLaunch, value);

    OK(eleven_properties(&eleven, 0));
    CHECK(!memcmp(eleven.known, &properties, sizeof(eleven.known)));
    for (size_t i = 0; i < sizeof(eleven.behind); i++)
        untouched &= eleven.behind[i] == 0xee;
    CHECK(untouched);
}

static void test_graph_calls(void)
{
    cudaGraph_t graph;
    cudaGraphNode_t nodes[2], from[1], to[1];
    size_t count = 1;

    OK(cudaGraphCreate(&graph, 0));
    OK(cudaGraphAddEmptyNode(&nodes[0], graph, NULL, 0));
    OK(cudaGraphAddEmptyNode(&nodes[1], graph, NULL, 0));
    OK(twelve_add_dependencies(graph, &nodes[0], &nodes[1], 1));
    OK(twelve_edges(graph, from, to, &count));
    EQUAL(count, 1);
    CHECK(from[0] == nodes[0] && to[0] == nodes[1]);
    OK(cudaGraphDestroy(graph));
}

static void test_capture_calls(void)
{
    enum cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    unsigned long long id = 0, id_v2 = 0;
    cudaStream_t stream;
    cudaGraph_t graph = NULL;

    OK(cudaStreamCreate(&stream));
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    OK(twelve_capture_info(stream, &status, &id));
    EQUAL(status, cudaStreamCaptureStatusActive);
    OK(twelve_capture_info_v2(stream, &status, &id_v2, &graph, NULL, NULL));
    EQUAL(id, id_v2);
    CHECK(graph);
    OK(cudaStreamEndCapture(stream, &graph));
    OK(cudaGraphDestroy(graph));
    OK(cudaStreamDestroy(stream));
}

int main(void)
{
    void *pointer;
    int version = 0;

    OK(cudaRuntimeGetVersion(&version));
    EQUAL(version, 12080);
    OK(cudaMalloc(&pointer, 1 << 20));
    OK(cudaMemset(pointer, 1, 1 << 20));
    OK(cudaFree(pointer));
    test_properties();
    test_graph_calls();
    test_capture_calls();
    OK(cudaThreadSynchronize());
    OK(cudaThreadExit());
    return check_done();
}
