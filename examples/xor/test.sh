#!/usr/bin/env bash
# The program exits with 0 when it has learned all four cases: test.sh PROGRAM SCRATCH
set -euo pipefail
"$1" | tee /dev/stderr | grep -q '1 xor 1 = 0'
