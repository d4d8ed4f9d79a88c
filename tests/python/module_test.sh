#!/usr/bin/env bash
# Installs the Python module as docs/python.md says and uses it: its tests, the page, the notebook, and the stubs.
#   module_test.sh SOURCE_DIR BUILD_DIR SCRATCH_DIR
# Needs pybind11 and NumPy of Debian; for notebook and stubs also pip. Exits with 77 where these are missing.
set -euo pipefail
source=$1 build=$2 scratch=$3
mkdir -p "$scratch" && cd "$scratch"
for python in python3 /usr/bin/python3 ""; do
  [ -n "$python" ] || { echo "skipped: see the packages in docs/python.md" && exit 77; }
  ! "$python" -c 'import numpy, venv, ensurepip' 2>/dev/null || [ ! -e /usr/lib/cmake/pybind11 ] || break
done
before=$(git -C "$source" status --porcelain 2>/dev/null || true)
rm -rf runs
[ -e venv ] || "$python" -m venv --system-site-packages venv
QKV_BUILD=$build venv/bin/pip install --quiet --no-index --no-build-isolation --force-reinstall --no-deps "$source"
after=$(git -C "$source" status --porcelain 2>/dev/null || true)
[ "$before" = "$after" ] || { echo "FAILED: pip changed the source tree: $after" && exit 1; }
for entry in configs docs python; do ln -sfn "$source/$entry" "$entry"; done

export QKV_BINARY=$build/bin/qkv
venv/bin/python "$source/tests/python/module_test.py"
rm -rf runs  # the page begins in a fresh folder
awk '/^```python$/ {on = 1; next} /^```/ {on = 0} on' docs/python.md >page.py
venv/bin/python page.py >page.log

venv/bin/pip install --quiet --disable-pip-version-check nbclient ipykernel mypy 'numpy<2' 'pandas<3' >pip.log 2>&1 ||
  { tail -n 3 pip.log && echo "skipped: pip does not get nbclient, ipykernel, mypy, pandas" && exit 77; }
venv/bin/python - <<'END'
import nbformat, nbclient
notebook = nbformat.read("python/examples/attention.ipynb", 4)
nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": "."}}).execute()
END
venv/bin/python -c 'import pandas, qkv; print(pandas.DataFrame(qkv.Run("runs/notebook").metrics("eval", split="val")))'
venv/bin/python -m mypy -p qkv
# pybind11 has a metaclass of its own, and a constructor that raises for classes without one.
printf 'qkv._qkv.%s\n' Model Tokenizer Tokenizer.__init__ >allowed.txt
venv/bin/python -m mypy.stubtest qkv --allowlist allowed.txt
