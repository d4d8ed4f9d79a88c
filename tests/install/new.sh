#!/usr/bin/env bash
# What `qkv new` writes compiles against the installed package, passes its tests and trains: new.sh BUILD SCRATCH
set -euo pipefail
build=$1 scratch=$2
rm -rf "$scratch"
mkdir -p "$scratch"
cmake --install "$build" --prefix "$scratch/prefix" >"$scratch/log"
export CMAKE_PREFIX_PATH=$scratch/prefix PATH=$scratch/prefix/bin:$PATH
cd "$scratch"

for kind in layer op task; do
  echo "-- new $kind"
  qkv new $kind my-$kind
  (
    cd my-$kind
    cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release >>"$scratch/log" && cmake --build build >>"$scratch/log"
    ctest --test-dir build --output-on-failure
    if [[ $kind != op ]]; then qkv train my-$kind.toml --set train.max_epochs=1; fi
  )
done
[[ $(wc -l <my-layer/my_layer.cpp) -le 40 ]]
qkv --plugin my-op/build/my-op.so gradcheck my_op
qkv --plugin my-op/build/my-op.so list ops | grep -E "^ *my_op .* my-op.so"
qkv new config my-senses
(cd my-senses && qkv check my-senses.toml && qkv train my-senses.toml && qkv predict runs/my-senses "a [bank] of reeds")
qkv new plugin mine -o elsewhere && [[ -e elsewhere/mine.toml ]]

refused() { # WORDS ARGUMENTS...
  local words=$1 status=0
  shift
  qkv new "$@" 2>err || status=$?
  [[ $status == 2 ]] && grep -qF "$words" err || { cat err; exit 1; }
}
refused "unknown kind 'layr' (did you mean 'layer'?)" layr x
refused "must be kebab-case, as in gated-mlp; got 'GatedMlp'" layer GatedMlp
refused "there is a layer 'block' already" layer block
refused "must not exist yet" layer my-layer
