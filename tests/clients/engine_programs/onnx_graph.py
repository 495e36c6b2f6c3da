# SPDX-License-Identifier: MIT
"""ONNX Runtime's CUDA provider on a graph of Conv, Relu, MatMul and Add, with batches that grow."""

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

RANDOM = np.random.default_rng(0)


def weights(name, *shape):
    return numpy_helper.from_array(RANDOM.standard_normal(shape).astype(np.float32), name)


def model():
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3]),
             helper.make_node("Relu", ["c"], ["r"]), helper.make_node("Flatten", ["r"], ["f"]),
             helper.make_node("MatMul", ["f", "m"], ["p"]), helper.make_node("Add", ["p", "b"], ["y"])]
    shape = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "graph", [shape("x", TensorProto.FLOAT, ["N", 3, 32, 32])],
                              [shape("y", TensorProto.FLOAT, ["N", 64])],
                              [weights("w", 16, 3, 3, 3), weights("m", 14400, 64), weights("b", 64)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # the same in every run
    # The other strategy calls the driver three or four times, at random.
    provider = ("CUDAExecutionProvider", {"arena_extend_strategy": "kSameAsRequested"})
    session = onnxruntime.InferenceSession(model().SerializeToString(), options,
                                           providers=[provider])
    print(session.get_providers()[0])
    for batch in (1, 4, 16, 64):
        print(session.run(None, {"x": np.zeros((batch, 3, 32, 32), np.float32)})[0].shape)


main()
