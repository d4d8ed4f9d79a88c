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


echo "-- its products use the kernels of this CPU, where OpenBLAS would not"
fake=$(find "$build" -name fake_openblas.so | head -n 1)
if [[ $fake ]]; then
  unset OPENBLAS_CORETYPE
  LD_PRELOAD=$fake "$scratch/found/consumer" | grep -v Prescott | grep "kernels "
  OPENBLAS_CORETYPE=Prescott "$scratch/found/consumer" | grep "kernels Prescott"
fi

echo "-- pkg-config"
pc=$(dirname "$(find "$scratch/prefix" -name qkv.pc)")
flags=$(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs qkv)
c++ "$source/tests/install/consumer/main.cpp" -o "$scratch/consumer" $flags -Wl,-rpath,"$(dirname "$pc")"
"$scratch/consumer"
cat >"$scratch/abstract.cpp" <<'END'
#include <qkv/qkv.h>
struct Half : qkv::Layer {
  qkv::Var forward(const qkv::Var& x, const qkv::Context&) const override { return x; }
  Half(const qkv::Scope&, const qkv::Section&, qkv::Index) {}
};
QKV_REGISTER(qkv::Layer, "half", Half, "it does not say how wide it is");
END
c++ -fsyntax-only "$scratch/abstract.cpp" $flags 2>"$scratch/err" && exit 1
grep -q "must override every pure virtual function of its base" "$scratch/err"
grep -q "out_width" "$scratch/err"

echo "-- examples: they build and pass their tests, and each config is accepted where it lies"
documents=$scratch/prefix/share/doc/qkv built=$scratch/examples
cmake -S "$documents/examples" -B "$built" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/prefix" >>"$scratch/log"
cmake --build "$built" >>"$scratch/log"
ctest --test-dir "$built" --output-on-failure
for config in "$documents"/examples/*/*.toml; do
  case $config in
    */custom_task/*) check=("$built/custom_task") ;;
    */custom_layer/*) check=("$built/custom_layer") ;;
    *) check=("$scratch/prefix/bin/qkv") ;;
  esac
  options=()
  [[ $config != */plugin/* ]] || options=(--set "plugins=[\"$built/plugin/gated.so\"]")
  "${check[@]}" check "$config" ${options[@]+"${options[@]}"} >>"$scratch/log" || { echo "$config is refused"; exit 1; }
done
[[ $(readlink "$documents/configs") == ../../qkv/configs ]]

echo "-- add_subdirectory: neither tests nor install rules reach the user's project"
cmake -S "$source/tests/install/consumer" -B "$scratch/added" -G Ninja -DQKV_SOURCE="$source"
if grep -q qkv_tests "$scratch/added/build.ninja" || grep -q qkvConfig "$scratch/added/qkv/cmake_install.cmake"; then
  exit 1
fi
