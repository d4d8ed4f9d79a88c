#!/usr/bin/env bash
# The user's task trains, evaluates and predicts like those of the library: test.sh PROGRAM SCRATCH
set -euo pipefail
program=$1 scratch=$2 config=$(dirname "$0")/largest.toml
rm -rf "$scratch"
mkdir -p "$scratch"

"$program" list tasks | grep largest
"$program" train "$config" --set run.out_dir="$scratch" --check-expect
"$program" eval "$scratch/largest"
"$program" predict "$scratch/largest" "3 1 4 9 5 2" | tee "$scratch/answer"
grep -q 'the largest is at position 4' "$scratch/answer"
status=0
"$program" predict "$scratch/largest" "3 1" 2>"$scratch/error" || status=$?
[[ $status == 3 ]]
grep -q "largest: a row must have 6 digits; got '3 1'" "$scratch/error"
