#!/usr/bin/env bash
# Compares lens, attribute, patch, probe and rollout with an implementation in PyTorch, to 1e-5.
#   reference_test.sh SOURCE_DIR QKV_BINARY SCRATCH_DIR
# Needs python3 with torch: QKV_TORCH_SITE names a site-packages folder that has it; exits with 77 where there is none.
set -euo pipefail
source=$1 qkv=$2 scratch=$3
mkdir -p "$scratch"
export PYTHONPATH=${QKV_TORCH_SITE:-}${PYTHONPATH:+:$PYTHONPATH} OMP_NUM_THREADS=2
python3 -c "import torch" 2>/dev/null || { echo "skipped: python3 has no torch (QKV_TORCH_SITE names a folder that has)" && exit 77; }
exec python3 "$source/tests/inspect/reference_test.py" "$qkv" "$scratch"
