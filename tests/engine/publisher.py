# SPDX-License-Identifier: MIT
"""Events for routers: a subscriber decodes the messages by the schema of vLLM's consumers, and follows the
pool; gaps are filled by replay, noise on the replay socket is ignored.

usage: publisher.py --build DIR
"""

import argparse
import contextlib
import io
import os
import pathlib
import sys
import tempfile
import time

PYTHON = pathlib.Path(__file__).resolve().parents[2] / "python"
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--build", type=pathlib.Path, required=True)
arguments = parser.parse_args()
try:
    import msgpack
    import zmq
except ImportError as error:
    # Debian's packages belong to its own interpreter.
    if sys.executable != "/usr/bin/python3" and os.access("/usr/bin/python3", os.X_OK):
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
    print(f"{error}: python3-zmq or python3-msgpack is missing")
    sys.exit(77)
os.environ["CUPOOL_ENGINE"] = str(arguments.build / "engine/libcupool-engine.so.0")
sys.path.insert(0, str(PYTHON))
sys.dont_write_bytecode = True

import cupool  # noqa: E402

BLOCK = 16
# Published fields in order, with their types.
HASH, TEXT = (bytes, int), (str, type(None))
SCHEMA = {
    "BlockStored": [("block_hashes", [HASH]), ("parent_block_hash", (bytes, int, type(None))),
                    ("token_ids", [(int,)]), ("block_size", (int,)), ("lora_id", (int, type(None))),
                    ("medium", TEXT), ("lora_name", TEXT), ("extra_keys", (list, type(None))),
                    ("group_idx", (int, type(None)))],
    "BlockRemoved": [("block_hashes", [HASH]), ("medium", TEXT), ("group_idx", (int, type(None)))],
    "AllBlocksCleared": [],
}
NEEDED = {"BlockStored": 7, "BlockRemoved": 2, "AllBlocksCleared": 0}


def field_check(name, kind, value):
    if isinstance(kind, list):
        assert isinstance(value, list), (name, value)
        for each in value:
            field_check(name, kind[0], each)
        return
    assert isinstance(value, kind) and not isinstance(value, bool), (name, value)


def decode(payload):
    """A batch: time, events as (tag, fields by name), rank."""
    batch = msgpack.unpackb(payload, raw=False)
    if isinstance(batch, dict):
        assert set(batch) <= {"ts", "events", "data_parallel_rank"}, batch
        ts, events, rank = batch["ts"], batch["events"], batch.get("data_parallel_rank")
    else:
        assert 2 <= len(batch) <= 3, batch
        ts, events, rank = batch[0], batch[1], batch[2] if len(batch) > 2 else None
    assert isinstance(ts, float) and abs(ts - time.time()) < 3600, ts
    decoded = []
    for event in events:
        if isinstance(event, dict):
            fields = dict(event)
            tag = fields.pop("type")
        else:
            tag, values = event[0], event[1:]
            assert NEEDED[tag] <= len(values) <= len(SCHEMA[tag]), event
            fields = {name: value for (name, _), value in zip(SCHEMA[tag], values)}
        known = dict(SCHEMA[tag])
        assert set(fields) <= set(known) and len(fields) >= NEEDED[tag], event
        for name, value in fields.items():
            field_check(name, known[name], value)
        decoded.append((tag, fields))
    return ts, decoded, rank


class Subscriber:
    """Follows a publisher as a router does."""

    def __init__(self, context, endpoint, replay, topic=""):
        self.sub = context.socket(zmq.SUB)
        self.sub.connect(endpoint)
        self.sub.setsockopt_string(zmq.SUBSCRIBE, topic)
        self.replay = replay
        self.topic, self.last, self.here = topic, -1, {}

    def await_first(self, publish):
        """A subscription takes a moment; earlier messages do not arrive."""
        while True:
            publish()
            if self.sub.poll(20):
                return

    def take(self):
        """All pending messages, as lists of events."""
        taken = []
        while self.sub.poll(300 if not taken else 50):
            topic, number, payload = self.sub.recv_multipart()
            assert topic == self.topic.encode() and len(number) == 8, (topic, number)
            number = int.from_bytes(number, "big")
            assert number > self.last, (number, self.last)
            self.last = number
            taken += decode(payload)[1]
        for tag, fields in taken:
            self.apply(tag, fields)
        return taken

    def apply(self, tag, fields, late=False):
        if tag == "AllBlocksCleared":
            self.here.clear()
        for key in fields.get("block_hashes", ()):
            if tag == "BlockStored":
                self.here[key] = fields["medium"]
            else:
                assert late or key in self.here, key
                self.here.pop(key, None)


