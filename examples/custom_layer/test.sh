#!/usr/bin/env bash
# A config names the user's layer, and every verb knows it: test.sh PROGRAM SCRATCH
set -euo pipefail
program=$1 scratch=$2 config=$(dirname "$0")/gated.toml
rm -rf "$scratch"
mkdir -p "$scratch"

"$program" list layers | grep gated-mlp
"$program" train "$config" --set train.max_epochs=2 --set run.out_dir="$scratch" --set run.name=gated
grep -q '"layers.1.gate.weight"' "$scratch/gated/checkpoints/last/model.safetensors"
"$program" eval "$scratch/gated" --split test --json | grep accuracy
"$program" predict "$scratch/gated" "We sat by the river bank." | tee "$scratch/answer"
grep -q 'bank = ' "$scratch/answer"

# Its keys are checked like those of the library.
sed 's/^hidden/hiden/' "$config" | sed "s|../..|$(dirname "$0")/../..|" >"$scratch/broken.toml"
status=0
"$program" train "$scratch/broken.toml" --set run.out_dir="$scratch" 2>"$scratch/error" || status=$?
cat "$scratch/error"
[[ $status == 2 ]]
grep -q "hiden.*did you mean 'hidden'" "$scratch/error"
