/* SPDX-License-Identifier: MIT */
/*
 * Assumptions of the forwards in calls.def: enumerators of both APIs with the same numbers,
 * structs with the same layout. No code, only checks at compile time; a new toolkit that breaks
 * one fails here, not in a program.
 */
#include "tests/simgpu/runtime/base/runtime.h"

#include <assert.h>
#include <stddef.h>

/* clang-format off */
#define SAME_NUMBER(runtime, driver) \
    static_assert((int)(runtime) == (int)(driver), #runtime " is not " #driver);
#define SAME_SIZE(runtime, driver) \
    static_assert(sizeof(runtime) == sizeof(driver), #runtime " is not as large as " #driver);
#define SAME_PLACE(runtime, field, driver, driver_field) \
    static_assert(offsetof(runtime, field) == offsetof(driver, driver_field) && \
                   sizeof(((runtime *)0)->field) == sizeof(((driver *)0)->driver_field), \
                   #runtime "." #field " is not " #driver "." #driver_field);

SAME_NUMBER(cudaErrorInvalidValue, CUDA_ERROR_INVALID_VALUE)
SAME_NUMBER(cudaErrorMemoryAllocation, CUDA_ERROR_OUT_OF_MEMORY)
SAME_NUMBER(cudaErrorInitializationError, CUDA_ERROR_NOT_INITIALIZED)
SAME_NUMBER(cudaErrorCudartUnloading, CUDA_ERROR_DEINITIALIZED)
SAME_NUMBER(cudaErrorNoDevice, CUDA_ERROR_NO_DEVICE)
SAME_NUMBER(cudaErrorInvalidDevice, CUDA_ERROR_INVALID_DEVICE)
SAME_NUMBER(cudaErrorDeviceUninitialized, CUDA_ERROR_INVALID_CONTEXT)
SAME_NUMBER(cudaErrorNoKernelImageForDevice, CUDA_ERROR_NO_BINARY_FOR_GPU)
SAME_NUMBER(cudaErrorInvalidResourceHandle, CUDA_ERROR_INVALID_HANDLE)
SAME_NUMBER(cudaErrorSymbolNotFound, CUDA_ERROR_NOT_FOUND)
SAME_NUMBER(cudaErrorNotReady, CUDA_ERROR_NOT_READY)
SAME_NUMBER(cudaErrorIllegalAddress, CUDA_ERROR_ILLEGAL_ADDRESS)
SAME_NUMBER(cudaErrorPeerAccessAlreadyEnabled, CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED)
SAME_NUMBER(cudaErrorContextIsDestroyed, CUDA_ERROR_CONTEXT_IS_DESTROYED)
SAME_NUMBER(cudaErrorHostMemoryAlreadyRegistered, CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED)
SAME_NUMBER(cudaErrorLaunchFailure, CUDA_ERROR_LAUNCH_FAILED)
SAME_NUMBER(cudaErrorNotSupported, CUDA_ERROR_NOT_SUPPORTED)
SAME_NUMBER(cudaErrorStreamCaptureUnsupported, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED)
SAME_NUMBER(cudaErrorStreamCaptureWrongThread, CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD)
SAME_NUMBER(cudaErrorGraphExecUpdateFailure, CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE)
SAME_NUMBER(cudaErrorUnknown, CUDA_ERROR_UNKNOWN)

SAME_NUMBER(cudaLimitStackSize, CU_LIMIT_STACK_SIZE)
SAME_NUMBER(cudaLimitMallocHeapSize, CU_LIMIT_MALLOC_HEAP_SIZE)
SAME_NUMBER(cudaLimitPersistingL2CacheSize, CU_LIMIT_PERSISTING_L2_CACHE_SIZE)
SAME_NUMBER(cudaFuncCachePreferL1, CU_FUNC_CACHE_PREFER_L1)
SAME_NUMBER(cudaSharedMemBankSizeEightByte, CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE)
SAME_NUMBER(cudaDevAttrMaxThreadsPerBlock, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK)
SAME_NUMBER(cudaDevAttrMemoryPoolsSupported, CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)
SAME_NUMBER(cudaDevAttrClusterLaunch, CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH)
SAME_NUMBER(cudaDevP2PAttrCudaArrayAccessSupported, CU_DEVICE_P2P_ATTRIBUTE_CUDA_ARRAY_ACCESS_SUPPORTED)
SAME_NUMBER(cudaFuncAttributeMaxDynamicSharedMemorySize, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)
SAME_NUMBER(cudaFuncAttributeNonPortableClusterSizeAllowed, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED)

SAME_NUMBER(cudaStreamNonBlocking, CU_STREAM_NON_BLOCKING)
SAME_NUMBER(cudaEventBlockingSync, CU_EVENT_BLOCKING_SYNC)
SAME_NUMBER(cudaEventDisableTiming, CU_EVENT_DISABLE_TIMING)
SAME_NUMBER(cudaEventInterprocess, CU_EVENT_INTERPROCESS)
SAME_NUMBER(cudaEventRecordExternal, CU_EVENT_RECORD_EXTERNAL)
SAME_NUMBER(cudaHostAllocPortable, CU_MEMHOSTALLOC_PORTABLE)
SAME_NUMBER(cudaHostAllocMapped, CU_MEMHOSTALLOC_DEVICEMAP)
SAME_NUMBER(cudaHostAllocWriteCombined, CU_MEMHOSTALLOC_WRITECOMBINED)
SAME_NUMBER(cudaHostRegisterMapped, CU_MEMHOSTREGISTER_DEVICEMAP)
SAME_NUMBER(cudaHostRegisterReadOnly, CU_MEMHOSTREGISTER_READ_ONLY)
SAME_NUMBER(cudaMemAttachGlobal, CU_MEM_ATTACH_GLOBAL)
SAME_NUMBER(cudaMemAttachSingle, CU_MEM_ATTACH_SINGLE)
SAME_NUMBER(cudaIpcMemLazyEnablePeerAccess, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS)
SAME_NUMBER(cudaDeviceScheduleBlockingSync, CU_CTX_SCHED_BLOCKING_SYNC)
SAME_NUMBER(cudaDeviceMapHost, CU_CTX_MAP_HOST)
SAME_NUMBER(cudaArrayLayered, CUDA_ARRAY3D_LAYERED)
SAME_NUMBER(cudaArraySurfaceLoadStore, CUDA_ARRAY3D_SURFACE_LDST)
SAME_NUMBER(cudaArrayDeferredMapping, CUDA_ARRAY3D_DEFERRED_MAPPING)

SAME_NUMBER(cudaMemAdviseSetReadMostly, CU_MEM_ADVISE_SET_READ_MOSTLY)
SAME_NUMBER(cudaMemAdviseUnsetAccessedBy, CU_MEM_ADVISE_UNSET_ACCESSED_BY)
SAME_NUMBER(cudaMemLocationTypeDevice, CU_MEM_LOCATION_TYPE_DEVICE)
SAME_NUMBER(cudaMemLocationTypeHost, CU_MEM_LOCATION_TYPE_HOST)
SAME_NUMBER(cudaMemAllocationTypePinned, CU_MEM_ALLOCATION_TYPE_PINNED)
SAME_NUMBER(cudaMemHandleTypePosixFileDescriptor, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
SAME_NUMBER(cudaMemHandleTypeFabric, CU_MEM_HANDLE_TYPE_FABRIC)
SAME_NUMBER(cudaMemAccessFlagsProtReadWrite, CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
SAME_NUMBER(cudaMemPoolAttrReleaseThreshold, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD)
SAME_NUMBER(cudaMemPoolAttrUsedMemHigh, CU_MEMPOOL_ATTR_USED_MEM_HIGH)
SAME_NUMBER(cudaGraphMemAttrUsedMemCurrent, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT)
SAME_NUMBER(cudaGraphMemAttrReservedMemHigh, CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH)

SAME_NUMBER(cudaStreamCaptureModeGlobal, CU_STREAM_CAPTURE_MODE_GLOBAL)
SAME_NUMBER(cudaStreamCaptureModeRelaxed, CU_STREAM_CAPTURE_MODE_RELAXED)
SAME_NUMBER(cudaStreamCaptureStatusInvalidated, CU_STREAM_CAPTURE_STATUS_INVALIDATED)
SAME_NUMBER(cudaStreamSetCaptureDependencies, CU_STREAM_SET_CAPTURE_DEPENDENCIES)
SAME_NUMBER(cudaGraphInstantiateFlagAutoFreeOnLaunch, CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH)
SAME_NUMBER(cudaGraphInstantiateError, CUDA_GRAPH_INSTANTIATE_ERROR)
SAME_NUMBER(cudaGraphExecUpdateErrorTopologyChanged, CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED)
SAME_NUMBER(cudaGraphNodeTypeKernel, CU_GRAPH_NODE_TYPE_KERNEL)
SAME_NUMBER(cudaGraphNodeTypeMemFree, CU_GRAPH_NODE_TYPE_MEM_FREE)
SAME_NUMBER(cudaGraphNodeTypeConditional, CU_GRAPH_NODE_TYPE_CONDITIONAL)
SAME_NUMBER(cudaUserObjectNoDestructorSync, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC)
SAME_NUMBER(cudaLaunchAttributeClusterDimension, CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
SAME_NUMBER(cudaDriverEntryPointVersionNotSufficent, CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT)

SAME_SIZE(cudaUUID_t, CUuuid)
SAME_SIZE(cudaIpcMemHandle_t, CUipcMemHandle)
SAME_SIZE(cudaIpcEventHandle_t, CUipcEventHandle)
SAME_SIZE(struct cudaMemLocation, CUmemLocation)
SAME_SIZE(struct cudaMemAccessDesc, CUmemAccessDesc)
SAME_SIZE(struct cudaMemPoolProps, CUmemPoolProps)
SAME_SIZE(struct cudaMemPoolPtrExportData, CUmemPoolPtrExportData)
SAME_SIZE(struct cudaMemcpyAttributes, CUmemcpyAttributes)
SAME_SIZE(struct cudaMemcpy3DBatchOp, CUDA_MEMCPY3D_BATCH_OP)
SAME_SIZE(struct cudaArrayMemoryRequirements, CUDA_ARRAY_MEMORY_REQUIREMENTS)
SAME_SIZE(struct cudaArraySparseProperties, CUDA_ARRAY_SPARSE_PROPERTIES)
SAME_SIZE(struct cudaHostNodeParams, CUDA_HOST_NODE_PARAMS)
SAME_SIZE(struct cudaMemsetParams, CUDA_MEMSET_NODE_PARAMS)
SAME_SIZE(struct cudaMemAllocNodeParams, CUDA_MEM_ALLOC_NODE_PARAMS)
SAME_SIZE(cudaGraphEdgeData, CUgraphEdgeData)
SAME_SIZE(cudaGraphInstantiateParams, CUDA_GRAPH_INSTANTIATE_PARAMS)
SAME_SIZE(cudaGraphExecUpdateResultInfo, CUgraphExecUpdateResultInfo)
SAME_SIZE(struct cudaGraphNodeParams, CUgraphNodeParams)
SAME_SIZE(cudaLaunchAttribute, CUlaunchAttribute)
SAME_SIZE(cudaLaunchAttributeValue, CUlaunchAttributeValue)

SAME_PLACE(struct cudaMemPoolProps, location, CUmemPoolProps, location)
SAME_PLACE(struct cudaMemPoolProps, maxSize, CUmemPoolProps, maxSize)
SAME_PLACE(struct cudaMemsetParams, value, CUDA_MEMSET_NODE_PARAMS, value)
SAME_PLACE(struct cudaMemsetParams, height, CUDA_MEMSET_NODE_PARAMS, height)
SAME_PLACE(struct cudaMemAllocNodeParams, dptr, CUDA_MEM_ALLOC_NODE_PARAMS, dptr)
SAME_PLACE(struct cudaGraphNodeParams, alloc, CUgraphNodeParams, alloc)
SAME_PLACE(struct cudaConditionalNodeParams, phGraph_out, CUDA_CONDITIONAL_NODE_PARAMS, phGraph_out)
SAME_PLACE(cudaGraphInstantiateParams, result_out, CUDA_GRAPH_INSTANTIATE_PARAMS, result_out)
SAME_PLACE(cudaGraphExecUpdateResultInfo, errorFromNode, CUgraphExecUpdateResultInfo, errorFromNode)
SAME_PLACE(cudaLaunchAttribute, val, CUlaunchAttribute, value)
/* clang-format on */
