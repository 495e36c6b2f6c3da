# SPDX-License-Identifier: MIT
"""Tests the package on host memory: pytest finds the library by CUPOOL_ENGINE or beside the package."""

import ctypes
import errno
import gc
import hashlib
import mmap
import struct
import threading
import weakref

import pytest

import cupool


@pytest.fixture(name="device")
def device_fixture():
    with cupool.Device.host() as device:
        yield device


@pytest.fixture(name="pool")
def pool_fixture(device):
    with cupool.KVPool(device, blocks=10, null_block=1, layers=2, kv_heads=2, head_dim=8,
                       events=16) as pool:
        yield pool
        pool.check()


def key(number):
    return hashlib.sha256(str(number).encode()).digest()


def test_blocks_are_taken_and_given_back(pool):
    blocks = pool.allocate(10)
    assert [block & 0xFFFFFFFF for block in blocks] == list(range(1, 11))
    with pytest.raises(cupool.OutOfBlocks) as refused:
        pool.allocate(1)
    assert refused.value.errno == errno.ENOMEM and "not enough blocks" in str(refused.value)
    pool.release(blocks)
    with pytest.raises(cupool.StaleHandle):
        pool.release(blocks)
    assert pool.stats().free == 10


def test_errors_say_what_was_asked_for(device, pool):
    with pytest.raises(cupool.OutOfBlocks, match="not enough blocks: 11 requested, 10 available"):
        pool.allocate(11)
    with pytest.raises(ValueError, match="-1 blocks"):
        pool.allocate(-1)
    with pytest.raises(TypeError, match="a list of handles"):
        pool.release(pool.allocate(1)[0])
    with pytest.raises(cupool.CupoolError, match="1 block is in use"):
        pool.reset()
    with pytest.raises(TypeError, match="no argument 'layer'; it accepts .*layers"):
        cupool.KVPool(device, blocks=1, layer=1)
    with pytest.raises(ValueError, match="blocks=-1 is out of range"):
        cupool.KVPool(device, blocks=-1)
    with pytest.raises(cupool.CupoolError, match="cannot create a pool with blocks=0, layers=2: Invalid argument"):
        cupool.KVPool(device, blocks=0, layers=2)


def test_what_was_made_on_a_device_is_closed_before_it():
    device = cupool.Device.host()
    pool = cupool.KVPool(device, blocks=4)
    sequences = cupool.Sequences(pool, max_tokens=32)
    sequence = sequences.create()
    sequence.append(list(range(20)))
    transfers, memory = cupool.Transfers(device), cupool.HostMemory(device, 4096)
    tensors = cupool.Tensors(device)
    assert repr(pool) == "<KVPool of 4 blocks of 16 tokens: 2 available, 0 of them cached>"
    assert repr(sequence) == "<Sequence of 20 tokens>" and repr(device) == "<Device.host()>"
    pool.close()
    assert repr(sequence) == "<Sequence, ended>" and "closed" in repr(sequences)
    with pytest.raises(ValueError, match="the set is closed"):
        sequence.append([1])
    another = cupool.KVPool(device, blocks=4)
    device.close()
    assert memory.address == 0 and repr(another) == "<KVPool, closed>"
    for closed in (pool, another, transfers, tensors, device):
        with pytest.raises(ValueError, match="closed"):
            _ = closed.handle
    device.close()


def test_what_the_program_has_dropped_is_closed_too():
    device, closed = cupool.Device.host(), []

    def made(item):
        close = item.close
        item.close = lambda: (closed.append(type(item).__name__), close())
        return item

    pool = made(cupool.KVPool(device, blocks=4))
    made(cupool.Sequences(pool))
    made(cupool.HostMemory(device, 4096))
    made(cupool.Tensors(device))
    made(cupool.Transfers(device))
    del pool
    gc.collect()
    device.close()
    assert closed == ["Transfers", "Tensors", "KVPool", "Sequences", "HostMemory"]


