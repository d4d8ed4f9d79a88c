# Sourced by ./qkv and tests/run: Debian packages, configuration and build. Expects $root, the checkout.

say() { printf 'qkv: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# What -march=native depends on.
cpu() { grep -m2 -E '^(model name|flags|CPU part|Features)' /proc/cpuinfo 2>/dev/null || true; }

# install_packages [PACKAGE...]: installs what cmake/packages.txt names, and these, where this machine lacks them.
install_packages() {
  command -v dpkg-query >/dev/null || return 0  # not Debian: CMake names what is missing
  local wanted installed package missing='' sudo='' log
  wanted="$(sed 's/#.*//' "$root/cmake/packages.txt") $*"
  installed=$(dpkg-query -W -f '/${Package}/${db:Status-Status}\n' $wanted 2>/dev/null || true)
  for package in $wanted; do
    [[ $installed == */$package/installed* ]] || missing+=" $package"
  done
  [[ $missing ]] || return 0

  local command="apt-get update && apt-get install --no-install-recommends$missing"
  if [[ $(id -u) != 0 ]]; then
    command -v sudo >/dev/null ||
      die "Debian packages are missing and there is no sudo to install them; as root, run: $command"
    sudo=sudo
  fi
  say "installing Debian packages:$missing"
  log=$(mktemp)
  local apt="$sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 -o Acquire::http::Timeout=30"
  { $apt update; $apt install -y --no-install-recommends $missing; } </dev/null >"$log" 2>&1 || {
    grep -E '^(E:|sudo:)' "$log" | tail -n 5 >&2
    die "the packages were not installed (log: $log); if this machine is offline, connect it or, as root, run: $command"
  }
  rm -f "$log" "$root"/build*/build.ninja  # CMake looks again for what it did without
}

# build FOLDER TARGET [CMAKE OPTION...]: brings a target up to date; one process at a time, all output to stderr.
build() (
  folder=$1 target=$2
  shift 2
  mkdir -p "$folder"
  exec 9<"$folder" </dev/null >&2
  flock -n 9 || { say "waiting for another build in $folder"; flock 9; }
  cd "$folder"

  # A build folder is good for one place, one generator and one CPU. ccache does not look behind -march=native either.
  cpu >.cpu.now
  if [[ -e CMakeCache.txt ]] && ! {
    grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" CMakeCache.txt &&
      grep -qxF "CMAKE_GENERATOR:INTERNAL=Ninja" CMakeCache.txt && cmp -s .cpu.now .cpu
  }; then
    say "$folder was made for another place or CPU: starting afresh"
    find . -mindepth 1 ! -name .cpu.now -delete
  fi
  mv .cpu.now .cpu
  export CCACHE_NAMESPACE="qkv $(cksum <.cpu)"

  rm -f .state
  if [[ -e build.ninja ]]; then
    say "building $target"
  else
    say "building $target (first time: a few minutes)"
    # No QKV_WERROR: false warnings vary with the CPU, and no user should be stopped by one.
    cmake -S "$root" -B . -G Ninja -DCMAKE_BUILD_TYPE=Release -DQKV_WERROR=OFF "$@" >configure.log 2>&1 || {
      cat configure.log
      exit 1
    }
  fi
  # As many jobs as there are CPUs and gigabytes; the progress line only on a terminal.
  memory=$(awk '/^MemAvailable/ { print int($2 / 1e6) + 1 }' /proc/meminfo 2>/dev/null) || true
  jobs=$(nproc)
  ((jobs <= ${memory:=$jobs})) || jobs=$memory
  quiet=--quiet
  [[ ! -t 2 ]] || quiet=
  ninja $quiet -j "$jobs" "$target"
)
