# SPDX-License-Identifier: MIT
"""JAX's arrays and compiled functions, with the allocator that XLA_PYTHON_CLIENT_ALLOCATOR names.

Whole numbers only: XLA may choose another kernel from run to run, and the sum must not tell.
"""

import need

jax = need.library("jax")
numpy = need.library("numpy")
verdict = need.verdict


def round_trips(device):
    for shape, kind in (((1,), "u1"), ((1000,), "i4"), ((64, 65), "f4"), ((1 << 22,), "i2")):
        wanted = (numpy.arange(numpy.prod(shape)) % 100).astype(kind).reshape(shape)
        there = jax.device_put(wanted, device)
        print(f"{shape} {kind}: {verdict((numpy.asarray(there) == wanted).all())}")


def compiled():
    @jax.jit
    def mixed(left, right):
        return (left @ right).sum(axis=1) + jax.numpy.cumsum(left[0])

    left = (numpy.arange(256 * 256).reshape(256, 256) % 7 - 3).astype("i4")
    got = numpy.asarray(mixed(left, left.T))
    wanted = (left @ left.T).sum(axis=1) + numpy.cumsum(left[0])
    print(f"compiled: {verdict((got == wanted).all())}")


def differentiated():
    gradient = jax.grad(lambda weight, rows: (rows @ weight).sum())
    rows = (numpy.arange(128 * 32).reshape(128, 32) % 5).astype("f4")
    got = numpy.asarray(gradient(numpy.ones((32, 8), "f4"), rows))
    print(f"gradient: {verdict((got == rows.sum(axis=0)[:, None]).all())}")


def churned(device):
    generator = numpy.random.default_rng(3)
    kept, wrong = {}, 0
    for turn in range(400):
        size = int(generator.integers(1, 300_000))
        kept[turn % 19] = (turn, jax.device_put(numpy.full(size, turn, "i4"), device))
        value, array = kept[int(generator.choice(list(kept)))]
        wrong += int((numpy.asarray(array) != value).sum())
        if turn % 3 == 0:
            kept.pop(turn % 19)[1].delete()
    print(f"400 arrays: {wrong} wrong elements")


def main():
    device = need.device("JAX", lambda: jax.devices("gpu"))[0]
    print(f"JAX {jax.__version__}, {device.device_kind}")
    for _ in range(2):
        round_trips(device)
        compiled()
        differentiated()
        churned(device)


main()
