#!/usr/bin/env bash
# Compares tokenizer.json with the Python libraries `tokenizers` and `transformers`: what qkv writes and they read, and
# what they write and qkv reads.
#   python_test.sh SOURCE_DIR QKV_BINARY SCRATCH_DIR
# Needs python3 with venv, and pip (the libraries are fetched into the scratch folder); exits with 77 where there is none.
# QKV_SEED chooses the strings.
set -euo pipefail
source=$1 qkv=$2 scratch=$3
mkdir -p "$scratch" && cd "$scratch"
if [ ! -e venv/ready ]; then
  rm -rf venv
  python3 -m venv venv >venv.log 2>&1 ||
    { echo "skipped: python3 makes no environment (apt-get install python3-venv)" && exit 77; }
  venv/bin/pip install --quiet --disable-pip-version-check tokenizers==0.23.3 transformers==5.24.0 >pip.log 2>&1 ||
    { tail -n 3 pip.log && echo "skipped: pip does not get tokenizers and transformers" && exit 77; }
  touch venv/ready
fi
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error TOKENIZERS_PARALLELISM=false
exec venv/bin/python "$source/tests/data/python_test.py" "$source" "$qkv" "${QKV_SEED:-1}"
