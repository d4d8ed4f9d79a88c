#!/usr/bin/env bash
# ./qkv on a tiny project in a scratch folder: launcher_test.sh CHECKOUT SCRATCH
set -euo pipefail
checkout=$1 scratch=$2
rm -rf "$scratch"
project="$scratch/a project"
mkdir -p "$project"/{cmake,src,include} "$scratch"/{elsewhere,bin}
cp "$checkout/qkv" "$project/"
cp "$checkout"/cmake/{setup.sh,packages.txt} "$project/cmake/"
cat >"$project/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.20)
project(tiny CXX)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
file(GLOB sources CONFIGURE_DEPENDS src/*.cpp)
add_executable(qkv ${sources})
END
cat >"$project/src/main.cpp" <<'END'
#include <cstdio>
#include <cstdlib>
#include <unistd.h>
int main(int argc, char** argv) {
  std::printf("%s|%s", getcwd(nullptr, 0), argc > 2 ? argv[2] : "");
  return argc > 1 ? std::atoi(argv[1]) : 0;
}
END

# run COMMAND...: leaves standard output in $out, standard error in $err, the exit code in $code.
run() {
  code=0
  out=$("$@" 2>"$scratch/err") || code=$?
  err=$(<"$scratch/err")
}
# expect SENTENCE TEXT PATTERN
expect() {
  [[ $2 == $3 ]] || { printf 'FAILED: %s\n  expected: %s\n  got: %s\n' "$1" "$3" "$2"; exit 1; }
  printf 'ok: %s\n' "$1"
}
cd "$scratch/elsewhere"
here=$(pwd -P)

run "$project/qkv" 7 "two words"
expect "the first call builds and says so" "$err" "qkv: building qkv (first time*"
expect "the exit code is the program's" "$code" 7
expect "arguments and working directory are the caller's, standard output only the program's" "$out" "$here|two words"
run "$project/qkv"
expect "the second call only runs the program" "$code/$out/$err" "0/$here|/"
ln -s "$project/qkv" "$scratch/link"
run "$scratch/link" 3
expect "a symbolic link works" "$code/$out/$err" "3/$here|/"

touch "$project/src/main.cpp"
run "$project/qkv"
expect "a touched source is built" "$code/$err" "0/qkv: building qkv*"
echo 'int extra;' >"$project/src/extra.cpp"
run "$project/qkv"
expect "an added source is built" "$code/$err" "0/qkv: building qkv*"
rm "$project/src/extra.cpp"
run "$project/qkv"
expect "a deleted source is seen" "$code/$err" "0/qkv: building qkv*"
echo 'broken' >"$project/src/extra.cpp"
run "$project/qkv"
expect "a compiler error is shown on standard error and nothing runs" "$code/$out/$err" "1//*extra.cpp:1:*error*"
run "$project/qkv"
expect "a failed build is tried again" "$code/$out" "1/"
rm "$project/src/extra.cpp"
rm "$project/build/CMakeCache.txt" "$project/build/build.ninja"
run "$project/qkv"
expect "an interrupted configuration is made again" "$code/$out" "0/$here|"

echo "another CPU" >"$project/build/.cpu"
rm "$project/build/.state"
run "$project/qkv"
expect "another CPU makes the build folder anew" "$code/$err" "0/*starting afresh*first time*"
mv "$project" "$scratch/moved"
project=$scratch/moved
run "$project/qkv"
expect "another place makes the build folder anew" "$code/$err" "0/*starting afresh*first time*"
rm -r "$project/build"
"$project/qkv" 5 2>/dev/null >"$scratch/other" &
run "$project/qkv" 4
wait $! && other=0 || other=$?
expect "calls at the same time wait for each other" "$code $other" "4 5"

# ---- missing packages: a system with few tools, a package database without doctest-dev, and no network
for tool in bash env dirname readlink grep find cat sed mktemp tail rm; do
  ln -s "$(command -v $tool)" "$scratch/bin/"
done
printf '#!/bin/sh\nsed "s/#.*//; s/ *$//; /^$/d; /doctest/d; s|.*|/&/installed|" "%s"\n' \
  "$project/cmake/packages.txt" >"$scratch/bin/dpkg-query"
printf '#!/bin/sh\necho 1000\n' >"$scratch/bin/id"
printf '#!/bin/sh\nexec "$@"\n' >"$scratch/sudo"
printf '#!/bin/sh\necho "E: no network"\nexit 100\n' >"$scratch/bin/apt-get"
chmod +x "$scratch/sudo" "$scratch"/bin/{dpkg-query,id,apt-get}
rm -r "$project/build"
run env PATH="$scratch/bin" "$project/qkv"
expect "without sudo the message has the command" "$code/$out/$err" \
  "1//*no sudo*apt-get install --no-install-recommends doctest-dev"
mv "$scratch/sudo" "$scratch/bin/"
run env PATH="$scratch/bin" TMPDIR="$scratch" "$project/qkv"
expect "offline the message has apt's reason and the command" "$code/$out/$err" \
  "1//*installing Debian packages: doctest-dev*E: no network*offline*install --no-install-recommends doctest-dev"
