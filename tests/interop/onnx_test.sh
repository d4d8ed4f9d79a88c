#!/usr/bin/env bash
# Runs exported models and every case of the ops in onnxruntime and compares them with qkv.
#   onnx_test.sh SOURCE_DIR QKV_BINARY QKV_TESTS SCRATCH_DIR
# Needs python3 with venv, and pip (onnx and onnxruntime are fetched into the scratch folder); exits with 77 where there
# is none.
set -euo pipefail
source=$1 qkv=$2 tests=$3 scratch=$4
mkdir -p "$scratch" && cd "$scratch"
if [ ! -e venv/ready ]; then
  rm -rf venv
  python3 -m venv venv >venv.log 2>&1 ||
    { echo "skipped: python3 makes no environment (apt-get install python3-venv)" && exit 77; }
  venv/bin/pip install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 safetensors >pip.log 2>&1 ||
    { tail -n 3 pip.log && echo "skipped: pip does not get onnx and onnxruntime" && exit 77; }
  touch venv/ready
fi
rm -rf cases runs && mkdir cases
QKV_ONNX_CASES=$scratch/cases "$tests" --source-file='*/tests/interop/onnx_test.cpp'
venv/bin/python "$source/tests/interop/onnx_test.py" cases