@pytest.mark.parametrize("make", [
    lambda device, _: cupool.KVPool(device, blocks=4), lambda device, _: cupool.Transfers(device),
    lambda device, _: cupool.Tensors(device), lambda device, _: cupool.HostMemory(device, 4096),
    lambda _, pool: cupool.Sequences(pool)])
def test_what_was_closed_is_not_kept(device, pool, make):
    item = make(device, pool)
    gone = weakref.ref(item)
    item.close()
    del item
    gc.collect()
    assert gone() is None


def test_one_that_cannot_be_closed_keeps_no_other_open():
    device = cupool.Device.host()
    pool, memory = cupool.KVPool(device, blocks=4), cupool.HostMemory(device, 4096)
    memory.address += 1
    with pytest.raises(cupool.CupoolError):
        device.close()
    assert "closed" in repr(pool) and "closed" in repr(device)
    device.close()


def test_figures_out_of_range_are_refused(device, pool):
    with pytest.raises(ValueError, match="Tensors: shapes=-1 is out of range"):
        cupool.Tensors(device, shapes=-1)
    with pytest.raises(ValueError, match="Publisher: batches=-1 is out of range"):
        cupool.Publisher("inproc://none", batches=-1)
    for count in (-1, 1 << 32):
        with pytest.raises(ValueError, match=f"{count} blocks"):
            pool.allocate(count)


def test_numbers_of_more_bits_do_not_become_others(device, pool):
    identity = cupool.Identity(block_tokens=1)
    for token in (1 << 32, (1 << 31), -(1 << 31) - 1):
        with pytest.raises(ValueError, match="a token is out of the range"):
            identity.keys([token])
        with cupool.Sequences(pool) as sequences, pytest.raises(ValueError, match="a token is out of the range"):
            sequences.create().append([token])
    assert identity.keys([(1 << 31) - 1, -1]) and identity.keys(range(2)) == identity.keys([0, 1])
    with pytest.raises(ValueError, match="Media: tokens"):
        identity.root(cupool.Scope(media=[cupool.Media(bytes(32), 0, 1 << 32)]))
    with pytest.raises(ValueError, match="adapter_generation"):
        identity.root(cupool.Scope(adapter="a", adapter_generation=1 << 64))
    with pytest.raises(ValueError, match="secret"):
        cupool.Identity(method=1, secret=1 << 64).root()
    with pytest.raises(ctypes.ArgumentError, match="out of range"):
        pool.resize((1 << 32) + 4)
    with pytest.raises(ValueError, match="no dimension"):
        cupool.tensor_bytes([(1 << 64) + 5])
    with cupool.Tensors(device) as tensors, pytest.raises(ValueError, match="device=4294967296"):
        tensors.acquire([4], device=1 << 32)
    with pytest.raises(ValueError, match="tokens=4294967312"):
        cupool.BlockCodec(cupool.Codec.INT8, cupool.Element.F16, (1 << 32) + 16, 2, 64).encode(b"")
    memory = device.allocate(64)
    with cupool.Transfers(device) as transfers:
        with pytest.raises(ValueError, match="bytes=18446744073709551624"):
            transfers.submit(cupool.Direction.TO_DEVICE, [(memory, memory + 32, (1 << 64) + 8)])
        with pytest.raises(ValueError, match="priority"):
            transfers.submit(cupool.Direction.TO_DEVICE, [(memory, memory + 32, 8)], priority=1 << 32)
        for write in (transfers.write, device.write):
            with pytest.raises(TypeError, match="str"):
                write(memory, "wide characters")
    device.free(memory)
    with pytest.raises(ctypes.ArgumentError, match="out of range"):
        device.fill(device.allocate(16), 256, 16)
    assert pool.total_blocks == 10
    with pytest.raises(ValueError, match="bytes=-1 is out of range"):
        cupool.Tiers(pool, [cupool.HostTier(-1)])
    with pytest.raises(ValueError, match="port=70000"):
        cupool.Tiers(pool, [cupool.ServerTier("localhost", 70000)])


