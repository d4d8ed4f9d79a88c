#!/usr/bin/env bash
# Compiles and runs every ```cpp block of docs/tutorial.md as the body of a main: tutorial_test.sh SOURCE BUILD SCRATCH
set -euo pipefail
source=$1 build=$2 scratch=$3
rm -rf "$scratch"
mkdir -p "$scratch"
awk -v folder="$scratch" '
  /^```cpp$/ {on = 1; file = sprintf("%s/step-%d.cpp", folder, ++n)
              print "#include <fmt/core.h>\n#include <qkv/qkv.h>\n\n#include <cmath>\n\nusing namespace qkv;\n\nint main() {" >file; next}
  /^```/ && on {on = 0; print "return 0;\n}" >>file; close(file)}
  on {print >>file}' "$source/docs/tutorial.md"
cat >"$scratch/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.20)
project(tutorial CXX)
find_package(qkv REQUIRED)
file(GLOB steps step-*.cpp)
foreach(step \${steps})
  get_filename_component(name \${step} NAME_WE)
  add_executable(\${name} \${step})
  target_link_libraries(\${name} PRIVATE qkv::qkv)
endforeach()
END
cmake --install "$build" --prefix "$scratch/prefix" >"$scratch/log"
cmake -S "$scratch" -B "$scratch/build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_PREFIX_PATH="$scratch/prefix" >>"$scratch/log"
cmake --build "$scratch/build" | grep -E 'error|FAILED' && exit 1
passed=0
for step in "$scratch"/step-*.cpp; do
  name=$(basename "$step" .cpp)
  echo "-- $name"
  "$scratch/build/$name"
  passed=$((passed + 1))
done
[[ $passed -ge 7 ]]
