# SPDX-License-Identifier: MIT
"""PyTorch on several streams: tensors made on one, used on another, dropped while work is pending.

record_stream keeps a tensor's memory from the next one until the other stream is done with it.
"""

import threading

import need

torch = need.library("torch")
verdict = need.verdict
SIZE = 1 << 20


def handed_on(streams):
    """Each stream adds one to what the stream before it made."""
    value = torch.zeros(SIZE, device="cuda")
    for turn in range(60):
        stream = streams[turn % len(streams)]
        stream.wait_stream(torch.cuda.current_stream() if turn == 0
                           else streams[(turn - 1) % len(streams)])
        with torch.cuda.stream(stream):
            value.record_stream(stream)
            value = value + 1
    torch.cuda.synchronize()
    print(f"handed on 60 times: {verdict(bool((value == 60).all()))}")


def dropped_early(streams):
    """Dropped on the host while the copy to the host still waits behind other work."""
    landings = [torch.empty(SIZE, pin_memory=True) for _ in range(24)]
    for turn, landing in enumerate(landings):
        stream = streams[turn % len(streams)]
        with torch.cuda.stream(stream):
            tensor = torch.full((SIZE,), float(turn), device="cuda")
            for _ in range(10):
                tensor = tensor + 1
            landing.copy_(tensor, non_blocking=True)
            del tensor
    torch.cuda.synchronize()
    wrong = sum(int((landing != turn + 10).sum()) for turn, landing in enumerate(landings))
    print(f"dropped early: {wrong} wrong elements")


def worker(number, wrong):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for turn in range(100):
            tensor = torch.full((1000 + 997 * turn,), float(number), device="cuda")
            if not bool((tensor * 2 == 2 * number).all()):
                wrong[number] += 1
    stream.synchronize()


def threads():
    wrong = [0] * 6
    running = [threading.Thread(target=worker, args=(number, wrong)) for number in range(6)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    print(f"6 threads: {wrong} wrong tensors")


def main():
    need.device("PyTorch", torch.cuda.device_count)
    print(f"PyTorch {torch.__version__}, {torch.cuda.get_device_name(0)}")
    streams = [torch.cuda.Stream() for _ in range(4)]
    for part in (handed_on, dropped_early, handed_on):
        part(streams)
    threads()


main()