def test_names_do_not_end_at_a_null_character(pool):
    with pytest.raises(ValueError, match="adapter: a null character"):
        cupool.Identity().root(cupool.Scope(adapter="tenant\0a"))
    with pytest.raises(ValueError, match="identity: a null character"):
        cupool.Tiers(pool, [cupool.HostTier(4 << 20)], identity="model\0a")


def test_blocks_are_described_and_referred_to_weakly(pool):
    blocks = pool.allocate(2)
    assert pool.describe(blocks[1]) == cupool.Block(blocks[1], blocks[1] & 0xFFFFFFFF, cupool.State.MUTABLE,
                                                    1, 35, 0, 16, 0, False, None)
    pool.complete(blocks)
    pool.register(blocks, [key(1), key(2)])
    weak = pool.downgrade(blocks[0])
    assert pool.describe(blocks[0]).key == key(1)
    pool.release(blocks)
    again = pool.upgrade(weak)
    assert pool.describe(again).id == blocks[0] & 0xFFFFFFFF
    pool.release([again])
    pool.trim()
    with pytest.raises(cupool.StaleHandle):
        pool.upgrade(weak)
    assert (pool.total_blocks, pool.available_blocks, pool.free_blocks) == (10, 10, 10)
    assert (pool.usage_rate, pool.hit_rate) == (0, 0)


def test_memory_is_real(device, pool):
    (block,) = pool.allocate(1)
    address, size = pool.memory(block, layer=1, value=True)
    assert size == 16 * 2 * 8 * 2
    device.write(address, bytes(range(256)))
    assert device.read(address, 256) == bytes(range(256))
    pool.release([block])


def test_registered_blocks_are_matched(pool):
    keys = [key(number) for number in range(3)]
    blocks = pool.allocate(3)
    assert pool.state(blocks[0]) == cupool.State.MUTABLE
    pool.complete(blocks)
    assert pool.register(blocks, keys) == blocks
    pool.release(blocks)
    assert pool.peek(keys + [key(9)]) == 3
    matched = pool.match(keys + [key(9)])
    assert len(matched) == 3
    assert pool.match_scattered([key(9), keys[1]])[0] == 0
    pool.release(matched + [matched[1]])
    kinds = [(event.kind, event.hashes) for event in pool.events()]
    assert kinds == [("stored", tuple(keys))]
    pool.reset()
    assert [event.kind for event in pool.events()] == ["cleared"]
    assert pool.window_hit_rate() == pytest.approx(4 / 6)


def test_keys_are_what_the_document_says():
    identity = cupool.Identity(block_tokens=16)
    tag = b"cupool kv block 1"
    root = hashlib.sha256(struct.pack("<Q", len(tag)) + tag + struct.pack("<IIQB", 0, 16, 0, 0)).digest()
    assert identity.root() == root
    (block,) = identity.keys(range(16))
    assert block == hashlib.sha256(root + struct.pack("<16i", *range(16))).digest()
    other = cupool.Scope(salt=b"tenant", adapter="sql", adapter_generation=2,
                         media=[cupool.Media(bytes(32), 3, 4)])
    assert identity.keys(range(16), other) != [block]


def test_a_ticket_waits_for_room(pool):
    blocks = pool.allocate(10)
    ticket = pool.allocate_later(3)
    assert pool.result(ticket) is None
    pool.release(blocks)
    late = pool.result(ticket)
    assert late is not None and len(late) == 3
    pool.release(late)
    assert pool.event_fd() >= 0
    blocks = pool.allocate(10)
    ticket = pool.allocate_later(3)
    pool.cancel(ticket)
    pool.release(blocks)
    assert pool.stats().free == 10


def test_pressure_calls_back(pool):
    levels = []
    pool.on_pressure(lambda level, usage: levels.append((level, round(usage, 1))))
    blocks = pool.allocate(9)
    pool.release(blocks)
    pool.on_pressure(None)
    pool.release(pool.allocate(10))
    assert levels == [(cupool.Pressure.AGGRESSIVE, 0.9), (cupool.Pressure.NONE, 0.0)]


