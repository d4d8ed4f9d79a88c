#!/usr/bin/env bash
# Compares the levels of runs with n-gram models in Python: levels_test.sh SOURCE_DIR QKV_BINARY SCRATCH_DIR
# Needs python3; exits with 77 where there is none.
set -euo pipefail
command -v python3 >/dev/null || { echo "skipped: there is no python3 (apt-get install python3)" && exit 77; }
rm -rf "$3" && mkdir -p "$3" && cd "$3"
exec python3 "$1/tests/data/levels_test.py" "$1" "$2"