def ask(context, endpoint, first):
    """(number, batch) of each message that a replay gives."""
    answers = []
    dealer = context.socket(zmq.DEALER)  # as REQ frames it, but for several answers
    dealer.connect(endpoint)
    dealer.send_multipart([b"", first])
    for _ in range(100):
        publisher_serves()
        if dealer.poll(20):
            break
    while dealer.poll(1000):
        empty, number, payload = dealer.recv_multipart()
        assert empty == b""
        if not payload:
            assert number == (-1).to_bytes(8, "big", signed=True)
            break
        answers.append((int.from_bytes(number, "big"), decode(payload)))
    dealer.close(linger=0)
    return answers


with tempfile.TemporaryDirectory(prefix="cupool-events-") as folder, cupool.Device.host() as device:
    endpoint, replay = f"ipc://{folder}/events", f"ipc://{folder}/replay"
    tokens = list(range(100, 100 + 8 * BLOCK))
    keys = cupool.Identity().keys(tokens)
    content = {key: tokens[at * BLOCK:(at + 1) * BLOCK] for at, key in enumerate(keys)}
    pool = cupool.KVPool(device, 16, layers=1, kv_heads=1, head_dim=8, key_type=cupool.Type.BF16,
                         value_type=cupool.Type.BF16, events=64)
    try:
        publisher = cupool.Publisher(endpoint, replay, topic="kv-events", tokens=content.get,
                                     adapter="tuned", rank=3, batches=16)
    except cupool.CupoolError as error:
        if error.errno == 95:
            print("built without libzmq or msgpack")
            sys.exit(77)
        raise
    publisher_serves = lambda: publisher.poll(pool)  # noqa: E731
    context = zmq.Context()
    router = Subscriber(context, endpoint, replay, "kv-events")

    def cache(first, count):
        blocks = pool.allocate(count)
        pool.complete(blocks)
        blocks = pool.register(blocks, keys[first:first + count],
                               keys[first - 1] if first > 0 else None)
        pool.release(blocks)

    def something():
        cache(0, 1)
        pool.forget([keys[0]])
        publisher.poll(pool)

    router.await_first(something)
    while router.take():
        pass
    assert not router.here
    # Stored blocks: hashes, parent, tokens.
    cache(0, 3)
    assert publisher.poll(pool) == 1
    (tag, stored), = router.take()
    assert tag == "BlockStored" and stored["block_hashes"] == keys[:3], stored
    assert stored["parent_block_hash"] is None and stored["token_ids"] == tokens[:3 * BLOCK]
    assert stored["block_size"] == BLOCK and stored["medium"] == "GPU"
    assert stored["lora_id"] is None and stored["lora_name"] == "tuned"
    cache(3, 2)
    publisher.poll(pool)
    (tag, stored), = router.take()
    assert stored["parent_block_hash"] == keys[2], stored
    assert router.here == dict.fromkeys(keys[:5], "GPU")
    # An event with a block whose tokens are unknown, or none, or whose function fails, has none of them.
    for wrong in (None, [], tokens[:BLOCK - 1], [1 << 31] * BLOCK):
        cache(5, 3)
        right = content[keys[6]]
        with contextlib.redirect_stderr(io.StringIO()):
            content[keys[6]] = wrong
            publisher.poll(pool)
            content[keys[6]] = right
        (tag, stored), = router.take()
        assert tag == "BlockStored" and stored["token_ids"] == [], stored
        pool.forget(keys[5:8])
        publisher.poll(pool)
        (tag, _), = router.take()
        assert tag == "BlockRemoved"
    # Removed blocks, and all of them.
    pool.evict(2)
    publisher.poll(pool)
    (tag, removed), = router.take()
    assert tag == "BlockRemoved" and set(removed["block_hashes"]) < set(keys[:5]), removed
    assert len(router.here) == 3
    pool.trim(0)
    cache(0, 1)
    pool.reset()
    publisher.poll(pool)
    assert [tag for tag, _ in router.take()] == ["BlockRemoved", "BlockStored", "AllBlocksCleared"]
    assert not router.here
    # A late subscriber requests the missed messages, and then has the same state.
    cache(0, 4)
    publisher.poll(pool)
    cache(4, 2)
    publisher.poll(pool)
    router.take()
    answers = ask(context, replay, (0).to_bytes(8, "big"))
    assert answers[-1][0] == router.last and 2 <= len(answers) <= 16, answers
    assert all(rank == 3 for _, (_, _, rank) in answers)
    numbers = [number for number, _ in answers]
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), numbers
    late = Subscriber(context, endpoint, replay, "kv-events")
    for _, (_, events, _) in ask(context, replay, (router.last - 2).to_bytes(8, "big")):
        for event in events:
            late.apply(*event, late=True)
    assert late.here == router.here, (late.here, router.here)
    assert ask(context, replay, (router.last + 1).to_bytes(8, "big")) == []
    # A subscriber that asks again on its connection gets every answer, to the end.
    many_replay = f"ipc://{folder}/many-replay"
    many = cupool.Publisher(f"ipc://{folder}/many", many_replay, batches=128)
    again = context.socket(zmq.DEALER)
    again.connect(many_replay)
    for _ in range(128):
        cache(7, 1)
        pool.forget([keys[7]])
        many.poll(pool)
    for request in range(4):
        again.send_multipart([b"", (0).to_bytes(8, "big")])
        got = []
        while not again.poll(5):
            many.poll(pool)
        while again.poll(1000):
            got.append(again.recv_multipart())
            if not got[-1][2]:
                break
        assert len(got) == 129 and not got[-1][2], f"request {request}: {len(got)} answers"
    again.close(linger=0)
    many.close()
    # Noise is ignored.
    noise = context.socket(zmq.DEALER)
    noise.connect(replay)
    for frames in ([b""], [b"", b"short"], [b"x", b"12345678"], [b"", b"1" * 9], [b"", b"12345678", b"more"],
                   [b"y" * 5000] * 20):
        noise.send_multipart(frames)
    for _ in range(20):
        publisher.poll(pool)
        assert not noise.poll(5)
    # Many pending requests do not hold the publisher: a poll answers some, later polls the rest.
    before, asked = publisher.stats().replays, 50
    for _ in range(asked):
        noise.send_multipart([b"", (router.last + 1).to_bytes(8, "big")])
    time.sleep(0.2)  # most have arrived; the result does not depend on it
    most, idle = 0, 0
    while publisher.stats().replays - before < asked and idle < 10000:
        served = publisher.stats().replays
        publisher.poll(pool)
        answered = publisher.stats().replays - served
        most = max(most, answered)
        if answered == 0:
            idle += 1
            time.sleep(0.002)
    assert publisher.stats().replays - before == asked and most <= 16, (publisher.stats(), most)
    # A message of megabytes ends its connection, so what follows it is not answered.
    large = context.socket(zmq.DEALER)
    large.setsockopt(zmq.RECONNECT_IVL, -1)
    large.setsockopt(zmq.LINGER, 0)
    large.connect(replay)
    large.send_multipart([b"", bytes(8 << 20)])
    answered = False
    for _ in range(30):
        with contextlib.suppress(zmq.Again):  # there is no connection any more
            large.send_multipart([b"", (router.last + 1).to_bytes(8, "big")], zmq.DONTWAIT)
        publisher.poll(pool)
        answered |= bool(large.poll(10))
    large.close()
    assert not answered, "a message of any size is taken"
    # Events that were dropped before they were polled are a gap.
    for _ in range(100):
        cache(7, 1)
        pool.forget([keys[7]])
    before = router.last
    publisher.poll(pool)
    router.sub.poll(1000)
    number = int.from_bytes(router.sub.recv_multipart()[1], "big")
    assert number == before + 2, (number, before)
    assert publisher.stats().lost > 0
    # A tier below, under its own medium; as maps, with integers.
    tiers = cupool.Tiers(pool, [cupool.HostTier(4 << 20)], events=64)
    other, other_replay = f"ipc://{folder}/maps", f"ipc://{folder}/maps-replay"
    maps = cupool.Publisher(other, other_replay, maps=1, integers=1)
    follower = Subscriber(context, other, other_replay)

    def offload():
        blocks = pool.match(keys[:4])
        assert len(blocks) == 4
        ticket = tiers.offload(blocks)
        tiers.drain()
        assert tiers.result(ticket) == 4
        pool.release(blocks)
        maps.poll_tier(tiers, 0, "CPU")
        tiers.forget(keys[:4])
        maps.poll_tier(tiers, 0, "CPU")

    follower.await_first(offload)
    offload()
    seen = follower.take()
    numbers = {int.from_bytes(key[-8:], "big") for key in keys[:4]}
    assert {tag for tag, _ in seen} == {"BlockStored", "BlockRemoved"}, seen
    assert {key for _, fields in seen for key in fields["block_hashes"]} == numbers
    assert {fields["medium"] for _, fields in seen} == {"CPU"}
    assert not follower.here
    for closing in (maps, tiers, publisher, pool):
        closing.close()
    context.destroy(linger=0)
print("stored, removed, cleared, parents, tokens, gaps, replay, tiers: decoded as published")
