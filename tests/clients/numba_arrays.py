# SPDX-License-Identifier: MIT
"""Device arrays of numba-cuda: copies, views, streams, events, pinned and mapped memory.

numba frees through a queue of its own: arrays that are dropped wait there until the queue is full
or the context is closed. No kernel is compiled. Prints results, neither addresses nor times.
"""

import gc

import loaded
import need

np = need.library("numpy")
cuda = need.library("numba.cuda")
verdict = need.verdict


def copies():
    for shape, kind in (((1,), np.uint8), ((1000,), np.int64), ((64, 65), np.float32),
                        ((300, 7, 11), np.float64), ((1 << 21,), np.int16)):
        wanted = np.arange(np.prod(shape), dtype=np.int64).astype(kind).reshape(shape)
        first = cuda.to_device(wanted)
        second = cuda.device_array_like(first)
        second.copy_to_device(first)
        print(f"{shape} {np.dtype(kind)}: {verdict((second.copy_to_host() == wanted).all())}")


def views():
    """Slices and reshapes share memory; a block lives until its last view is gone."""
    wanted = np.arange(6000, dtype=np.int32)
    whole = cuda.to_device(wanted)
    part, table = whole[1000:3000], whole.reshape(60, 100)
    del whole
    gc.collect()
    churned = [cuda.to_device(np.zeros(6000, np.int32)) for _ in range(8)]
    ok = (part.copy_to_host() == wanted[1000:3000]).all()
    ok = ok and (table[7].copy_to_host() == wanted[700:800]).all()
    print(f"views: {verdict(ok)} beside {len(churned)} others")


def streams():
    """Asynchronous copies from pinned memory on four streams, joined by events."""
    count = 200_000
    queue = [cuda.stream() for _ in range(4)]
    sources = [cuda.pinned_array(count, np.float32) for _ in queue]
    landings = [cuda.pinned_array(count, np.float32) for _ in queue]
    begin, end = cuda.event(), cuda.event()
    begin.record()
    for turn, (stream, source, landing) in enumerate(zip(queue, sources, landings)):
        source[:] = turn + 1
        with stream.auto_synchronize():
            array = cuda.to_device(source, stream=stream)
            array.copy_to_host(landing, stream=stream)
            del array
    end.record()
    end.synchronize()
    ok = all((landing == turn + 1).all() for turn, landing in enumerate(landings))
    print(f"streams: {verdict(ok)}, event {verdict(end.query())}, elapsed "
          f"{verdict(begin.elapsed_time(end) >= 0)}")


def other_memory():
    mapped = cuda.mapped_array(5000, np.int32)
    mapped[:] = 7
    managed = cuda.managed_array(5000, np.int32)
    managed[:] = 9
    copy = cuda.to_device(np.zeros(5000, np.int32))
    cuda.cudadrv.driver.device_to_device(copy, mapped, mapped.nbytes)
    cuda.synchronize()
    ok = (copy.copy_to_host() == 7).all() and (managed == 9).all()
    registered = np.full(3000, 5, np.int32)
    with cuda.pinned(registered):
        ok = ok and (cuda.to_device(registered).copy_to_host() == 5).all()
    print(f"mapped, managed, registered: {verdict(ok)}")


def dropped():
    """Many arrays, created and dropped: the queue of numba frees them in its own time."""
    queue = cuda.current_context().memory_manager.deallocations
    queue.clear()
    generator = np.random.default_rng(11)
    kept, wrong = {}, 0
    for turn in range(600):
        size = int(generator.integers(1, 300_000))
        kept[turn % 23] = (turn, cuda.to_device(np.full(size, turn, np.int16)))
        value, array = kept[int(generator.choice(list(kept)))]
        wrong += int((array.copy_to_host() != np.int16(value)).sum())
    print(f"600 arrays: {wrong} wrong elements, {len(queue)} wait to be freed")
    with cuda.defer_cleanup():
        for _ in range(50):
            cuda.device_array(1000)
        waiting = len(queue)
    kept.clear()
    queue.clear()
    print(f"cleanup deferred: {waiting} waited, {len(queue)} wait")


def memory_info():
    context = cuda.current_context()
    before = context.get_memory_info()
    array = cuda.device_array(48 << 20, np.uint8)
    during = context.get_memory_info()
    del array
    context.memory_manager.deallocations.clear()
    after = context.get_memory_info()
    print(f"memory info: {verdict(during.free + (48 << 20) <= before.free <= before.total)}, back "
          f"{verdict(after.free >= during.free + (48 << 20))}")


def refused():
    try:
        cuda.device_array(1 << 60, np.uint8)
    except cuda.cudadrv.driver.CudaAPIError as error:
        print(f"an exbibyte: {error}")


def main():
    need.device("numba", lambda: len(cuda.gpus))
    device = cuda.get_current_device()
    print(f"{device.name}, compute capability {device.compute_capability}")
    for _ in range(2):
        for part in (copies, views, streams, other_memory, dropped, memory_info, refused):
            part()
    gc.collect()
    cuda.close()  # resets the device
    print("\n".join(loaded.report()))


main()
