# SPDX-License-Identifier: MIT
"""Programs that a run on hardware compares: the workloads, and clients of third-party libraries.

Both are tables; docs/transparency.md lists their rows with results from hardware. A client prints
results that depend neither on addresses nor on time, and skips (77) with the reason if its library
or a device is missing.
"""

import dataclasses
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "tests" / "clients"

# name, command, and replacement of the arguments on the simulated device, where times are
# meaningless; None: not run there
WORKLOADS = (
    ("tinyllm", "tinyllm --tokens 64 --seed 7", "--tokens 4"),
    ("tinyllm: static runtime", "tinyllm_static --tokens 64 --seed 7", "--tokens 4"),
    ("tinyllm: per-thread streams", "tinyllm_ptds --tokens 64 --seed 7", "--tokens 4"),
    ("tinyllm: large", "tinyllm --preset large", None),
    ("churn", "churn --threads 4 --streams 3 --ops 2000 --seed 3 --max-live 1GiB", "--ops 40"),
    ("churn: static runtime",
     "churn_static --threads 4 --streams 3 --ops 2000 --seed 3 --max-live 1GiB", "--ops 40"),
    ("driver_api", "driver_api", ""),
    ("driver_dlsym", "driver_dlsym", ""),
    ("ctypes runtime", "ctypes_runtime.py", ""),
    ("ctypes driver", "ctypes_driver.py", ""),
)

# Workloads that also run with each guard, and with mapped memory.
GUARDED = ("tinyllm", "churn", "driver_api")

NO_PREALLOCATION = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}

# name, script, its words, environment
CLIENT_ROWS = (
    ("PyTorch: caching allocator", "torch_tensors.py", "", {}),
    ("PyTorch: no cache", "torch_tensors.py", "", {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}),
    ("PyTorch: expandable segments", "torch_tensors.py", "",
     {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}),
    ("PyTorch: driver's pool", "torch_tensors.py", "",
     {"PYTORCH_CUDA_ALLOC_CONF": "backend:cudaMallocAsync"}),
    ("PyTorch: CUDA graphs", "torch_graphs.py", "", {}),
    ("PyTorch: CUDA graphs and expandable segments", "torch_graphs.py", "",
     {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}),
    ("PyTorch: streams", "torch_streams.py", "", {}),
    ("PyTorch: streams and no cache", "torch_streams.py", "",
     {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}),
    ("CuPy: its pool", "cupy_arrays.py", "default", {}),
    ("CuPy: no pool", "cupy_arrays.py", "none", {}),
    ("CuPy: driver's pool", "cupy_arrays.py", "async", {}),
    ("JAX", "jax_arrays.py", "", NO_PREALLOCATION),
    ("JAX: platform allocator", "jax_arrays.py", "",
     NO_PREALLOCATION | {"XLA_PYTHON_CLIENT_ALLOCATOR": "platform"}),
    ("JAX: driver's pool", "jax_arrays.py", "",
     NO_PREALLOCATION | {"XLA_PYTHON_CLIENT_ALLOCATOR": "cuda_async"}),
    ("numba: arrays", "numba_arrays.py", "", {}),
    ("numba: kernels", "numba_kernels.py", "", {}),
    ("cuda-bindings: driver", "cuda_bindings_driver.py", "", {}),
)


@dataclasses.dataclass(frozen=True)
class Program:
    name: str
    command: list
    variables: dict = dataclasses.field(default_factory=dict)
    own_libraries: bool = False


def workloads(place):
    made = []
    for name, words, short in WORKLOADS:
        if place.simulated and short is None:
            continue
        program, *sizes = words.split()
        if place.simulated:
            sizes = short.split()
        command = [str(place.workload(program)), *sizes]
        made.append(Program(name, [sys.executable, *command] if program.endswith(".py")
                            else command))
    return made


def script(name):
    own = ROOT / "tests" / "gpu" / "clients" / name
    return own if own.exists() else CLIENTS / name


def clients(place):
    return [Program(name, [sys.executable, str(script(file)), *words.split()],
                    {"PYTHONPATH": str(CLIENTS), **variables}, own_libraries=True)
            for name, file, words, variables in CLIENT_ROWS]


# Programs of libcupool-engine.
ENGINE = ("device_program", "transfer_program", "capture_program")


def built(place, folder, name):
    """The path of a program in a build with the command, otherwise in one without."""
    paths = [place.build / "tests" / each / name for each in (folder, "gpu")]
    return next((path for path in paths if path.exists()), paths[0])


def engine(place):
    return [Program(name, [str(built(place, "engine", name))]) for name in ENGINE]
