# SPDX-License-Identifier: MIT
"""CUDA graphs of PyTorch: captured, replayed with other inputs, while tensors come and go.

A graph holds addresses of a private pool; nothing that is allocated beside it may get them.
"""

import need

torch = need.library("torch")
verdict = need.verdict


def capture(layers, size):
    """A graph that applies y = relu(y @ w) for each layer to a static input."""
    weights = [torch.eye(size, device="cuda").roll(turn, 0) for turn in range(layers)]
    source = torch.zeros(size, size, device="cuda")

    def work():
        result = source
        for weight in weights:
            result = torch.relu(result @ weight)
        return result

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = work()
    return graph, source, result, weights


def replayed(graph, source, result, turns):
    wrong = 0
    for turn in range(turns):
        beside = [torch.full((1 + 1000 * number,), -1.0, device="cuda") for number in range(20)]
        source.fill_(turn)
        graph.replay()
        wrong += int((result != turn).sum())
        wrong += sum(int((tensor != -1).sum()) for tensor in beside)
    return wrong


def main():
    need.device("PyTorch", torch.cuda.device_count)
    torch.backends.cuda.matmul.allow_tf32 = False
    print(f"PyTorch {torch.__version__}, {torch.cuda.get_device_name(0)}")
    graphs = [capture(layers, 64 * layers) for layers in (1, 3, 6)]
    for number, (graph, source, result, _) in enumerate(graphs):
        print(f"graph {number}: {verdict(replayed(graph, source, result, 25) == 0)}")
    del graph, source, result
    del graphs[1]
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    again = capture(2, 96)
    for number, (graph, source, result, _) in enumerate([*graphs, again]):
        print(f"after one was dropped, graph {number}: "
              f"{verdict(replayed(graph, source, result, 25) == 0)}")


main()
