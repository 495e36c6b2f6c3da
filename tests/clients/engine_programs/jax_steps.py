# SPDX-License-Identifier: MIT
"""A small decoder in JAX: a jitted step with a cache that is updated in place, arrays that grow and go.

usage: jax_steps.py

Prints shapes and counts: the simulated device computes nothing.
"""

import jax
import jax.numpy as jnp

LAYERS, WIDTH, STEPS = 2, 256, 12


def weights(key):
    keys = jax.random.split(key, 2 * LAYERS)
    return [(jax.random.normal(keys[2 * i], (WIDTH, 4 * WIDTH)),
             jax.random.normal(keys[2 * i + 1], (4 * WIDTH, WIDTH))) for i in range(LAYERS)]


@jax.jit
def step(layers, cache, hidden, position):
    for up, down in layers:
        hidden = hidden + jnp.tanh(hidden @ up) @ down
    cache = jax.lax.dynamic_update_slice(cache, hidden[None], (position, 0, 0))
    return cache, hidden


def decode(layers):
    cache = jnp.zeros((STEPS, 1, WIDTH), jnp.float32)
    hidden = jnp.ones((1, WIDTH), jnp.float32)
    for position in range(STEPS):
        cache, hidden = step(layers, cache, hidden, position)
    return cache, hidden


def grow():
    """A list of arrays that doubles, and is dropped."""
    kept = [jax.device_put(jnp.zeros((1 << shift,), jnp.float32)) for shift in range(10, 20)]
    total = sum(array.nbytes for array in kept)
    for array in kept:
        array.delete()
    return len(kept), total


def main():
    device = jax.devices()[0]
    print(device.platform, device.device_kind)
    layers = weights(jax.random.PRNGKey(3))
    cache, hidden = decode(layers)
    jax.block_until_ready((cache, hidden))
    print("cache", cache.shape, cache.dtype, "hidden", hidden.shape)
    print("grow", *grow())
    print("on the device", sorted({str(d.platform) for d in cache.devices()}))


main()
