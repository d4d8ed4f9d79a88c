#!/usr/bin/env bash
# Plug-ins, built against the installed package: plugin.sh BUILD SOURCE SCRATCH
set -euo pipefail
build=$1 source=$2 scratch=$3
rm -rf "$scratch"
mkdir -p "$scratch"
cmake --install "$build" --prefix "$scratch/prefix" >"$scratch/log"
qkv=$scratch/prefix/bin/qkv
make_project() { # SOURCE BUILD
  cmake -S "$1" -B "$2" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$scratch/prefix" >>"$scratch/log"
  cmake --build "$2" >>"$scratch/log"
}
expect() { # CODE WORDS COMMAND...: the exit code, and one line on stderr that holds the words
  local code=$1 words=$2 status=0
  shift 2
  "$@" >"$scratch/out" 2>"$scratch/err" || status=$?
  [[ $status == "$code" && $(wc -l <"$scratch/err") == 1 ]] && grep -qF "$words" "$scratch/err" || {
    echo "exit $status, expected $code with '$words':" "$@"
    cat "$scratch/err"
    exit 1
  }
}

echo "-- a layer from a plug-in trains, and its run directory needs nothing else"
make_project "$source/examples/plugin" "$scratch/gated"
config=$source/examples/plugin/gated.toml
use=(--set "plugins=[\"$scratch/gated/gated.so\"]")
"$qkv" check "$config" "${use[@]}"
"$qkv" train "$config" "${use[@]}" --set train.max_epochs=1 --set run.out_dir="$scratch" --set run.name=run
mv "$scratch/run" "$scratch/moved"
mv "$scratch/gated/gated.so" "$scratch/mine.so"
"$qkv" predict "$scratch/moved" "We sat by the river bank." | grep 'bank = '
"$qkv" eval "$scratch/moved" --json | grep accuracy
"$qkv" resume "$scratch/moved"
"$qkv" --plugin "$scratch/mine.so" list layers | grep -E 'gated-mlp .* mine.so'
"$qkv" list layers --plugin "$scratch/mine.so" --plugin "$scratch/mine.so" >/dev/null # twice is once
expect 2 "No such file or directory" "$qkv" check "$config"

echo "-- faulty ones are refused, each with its reason"
make_project "$source/tests/install/faulty" "$scratch/faulty"
bad() { "$qkv" --plugin "$scratch/faulty/$1.so" list; }
expect 2 "must load; got the missing symbol mine::left_out(int)" bad missing_symbol
expect 2 "name 'block' must be unique; got it twice" bad taken_name
expect 2 "must register something; got no QKV_REGISTER line" bad empty
expect 2 "got 'qkv 0.0.9, g++ 12, AVX2' (build it again)" bad other_version
expect 2 "got a file without its stamp (build it with qkv_add_plugin)" bad no_stamp
expect 2 "'throws' of throws.so threw 'no licence file'" "$qkv" check "$config" \
  --set "plugins=[\"$scratch/faulty/throws.so\"]" --set 'model.layers=[{type="throws"}]'
uses_exits=(--set "plugins=[\"$scratch/faulty/exits_later.so\"]" --set 'model.layers=[{type="exits"}]')
expect 2 "'exits' of exits_later.so threw no std::exception" "$qkv" check "$config" "${uses_exits[@]}"
uses_exits=(--set "plugins=[\"$scratch/faulty/exits_later.so\"]" --set 'model.layers=[{type="exits", at_once=false}]')
expect 2 "must not end the process; got exit(0) while one of $scratch/faulty/exits_later.so was used" \
  "$qkv" train "$config" "${uses_exits[@]}" -q --set run.out_dir="$scratch" --set run.name=exits

echo "-- one whose static objects fail is named, and says nothing more"
expect 2 "load_throws.so: must load; got a static object that throws 'no licence'" bad load_throws
expect 2 "load_throws_int.so: must load; got a static object that throws" bad load_throws_int
expect 2 "load_exits.so: must load; got a static object that calls exit(0)" bad load_exits
expect 2 "load_leaves.so: must load; got a static object that calls _exit(0)" bad load_leaves
expect 2 "load_aborts.so: must load; got a static object that crashes (Aborted; licence.cpp:7: no licence)" bad load_aborts
expect 2 "load_crashes.so: must load; got a static object that crashes (Segmentation fault)" bad load_crashes
expect 2 "load_terminates.so: must load; got a static object that calls std::terminate" bad load_terminates
expect 2 "load_exits.so: must load; got a static object that calls exit(0)" "$qkv" check "$config" \
  --set "plugins=[\"$scratch/faulty/load_exits.so\"]"
[[ ! -s $scratch/out ]]
printf 'qkv-plug-in-abi: ' >"$scratch/junk.so"
expect 2 "without its stamp" "$qkv" --plugin "$scratch/junk.so" list
expect 2 "got a directory" "$qkv" --plugin "$scratch" list
expect 2 "plugins[0] must be a string; got 1" "$qkv" config show "$config" --set "plugins=[1]"

echo "-- static objects may multiply matrices, with the kernels of this CPU"
multiplies() { timeout 30 "$qkv" --plugin "$scratch/faulty/multiplies.so" list layers; }
multiplies >"$scratch/out"
grep -q '^product 75, kernels ' "$scratch/out" && grep -q 'doubled .* multiplies.so' "$scratch/out"
fake=$(find "$build" -name fake_openblas.so | head -n 1)
if [[ $fake ]]; then
  env -u OPENBLAS_CORETYPE LD_PRELOAD="$fake" "$qkv" --plugin "$scratch/faulty/multiplies.so" list >"$scratch/out"
  grep -q '^product 75, kernels ' "$scratch/out" && ! grep -q "kernels Prescott" "$scratch/out"
  OPENBLAS_CORETYPE=Prescott multiplies >"$scratch/out"
  grep -q "kernels Prescott" "$scratch/out"
fi
