#!/bin/sh
# SPDX-License-Identifier: MIT
# exports_test.sh STAND_IN REAL: both libraries export the same functions under the same versions.
# Exit 77 where the real library is absent.
exports() {
    nm -D --defined-only "$1" | awk '$2 == "T" { print $3 }' | sort
}
if [ ! -e "$2" ]; then
    echo "skipped: no $2"
    exit 77
fi
ours=$(exports "$1")
theirs=$(exports "$2")
if [ "$ours" = "$theirs" ]; then
    echo "$(echo "$ours" | wc -l) functions"
    exit 0
fi
echo "differences (- only real, + only simulated):"
printf '%s\n' "$theirs" > runtime_exports.real
printf '%s\n' "$ours" | diff -U0 runtime_exports.real - | grep '^[-+][^-+]'
exit 1
