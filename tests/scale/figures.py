# SPDX-License-Identifier: MIT
"""Reports that two runs or two traces of the same program must share."""

# Values that differ between any two runs: times, and names of the run.
TIME_WORDS = ("_ns", "realtime")
# Lifetimes are counted in classes of time.
RUN_KEYS = {"pid", "trace", "command", "t_ns", "lifetimes"}


def without_times(value):
    """A JSON report without values that depend on the clock: keys by name, and all latencies."""
    if isinstance(value, dict):
        if any(word in str(value.get("name")) for word in TIME_WORDS):
            return value["name"]  # a counter of time
        return {key: without_times(inner) for key, inner in value.items()
                if key not in RUN_KEYS and not any(word in key for word in TIME_WORDS)}
    if isinstance(value, list):
        return [without_times(inner) for inner in value]
    return value


def differences(left, right, path="report"):
    """Differences of two values, as lines."""
    if isinstance(left, dict) and isinstance(right, dict):
        return [line for key in sorted(set(left) | set(right))
                for line in differences(left.get(key), right.get(key), f"{path}.{key}")]
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [line for i, pair in enumerate(zip(left, right))
                for line in differences(*pair, f"{path}[{i}]")]
    if isinstance(left, list) and isinstance(right, list):
        return [f"{path}: {len(left)} rows, {len(right)} rows"]
    return [] if left == right else [f"{path}: {left!r}, {right!r}"]
