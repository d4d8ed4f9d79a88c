#!/usr/bin/env bash
# The installed package serves a user's program: run.sh BUILD SOURCE SCRATCH
set -euo pipefail
build=$1 source=$2 scratch=$3
rm -rf "$scratch"
mkdir -p "$scratch"

cmake --install "$build" --prefix "$scratch/first" >"$scratch/log"
mv "$scratch/first" "$scratch/prefix"  # an installed tree can be moved
"$scratch/prefix/bin/qkv" --version

echo "-- find_package"
cmake -S "$source/tests/install/consumer" -B "$scratch/found" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/prefix"
cmake --build "$scratch/found"
"$scratch/found/consumer"

echo "-- pkg-config"
pc=$(dirname "$(find "$scratch/prefix" -name qkv.pc)")
flags=$(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs qkv)
c++ "$source/tests/install/consumer/main.cpp" -o "$scratch/consumer" $flags -Wl,-rpath,"$(dirname "$pc")"
"$scratch/consumer"

echo "-- add_subdirectory: neither tests nor install rules reach the user's project"
cmake -S "$source/tests/install/consumer" -B "$scratch/added" -G Ninja -DQKV_SOURCE="$source"
if grep -q qkv_tests "$scratch/added/build.ninja" || grep -q qkvConfig "$scratch/added/qkv/cmake_install.cmake"; then
  exit 1
fi
