# SPDX-License-Identifier: MIT
"""Environment of programs when the tests run in a build with sanitizers.

CUPOOL_TEST_SANITIZER names the sanitizer's runtime. It must come before every other preload, also
in programs that are not instrumented. Leaks of the host programs are not reported, and the
simulated device handles bad addresses with its own SIGSEGV handler.
"""

import os

OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:protect_shadow_gap=0:handle_segv=0:handle_sigbus=0",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "handle_segv=0:handle_sigbus=0:report_signal_unsafe=0:"
                    "report_thread_leaks=0:exitcode=66:suppressions="
                    + os.path.join(os.path.dirname(os.path.abspath(__file__)), "tsan.supp"),
}


def environment(preload=""):
    """Environment variables for a program with these libraries preloaded, separated by blanks."""
    runtime = os.environ.get("CUPOOL_TEST_SANITIZER", "")
    libraries = " ".join(word for word in (runtime, preload) if word)
    return ({"LD_PRELOAD": libraries} if libraries else {}) | (OPTIONS if runtime else {})


def active():
    """Whether this is a build with sanitizers."""
    return bool(os.environ.get("CUPOOL_TEST_SANITIZER"))
