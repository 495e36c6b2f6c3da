# SPDX-License-Identifier: MIT
"""A small decoder in PyTorch on a CUDA device: prefill, a KV cache that grows with every token, work
on another stream, a CUDA graph, a convolution, and a tensor in another process.

usage: torch_decoder.py [pluggable LIBRARY] [ipc]

Prints shapes and counts, no computed values: the simulated device computes nothing.
"""

import os
import sys

import torch
from torch import nn

LAYERS, WIDTH, HEADS, WORDS, TOKENS = 4, 256, 4, 1000, 24


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.feed = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x, cache):
        batch, length, _ = x.shape
        q, k, v = (self.qkv(self.first(x)).view(batch, length, 3, HEADS, WIDTH // HEADS)
                   .permute(2, 0, 3, 1, 4))
        if cache is not None:
            k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
        attended = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, length, WIDTH))
        return x + self.feed(self.second(x)), (k, v)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.head = nn.Linear(WIDTH, WORDS)

    def forward(self, tokens, caches):
        x, kept = self.words(tokens), []
        for block, cache in zip(self.blocks, caches):
            x, cache = block(x, cache)
            kept.append(cache)
        return self.head(x[:, -1]), kept


@torch.no_grad()
def generate(model):
    """Tokens are counted, not chosen: computed values are meaningless."""
    with torch.cuda.nvtx.range("prefill"):
        logits, caches = model(torch.zeros(2, 512, dtype=torch.long, device="cuda"), [None] * LAYERS)
    for step in range(TOKENS):
        with torch.cuda.nvtx.range("decode"):
            token = torch.full((2, 1), step, dtype=torch.long, device="cuda")
            logits, caches = model(token, caches)
    print("cache", tuple(caches[0][0].shape), "logits", tuple(logits.shape))


@torch.no_grad()
def streams_and_graphs(model):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        side = torch.empty(1 << 20, device="cuda") + 1
    stream.synchronize()
    x, graph = torch.zeros(64, WIDTH, device="cuda", dtype=torch.half), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = model.blocks[0].feed(x)
    for _ in range(3):
        graph.replay()
    image = nn.Conv2d(3, 16, 3).cuda()(torch.zeros(2, 3, 32, 32, device="cuda"))
    torch.cuda.synchronize()
    print("side", tuple(side.shape), "graph", tuple(y.shape), "image", tuple(image.shape))


def receive(queue, answers):
    tensor = queue.get()
    answers.put((tuple(tensor.shape), str(tensor.device), int(tensor[0].item())))
    del tensor


def other_process():
    context = torch.multiprocessing.get_context("spawn")
    queue, answers = context.Queue(), context.Queue()
    child = context.Process(target=receive, args=(queue, answers))
    child.start()
    tensor = torch.empty(1 << 20, dtype=torch.int32, device="cuda")
    tensor.copy_(torch.full((1 << 20,), 7, dtype=torch.int32))  # a copy is simulated, too
    torch.cuda.synchronize()
    queue.put(tensor)
    print("other process", answers.get(timeout=120))
    child.join(120)
    print("ended", child.exitcode)


def main():
    words = sys.argv[1:]
    if "pluggable" in words:
        library = words[words.index("pluggable") + 1]
        torch.cuda.memory.change_current_allocator(torch.cuda.memory.CUDAPluggableAllocator(
            library, "cupool_torch_malloc", "cupool_torch_free"))
    torch.manual_seed(0)
    model = Decoder().half().cuda().eval()
    generate(model)
    # A capture needs an allocator with private pools.
    if "pluggable" not in words and not os.environ.get("PYTORCH_NO_CUDA_MEMORY_CACHING"):
        streams_and_graphs(model)
    if "ipc" in words:
        other_process()
    print("device", torch.cuda.get_device_name(0))


if __name__ == "__main__":
    main()
