# SPDX-License-Identifier: MIT
"""Builds a program with an unpacked libcupool-engine, and runs it on the device that came with it."""

import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent


def compiler():
    return os.environ.get("CC", "cc").split()[-1]


def flags(root, *form):
    """What pkg-config says of the installation below a folder."""
    directory = next(root.rglob("cupool-engine.pc")).parent
    environment = os.environ | {"PKG_CONFIG_LIBDIR": str(directory),
                                "PKG_CONFIG_SYSROOT_DIR": str(root)}
    environment.pop("PKG_CONFIG_PATH", None)
    return subprocess.run(["pkg-config", *form, "--cflags", "--libs", "cupool-engine"], text=True,
                          check=True, capture_output=True, env=environment).stdout.split()


def run_on_simulated_device(root, scratch, environment, kernels):
    """Copies and codecs give back what they got: by kernels, if there are any."""
    program, empty = scratch / "engine_program", scratch / "no-twins"
    empty.mkdir()
    subprocess.run([compiler(), "-Wall", "-Werror", HERE / "engine_program.c", *flags(root), "-o",
                    program], check=True)
    library = next(root.rglob("libcupool-engine.so.0")).parent
    environment = environment | {"LD_LIBRARY_PATH": str(library)}
    for twins in ("", str(empty)):  # of the program; those of cupool's own kernels are no matter of it
        told = subprocess.run([next(root.rglob("bin/cupool")), "run", "-q", "--sim", "-O", "trace:off",
                               "--", program], text=True, check=True, capture_output=True,
                              env=environment | {"SIMGPU_TWINS": twins}).stdout
        words = told.replace(",", "").split()
        launches, encoded, wrong = (int(word) for word in words[1::2])
        assert wrong == 0, f"twins '{twins}': {told}"
        assert not kernels or (launches and encoded), f"kernels were not used: {told}"
