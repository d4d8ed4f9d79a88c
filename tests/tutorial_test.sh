#!/usr/bin/env bash
# Compiles and runs every ```cpp block of docs/tutorial.md as the body of a main, those of docs/extending.md as a
# plug-in whose layers pass check_layer and whose other parts train, tokenize and print, and that of README.md as a program
# that trains the config below it: tutorial_test.sh SOURCE BUILD SCRATCH
set -euo pipefail
source=$1 build=$2 scratch=$3
rm -rf "$scratch"
mkdir -p "$scratch"
awk -v folder="$scratch" '
  /^```cpp$/ {on = 1; file = sprintf("%s/step-%d.cpp", folder, ++n)
              print "#include <fmt/core.h>\n#include <qkv/qkv.h>\n\n#include <cmath>\n\nusing namespace qkv;\n\nint main() {" >file; next}
  /^```/ && on {on = 0; print "return 0;\n}" >>file; close(file)}
  on {print >>file}' "$source/docs/tutorial.md"
awk -v folder="$scratch" '
  /^```cpp$/ {on = 1; file = sprintf("%s/part-%d.cpp", folder, ++n)
              print "#include <qkv/qkv.h>\nusing namespace qkv;" >file; next}
  /^```/ && on {on = 0; close(file)}
  on {print >>file}' "$source/docs/extending.md"
first() { awk -v fence="\`\`\`$1" '$0 == fence {on = 1; next} /^```/ && on {exit} on' "$source/README.md"; }
first cpp >"$scratch/readme.cpp"
first toml >"$scratch/readme.toml"
ln -s "$source/configs" "$scratch/configs"
cat >"$scratch/check.cpp" <<END
#include <cstdio>
#include <qkv/qkv.h>
int main() {
  std::size_t failures = 0;
  for (auto [name, keys] : {std::pair{"gated-unit", "hidden = 4"}, {"recent", "window = 3"}})
    for (const std::string& problem : qkv::check_layer(qkv::Registry<qkv::Layer>::instance().at(name, "layer").make, {8, keys}))
      std::printf("%s: %s\\n", name, problem.c_str()), failures++;
  return failures > 0;
}
END
cat >"$scratch/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.20)
project(tutorial CXX)
find_package(qkv REQUIRED)
file(GLOB steps step-*.cpp)
set(headers PRIVATE <qkv/qkv.h>)
foreach(step \${steps})
  get_filename_component(name \${step} NAME_WE)
  add_executable(\${name} \${step})
  target_link_libraries(\${name} PRIVATE qkv::qkv)
  target_precompile_headers(\${name} \${headers})
  set(headers REUSE_FROM \${name})
endforeach()
file(GLOB parts part-*.cpp)
qkv_add_plugin(extending \${parts})
add_executable(readme readme.cpp)
target_link_libraries(readme PRIVATE qkv::qkv)
add_executable(check check.cpp \$<TARGET_OBJECTS:extending>)
target_link_libraries(check PRIVATE qkv::qkv)
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

echo "-- README.md"
"$scratch/build/readme" list layers | grep renew
"$scratch/build/readme" train "$scratch/readme.toml" --set train.max_epochs=1 --set run.out_dir="$scratch"
grep -q '"layers.1.gate.weight"' "$scratch/readme/checkpoints/last/model.safetensors"

echo "-- docs/extending.md"
"$scratch/build/check"
qkv=$scratch/prefix/bin/qkv plugin=$scratch/build/extending.so
cat >"$scratch/text.toml" <<END
plugins = ["$plugin"]
[task]
type = "language-model"
[data]
train = "$source/examples/tutorial/counting.txt"
[tokenizer]
type = "char"
[model]
type = "tiny"
n_layer = 1
d_model = 16
max_seq_len = 16
attention = {type = "recent", n_head = 4, window = 5}
[optimizer]
type = "signs"
[schedule]
type = "halving"
every = 4
[train]
max_steps = 8
END
"$qkv" train "$scratch/text.toml" --set run.out_dir="$scratch"
"$qkv" generate "$scratch/text" --prompt "one" --max-tokens 5
cat >"$scratch/sorted.toml" <<END
plugins = ["$plugin"]
task.type = "sort-digits"
data.digits = 4
model = {type = "decoder-lm", n_layer = 1, d_model = 8, max_seq_len = 8}
train.max_steps = 2
END
"$qkv" train "$scratch/sorted.toml" --set run.out_dir="$scratch"
"$qkv" predict "$scratch/sorted" "3 1"
"$qkv" --plugin "$plugin" hello | grep -x hello
"$qkv" --plugin "$plugin" gradcheck my_sqrt
"$qkv" tokenize "$scratch/text.toml" "one,two" --set tokenizer.type=commas --json | grep -E '"ids": ?\[[0-9]+, ?[0-9]+\]'
[[ $(ls "$scratch"/part-*.cpp | wc -l) -ge 8 ]]
