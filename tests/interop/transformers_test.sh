#!/usr/bin/env bash
# Compares imported and exported models with the Python library `transformers`: logits to 1e-4, 64 greedy tokens, and the
# ids of tokenizers.
#   transformers_test.sh SOURCE_DIR TESTS_BINARY QKV_BINARY SCRATCH_DIR
# Needs python3 with venv, and pip (torch and transformers, several GB, are fetched into the scratch folder; QKV_TORCH_SITE
# names a site-packages folder that has torch already); exits with 77 where there is none.
set -euo pipefail
source=$1 tests=$2 qkv=$3 scratch=$4
mkdir -p "$scratch" && cd "$scratch"
if [ ! -e venv/ready ]; then
  rm -rf venv
  python3 -m venv venv >venv.log 2>&1 ||
    { echo "skipped: python3 makes no environment (apt-get install python3-venv)" && exit 77; }
  torch=torch==2.15.0
  if [ -n "${QKV_TORCH_SITE:-}" ]; then
    torch= && echo "$QKV_TORCH_SITE" >"$(venv/bin/python -c 'import site; print(site.getsitepackages()[0])')/torch.pth"
  fi
  venv/bin/pip install --quiet --disable-pip-version-check $torch transformers==5.24.0 safetensors >pip.log 2>&1 ||
    { tail -n 3 pip.log && echo "skipped: pip does not get torch and transformers" && exit 77; }
  touch venv/ready
fi
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error TOKENIZERS_PARALLELISM=false
rm -rf models exports && mkdir exports
venv/bin/python "$source/tests/interop/make_reference.py" models all >make.log 2>&1 || { tail -n 20 make.log && exit 1; }
QKV_HF_MODELS=$PWD/models QKV_HF_EXPORTS=$PWD/exports "$tests" --source-file='*/tests/interop/*'
exec venv/bin/python "$source/tests/interop/transformers_test.py" exports models "$qkv"
