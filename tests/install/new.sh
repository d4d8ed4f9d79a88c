#!/usr/bin/env bash
# What `qkv new` writes compiles against the installed package, passes its tests and trains: new.sh BUILD SCRATCH
set -euo pipefail
build=$1 scratch=$2
rm -rf "$scratch"
mkdir -p "$scratch"
cmake --install "$build" --prefix "$scratch/prefix" >"$scratch/log"
export CMAKE_PREFIX_PATH=$scratch/prefix PATH=$scratch/prefix/bin:$PATH
cd "$scratch"

for kind in layer op task sequence; do
  echo "-- new $kind"
  qkv new $kind my-$kind
  (
    cd my-$kind
    cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release >>"$scratch/log" && cmake --build build >>"$scratch/log"
    ctest --test-dir build --output-on-failure
    case $kind in
      layer | task) qkv train my-$kind.toml --set train.max_epochs=1 ;;
      sequence) qkv train my-$kind.toml && qkv predict runs/my-$kind "3 1 2 0" | grep -x "3 1 2 0 -> 0123" ;;
    esac
  )
done
[[ $(wc -l <my-layer/my_layer.cpp) -le 40 && $(wc -l <my-task/my_task.cpp) -le 90 && $(wc -l <my-sequence/my_sequence.cpp) -le 45 ]]

# A task answers, shows what its model reads, and its captures and mistakes stand in a report.
looks() { # KIND TEXT WHOLE: a text to be answered, and one to be read
  (
    cd my-$1
    qkv predict runs/my-$1 "$2" >answer && [[ -s answer ]]
    qkv inspect runs/my-$1 attention "$3" | grep "head 1" >/dev/null
    qkv inspect runs/my-$1 heads --examples 4 >/dev/null
    qkv inspect runs/my-$1 circuits --head 0 --top 2 >/dev/null
    qkv inspect runs/my-$1 neighbors 3 -k 2 | grep cosine >/dev/null
    qkv report runs/my-$1 -o report.html >/dev/null && grep -qF "$3" report.html
  )
}
looks task "3 1 4 9 5 2" "3 1 4 9 5 2"
looks sequence "3 1 2 0" "3 1 2 0 > 0 1 2"
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
refused "there is a task 'induction' already" sequence induction
refused "must not exist yet" layer my-layer
