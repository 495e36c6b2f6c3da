# SPDX-License-Identifier: MIT
"""PyTorch's tensors under whichever allocator the environment chose.

Numbers are small whole ones, which every kernel adds up exactly, whatever its order.
"""

import gc

import need

torch = need.library("torch")
verdict = need.verdict


def whole(shape, seed):
    """The same numbers on each run, made on the host."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-4, 5, shape, generator=generator).to(torch.float32)


def round_trips():
    for shape in ((1,), (255,), (1000, 3), (513, 1025), (7, 1 << 20)):
        wanted = whole(shape, len(shape))
        there = wanted.cuda()
        again = (there * 2 - there).cpu()
        print(f"{list(shape)}: {verdict(torch.equal(again, wanted))}, sum {int(there.sum())}")


def products():
    for size in (16, 127, 512):
        left, right = whole((size, size), 1), whole((size, size), 2)
        wanted = left @ right
        got = (left.cuda() @ right.cuda()).cpu()
        print(f"product of {size}: {verdict(torch.equal(got, wanted))}")


def churned():
    """Many tensors of many sizes, dropped in another order; each keeps what was written."""
    generator = torch.Generator().manual_seed(7)
    kept, wrong = {}, 0
    for turn in range(1500):
        size = int(torch.randint(1, 400_000, (1,), generator=generator))
        kept[turn % 37] = (turn % 1000, torch.full((size,), turn % 1000, device="cuda",
                                                   dtype=torch.float32))
        value, tensor = kept[int(torch.randint(0, len(kept), (1,), generator=generator))]
        wrong += int((tensor != value).sum())
    kept.clear()
    print(f"1500 tensors: {wrong} wrong elements")


def trained():
    """A few steps of a layer: memory of the backward pass, on a thread of its own."""
    layer = torch.nn.Linear(64, 32, bias=False).cuda()
    with torch.no_grad():
        layer.weight.copy_(whole((32, 64), 3))
    for turn in range(5):
        layer.zero_grad()
        layer(whole((128, 64), turn).cuda()).sum().backward()
    print(f"gradient: {int(layer.weight.grad.sum())}")


def out_of_memory():
    free, _ = torch.cuda.mem_get_info()
    try:
        torch.empty(free * 4, dtype=torch.uint8, device="cuda")
        print("WRONG: four times what is free was granted")
    except torch.cuda.OutOfMemoryError:
        print("out of memory: refused")
    small = torch.ones(1 << 20, device="cuda")
    print(f"afterwards: {verdict(int(small.sum()) == 1 << 20)}")


def given_back():
    """What is free falls with a large tensor and comes back when the cache is emptied."""
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    before, total = torch.cuda.mem_get_info()
    block = torch.empty(512 << 20, dtype=torch.uint8, device="cuda")
    during, same = torch.cuda.mem_get_info()
    del block
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    after, _ = torch.cuda.mem_get_info()
    print(f"memory info: {verdict(during + (512 << 20) <= before and total == same)}, back "
          f"{verdict(after >= during + (512 << 20))}")


def main():
    need.device("PyTorch", torch.cuda.device_count)
    torch.backends.cuda.matmul.allow_tf32 = False
    print(f"PyTorch {torch.__version__}, {torch.cuda.get_device_name(0)}")
    for part in (round_trips, products, churned, trained, out_of_memory, given_back, churned):
        part()


main()