def test_sequences_share_and_copy(pool):
    with cupool.Sequences(pool, max_tokens=100) as sequences:
        first = sequences.create()
        first.append(range(40))
        second = first.fork()
        second.append([7])
        assert first.table()[:2] == second.table()[:2] and first.table()[2] != second.table()[2]
        first.commit()
        third = sequences.create()
        assert third.match(range(40)) == 32
        assert len(third) == 32 and len(second) == 41
        second.truncate(3)
        assert len(second.table()) == 1
        first.slide(10)
        assert first.table()[0] == 0
        for sequence in (first, second, third):
            sequence.remove()
        with pytest.raises(cupool.StaleHandle):
            first.append([1])
    assert pool.stats().available == 10


def test_media_of_a_dropped_sequence_are_read_until_the_set_ends(pool):
    """A set that ends registers what its sequences hold, under keys that cover their media."""
    scope = cupool.Scope(media=[cupool.Media(key("image"), 0, 20)])
    with cupool.Sequences(pool, max_tokens=64, partial=1) as sequences:
        sequence = sequences.create(scope)
        sequence.append(range(20))
        sequence.commit()
        child = sequence.fork()
        structure = weakref.ref(sequences._scopes[sequence._name])
        del sequence, child
        gc.collect()
        assert structure() is not None
    assert structure() is None
    identity = cupool.Identity()
    first = identity.keys(range(16), scope)
    part = identity.partial(range(16, 20), scope, first[0], 16)
    assert pool.peek(first) == 1 and pool.peek([part]) == 1


def test_memory_of_a_device(device):
    address = device.allocate(1000)
    assert device.memory_stats().current_bytes == 1000
    device.free(address)
    with pytest.raises(cupool.CupoolError):
        device.free(address)
    assert device.memory_stats().frees == 1


