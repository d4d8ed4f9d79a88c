#!/usr/bin/env bash
# The program on a CPU without AVX, which qemu-user plays: other_cpu_test.sh QKV_BINARY
# A binary made for more says so and ends; one made for this CPU runs. Skipped without qemu-x86_64.
set -u
binary=$1
command -v qemu-x86_64 >/dev/null || { echo "skipped: no qemu-x86_64 (Debian: qemu-user)"; exit 77; }
output=$(qemu-x86_64 -cpu Nehalem "$binary" list tasks 2>&1)
code=$?
echo "exit code $code: $output"
case $code in
  0) [[ $output == *wsd* ]] ;;
  1) [[ $output == "error: qkv was built for a CPU with instructions that this one lacks: "*avx* && $output != *$'\n'* ]] ;;
  *) false ;;
esac