def test_a_codec_comes_back_and_refuses_damage():
    codec = cupool.BlockCodec(cupool.Codec.LOSSLESS, cupool.Element.BF16, tokens=16, heads=2, head_dim=8)
    raw = bytes(range(256)) * (codec.raw_bytes // 256)
    encoded = codec.encode(raw)
    assert len(encoded) <= codec.maximum_bytes
    assert codec.decode(encoded) == raw
    spoilt = bytearray(encoded)
    spoilt[-1] ^= 1
    for wrong in (bytes(spoilt), encoded[:-1], encoded[:20], b"", encoded + b"x"):
        with pytest.raises(cupool.Refused):
            codec.decode(wrong)
    with pytest.raises(ValueError):
        codec.encode(raw[1:])
    assert "rice" in cupool.codecs()


def test_blocks_leave_for_tiers_and_come_back(device, tmp_path):
    keys = cupool.Identity().keys(list(range(64)))
    with cupool.KVPool(device, 8, layers=2, kv_heads=2, head_dim=8, key_type=cupool.Type.BF16,
                       value_type=cupool.Type.BF16) as pool:
        tiers = [cupool.HostTier(4 << 20), cupool.FileTier(tmp_path / "kv", 1 << 20)]
        with cupool.Tiers(pool, tiers, identity="test", codec=cupool.Codec.LOSSLESS) as below:
            blocks = pool.allocate(4)
            for number, block in enumerate(blocks):
                address, size = pool.memory(block, 1)
                device.write(address, bytes([number + 60]) * size)
            pool.complete(blocks)
            blocks = pool.register(blocks, keys)
            ticket = below.offload(blocks)
            below.drain()
            assert below.result(ticket) == 4
            pool.release(blocks)
            pool.trim()
            assert below.lookup(keys) == [cupool.Presence.HIT] * 4
            blocks = below.match(keys)
            assert len(blocks) == 4
            for number, block in enumerate(blocks):
                address, size = pool.memory(block, 1)
                assert device.read(address, size) == bytes([number + 60]) * size
            pool.release(blocks)
            assert below.age_step(0)[0] == 4
            assert below.tier_stats(1).name == "file"
            assert below.tier_stats(0).loaded == 4
            assert below.stats().aged == 4
            below.check()
        with pytest.raises(cupool.CupoolError):
            cupool.Tiers(pool, [cupool.FileTier("/nowhere/at/all", 1 << 20)])
        with cupool.Tiers(pool, [tiers[1]], identity="another") as below:
            assert below.lookup(keys) == [cupool.Presence.MISS] * 4


def test_threads_lose_nothing(pool):
    def work():
        for _ in range(300):
            try:
                pool.release(pool.allocate(3))
            except cupool.OutOfBlocks:
                pass

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pool.stats().free == 10


def test_phases_do_nothing_without_the_preload():
    with cupool.phase("load"):
        cupool.step(1)
        cupool.mark("here")


def test_unknown_arguments_are_refused(device, pool):
    with pytest.raises(TypeError):
        cupool.KVPool(device, 4, colour=3)
    with pytest.raises(TypeError):
        cupool.Sequences(pool, colour=3)
    with pytest.raises(cupool.CupoolError):
        cupool.KVPool(device, 0)


def test_tensors_come_back_by_shape(device):
    with cupool.Tensors(device, limit_bytes=1 << 20) as tensors:
        first = tensors.acquire((2, 3), cupool.TensorType.F32)
        address = first.address
        assert first.bytes == 24
        first.release()
        with pytest.raises(cupool.StaleHandle):
            first.release()
        with tensors.acquire((3, 2), cupool.TensorType.F32) as turned:
            assert turned.address != address
        with tensors.acquire((2, 3), cupool.TensorType.F32) as again:
            assert again.address == address
        with tensors.acquire((5,), cupool.TensorType.F32, waste=4) as wasteful:
            assert wasteful.bytes == 24
        stats = tensors.stats()
        assert (stats.hits, stats.misses, stats.fits) == (2, 2, 1)
        assert tensors.shapes()[0].dimensions == (2, 3)
        assert tensors.trim() == 48
        tensors.limit(limit_entries=1)
        tensors.check()
        with pytest.raises(ValueError):
            tensors.acquire((1,) * 9)
        with pytest.raises(cupool.CupoolError):
            tensors.acquire((1,), device=1)


def test_tensors_are_reserved_from_a_file(device, tmp_path):
    shapes = tmp_path / "shapes.txt"
    shapes.write_text("2 f16 4x8   # two of them\n1 bytes 1000\n")
    with cupool.Tensors(device) as tensors:
        assert tensors.reserve_file(str(shapes)) == (3, 1128)
        tensors.reserve((7,), cupool.TensorType.I8, count=2)
        assert tensors.trim() == 0 and tensors.stats().reserved == 5
        with tensors.acquire((4, 8)):
            assert tensors.stats().hits == 1
        shapes.write_text("2 f16 4x\n")
        with pytest.raises(cupool.CupoolError, match="line 1"):
            tensors.reserve_file(str(shapes))
        tensors.unreserve()
        tensors.check()


def test_transfers_copy(device):
    with cupool.Transfers(device) as transfers:
        memory = device.allocate(4096)
        results = []
        transfer = transfers.write(memory, bytes(range(256)), callback=results.append)
        transfer.wait()
        assert transfer.done() and results == [0]
        assert device.read(memory, 256) == bytes(range(256))
        transfers.submit(cupool.Direction.WITHIN_DEVICE, [(memory + 512, memory, 100)]).wait(1.0)
        assert device.read(memory + 512, 100) == bytes(range(100))
        with pytest.raises(cupool.CupoolError, match="overlap"):
            transfers.submit(cupool.Direction.WITHIN_DEVICE, [(memory + 1, memory, 10)])
        with pytest.raises(cupool.CupoolError, match="aligned"):
            transfers.submit(cupool.Direction.WITHIN_DEVICE, [(memory + 1, memory + 99, 10)], alignment=4)
        with pytest.raises(cupool.CupoolError):
            transfer.cancel()
        base, addresses, transfer = transfers.prefetch([b"one", b"", b"three"], alignment=64)
        transfer.wait()
        assert addresses == [base, base + 64, base + 64]
        assert device.read(addresses[2], 5) == b"three"
        assert transfers.ensure(memory, 16)[0] == memory
        assert transfers.poll() == 0
        assert transfers.stats(cupool.Direction.TO_DEVICE).completed == 2
        assert transfers.thresholds().kernel_from == 16
        transfers.check()
        device.free(base)
        device.free(memory)
    with cupool.HostMemory(device, 10000) as host:
        host.buffer[9999] = 1
    with pytest.raises(IndexError):
        host.buffer[9999] = 1


def test_a_dropped_transfer_keeps_its_memory(device):
    class Source:
        """Memory that a weak reference can follow."""

        def __init__(self):
            self.buffer = ctypes.create_string_buffer(b"content", 64)

    with cupool.Transfers(device) as transfers:
        memory, source = device.allocate(64), Source()
        gone = weakref.ref(source)
        transfer = transfers.submit(cupool.Direction.TO_DEVICE,
                                    [(memory, ctypes.addressof(source.buffer), 64)], keep=source)
        del source, transfer
        gc.collect()
        assert gone() is not None
        while transfers.poll():
            pass
        assert gone() is None and device.read(memory, 7) == b"content"
        device.free(memory)


def test_a_wait_for_less_than_nothing_ends_at_once(device, monkeypatch):
    waits = []
    with cupool.Transfers(device) as transfers:
        transfer = transfers.write(device.allocate(8), b"x")
        monkeypatch.setitem(vars(cupool.transfer.api), "transfer_wait",
                            lambda handle, name, limit: waits.append(limit) or 0)
        transfer.wait(-0.5)
        transfer.wait(1e300)
    assert waits == [0, (1 << 64) - 1]


def test_priorities_of_ranges(pool):
    blocks = pool.allocate(6)
    pool.set_priorities(blocks, [cupool.PriorityRange(0, 2, 80), cupool.PriorityRange(4, 1, 10)])
    assert [pool.describe(block).priority for block in blocks] == [80, 80, 35, 35, 10, 35]
    with pytest.raises(cupool.CupoolError):
        pool.set_priorities(blocks, [cupool.PriorityRange(0, 3, 1), cupool.PriorityRange(2, 1, 2)])
    assert pool.describe(blocks[2]).priority == 35
    pool.release(blocks)


def test_a_policy_of_the_program(device):
    kept, seen = key(2), []

    def rank(block):
        seen.append(block.id)
        return 100 - block.id

    with cupool.KVPool(device, blocks=4, rank=rank, may_evict=lambda block: block.key != kept) as pool:
        blocks = pool.allocate(4)
        pool.complete(blocks)
        pool.register(blocks, [key(number) for number in range(4)])
        pool.release(blocks)
        assert sorted(seen) == sorted(block & 0xFFFFFFFF for block in blocks)
        # The highest number goes first, and the third block is vetoed.
        assert pool.evict(1) == 1 and pool.peek([key(3)]) == 0
        assert pool.evict(4) == 2 and pool.peek([kept]) == 1
        pool.check()
    with pytest.raises(TypeError, match="go together"):
        cupool.KVPool(device, blocks=4, may_evict=lambda block: True)
    with pytest.raises(TypeError, match="go together"):
        cupool.KVPool(device, blocks=4, policy=cupool.Policy.CUSTOM)


def test_a_policy_that_raises_evicts_nothing_it_may_keep(device, capsys):
    ranks = iter([-1, 1 << 64, "none", 7])

    with cupool.KVPool(device, blocks=4, rank=lambda block: next(ranks), may_evict=lambda block: 1 // 0) as pool:
        blocks = pool.allocate(4)
        pool.complete(blocks)
        pool.register(blocks, [key(number) for number in range(4)])
        pool.release(blocks)
        assert pool.evict(4) == 0 and pool.peek([key(number) for number in range(4)]) == 4
    printed = capsys.readouterr().err
    assert "a rank of -1: out of range" in printed and f"a rank of {1 << 64}" in printed
    assert "TypeError" in printed and "ZeroDivisionError" in printed
    seen = []

    def raises_second(block):
        seen.append(block.key)
        return 5 // (2 - len(seen))

    with cupool.KVPool(device, blocks=2, rank=raises_second) as pool:
        blocks = pool.allocate(2)
        pool.complete(blocks)
        pool.register(blocks, [key(number) for number in range(2)])
        pool.release(blocks)
        assert pool.evict(1) == 1 and [pool.peek([name]) for name in seen] == [1, 0]


def test_partial_blocks_are_matched_and_copied(device, pool):
    identity, tokens = cupool.Identity(), list(range(5))
    partial = identity.partial(tokens)
    assert partial != identity.keys(list(range(16)))[0] and partial != identity.partial(tokens[:4])
    block, = pool.allocate(1)
    device.write(pool.memory(block, 0)[0], b"content!")
    pool.register_partial(block, partial, len(tokens))
    assert pool.describe(block).tokens == 5
    reader, = pool.match([partial])
    own = pool.make_writable(reader)
    assert own != block and device.read(pool.memory(own, 0)[0], 8) == b"content!"
    pool.release([own, block])


def test_a_prefetch_names_the_source_of_each_block(device, pool):
    keys = [key(number) for number in range(6)]
    with cupool.Tiers(pool, [cupool.HostTier(1 << 20)], events=16) as tiers:
        blocks = pool.allocate(4)
        pool.complete(blocks)
        for number, block in enumerate(blocks):
            device.write(pool.memory(block, 1, True)[0], bytes([number] * 8))
        pool.register(blocks, keys[:4])
        ticket = tiers.offload(blocks)
        tiers.drain()
        assert tiers.result(ticket) == 4
        stored = tiers.events(0)
        assert {(event.kind, event.tier) for event in stored} == {("stored", 1)}
        assert {name for event in stored for name in event.hashes} == set(keys[:4])
        pool.release(blocks)
        assert pool.forget(keys[1:4]) == 3
        prefetch = pool.prefetch(keys)
        while not prefetch.done():
            tiers.drain()
        sources = cupool.Source
        assert prefetch.sources == [sources.PRESENT, *[sources.LOADED] * 3, *[sources.COMPUTE] * 2]
        for number, block in enumerate(prefetch.blocks[:4]):
            assert device.read(pool.memory(block, 1, True)[0], 8) == bytes([number] * 8)
        with pytest.raises(ValueError, match="has ended"):
            prefetch.cancel()
        with pytest.raises(cupool.OutOfBlocks):
            pool.prefetch([key(number) for number in range(100, 120)])
        pool.release(prefetch.blocks)
        # Cancelled ones give their blocks and their requests (64) back, whether or not loads have begun.
        for _ in range(200):
            pool.forget(keys)
            cancelled = pool.prefetch(keys)
            try:
                cancelled.cancel()
            except ValueError:
                pool.release(cancelled.blocks)
                continue
            with pytest.raises(ValueError, match="was cancelled"):
                cancelled.done()
            tiers.drain()
        assert pool.stats().active == 0


def test_a_cancelled_prefetch_takes_no_request_from_allocations(device):
    with cupool.KVPool(device, blocks=4, layers=4, kv_heads=64, head_dim=256, requests=1) as pool, \
            cupool.Tiers(pool, [cupool.HostTier(1 << 26)]) as tiers:
        for _ in range(20):
            block, = pool.allocate(1)
            pool.complete([block])
            pool.register([block], [key(0)])
            tiers.offload([block])
            tiers.drain()
            pool.release([block])
            pool.forget([key(0)])
            pool.prefetch([key(0)]).cancel()
            tiers.drain()
            pool.release(pool.result(pool.allocate_later(1)))


def test_pools_of_a_group_are_matched_as_one(device):
    identity, tokens = cupool.Identity(), list(range(64))
    keys = identity.keys(tokens)
    with cupool.KVPool(device, blocks=8) as full, cupool.KVPool(device, blocks=8, group=1) as windowed:
        for pool, positions in ((full, range(4)), (windowed, (2, 3))):
            blocks = pool.allocate(len(positions))
            pool.complete(blocks)
            for block, at in zip(blocks, positions):
                pool.register([block], [keys[at]], parent=keys[at - 1] if at else None)
            pool.release(blocks)
        found, (all_of_it, window) = cupool.match_group([(full, 0), (windowed, 20)], keys)
        assert found == 64 and all(all_of_it) and [handle != 0 for handle in window] == [False, False, True, True]
        full.release(all_of_it)
        windowed.release([handle for handle in window if handle])
    assert cupool.window_tail(16, 20, 64, 16, 64) == [1, 2, 3]
    with pytest.raises(ValueError, match="blocks of 0"):
        cupool.window_tail(0, 20, 64, 16, 64)
    with pytest.raises(cupool.CupoolError, match="multiple of alignment"):
        cupool.window_tail(16, 20, 64, 16, 24)


def test_streams_and_strides(device, pool):
    stream, blocks = device.stream(), pool.allocate(2)
    pool.stream_order(blocks, stream)
    strides = pool.strides()
    first, second = (pool.memory(block, 1, True)[0] for block in blocks)
    assert second - first == strides.block_stride
    assert first == (strides.base or 0) + (blocks[0] & 0xFFFFFFFF) * strides.block_stride + strides.layer_stride + \
        strides.key_bytes
    pool.release(blocks)
    device.stream_destroy(stream)


def test_drafts_are_reserved(device):
    with cupool.KVPool(device, blocks=4) as pool, cupool.Sequences(pool, max_tokens=64) as sequences:
        sequence = sequences.create()
        sequence.append(list(range(10)))
        sequence.reserve(30)
        assert pool.available_blocks == 1
        sequence.append(list(range(30)))
        stats = sequences.stats()
        assert (stats.live, stats.tokens, stats.blocks) == (1, 40, 3)
        sequences.check()


def test_history_and_pressure_of_a_device(device):
    levels = []
    device.on_pressure(lambda level, share: levels.append((level, share)), normal=1e-12, aggressive=0.999999,
                       hysteresis=0)
    address = device.allocate(1000)
    assert device.kind == cupool.DeviceKind.HOST and device.allocated_bytes(address) == 1000
    device.free(address)
    device.on_pressure(None)
    assert levels and levels[0][0] == cupool.Pressure.NORMAL and 0 < levels[0][1] <= 1
    events = device.history()
    assert [(event.kind, event.address, event.bytes) for event in events] == [
        ("allocate", address, 1000), ("free", address, 1000)]
    with pytest.raises(ValueError, match="out of range"):
        device.history(-1)
    assert device.history(1) == events[1:] and device.should_trim() in (True, False)
    with pytest.raises(cupool.CupoolError):
        device.allocated_bytes(address)
    device.check()


def test_memory_of_the_program_is_registered(device):
    with mmap.mmap(-1, 4 * mmap.PAGESIZE) as memory:
        memory[:7] = b"content"
        with cupool.RegisteredMemory(device, memory) as registered:
            address = device.allocate(7)
            with cupool.Transfers(device) as transfers:
                transfers.submit(cupool.Direction.TO_DEVICE, [(address, registered.address, 7)]).wait()
            assert device.read(address, 7) == b"content"
            device.free(address)
        with pytest.raises(cupool.CupoolError) as refused:
            cupool.RegisteredMemory(device, memoryview(memory)[1:])
    # The buffer is free, although the exception lives.
    assert memory.closed and refused.value.errno == errno.EINVAL


def test_an_encoded_block_names_its_codec():
    codec = cupool.BlockCodec(cupool.codec_named("int8"), cupool.Element.F16, tokens=4, heads=2, head_dim=8)
    encoded = codec.encode(bytes(codec.raw_bytes))
    assert cupool.BlockCodec.of(encoded) == codec
    with pytest.raises(cupool.Refused):
        cupool.BlockCodec.of(encoded[:-1])
    with pytest.raises(cupool.CupoolError, match="no codec is named 'zip'"):
        cupool.codec_named("zip")


def test_bytes_of_a_shape():
    assert cupool.tensor_bytes([3, 5, 7], cupool.TensorType.F32) == 420
    with pytest.raises(cupool.CupoolError):
        cupool.tensor_bytes([1 << 40, 1 << 40])
