#!/usr/bin/env bash
# The Debian package installs and runs in a root of its own: deb.sh BUILD SCRATCH. Skipped (77) without the right to make
# one or without a mirror.
set -euo pipefail
build=$1 scratch=$2
rm -rf "$scratch"
mkdir -p "$scratch"

echo "-- cpack"
(cd "$build" && cpack -G DEB -B "$scratch" >"$scratch/log") || { cat "$scratch/log"; exit 1; }
package=$(echo "$scratch"/*.deb)
dpkg-deb --info "$package"
dpkg-deb --contents "$package" >"$scratch/contents"
for file in bin/qkv share/man/man1/qkv.1 share/bash-completion/completions/qkv share/qkv/configs/bank.toml \
  share/doc/qkv/README.md share/doc/qkv/docs/extending.md share/doc/qkv/copyright share/doc/qkv/configs; do
  grep -q " ./usr/$file" "$scratch/contents" || { echo "$file is missing"; exit 1; }
done

[[ $(id -u) == 0 ]] && command -v debootstrap >/dev/null || { echo "skipped: no debootstrap, or not root"; exit 77; }
root=$scratch/root
trap 'rm -rf --one-file-system "$root"' EXIT
mirror=$(sed -nE 's/^(deb|URIs:) +(\[[^]]*\] +)?([^ ]+).*/\3/p' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1 || true)
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
echo "-- a clean root of $suite"
debootstrap --variant=minbase "$suite" "$root" ${mirror:+"$mirror"} >"$scratch/log" 2>&1 || { tail -n 3 "$scratch/log"; exit 77; }
cp "$package" "$root/qkv.deb"
inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive "$@"; }
for file in /etc/resolv.conf /etc/hosts; do [[ ! -e $file ]] || cp "$file" "$root$file"; done
[[ ! -d /etc/apt/apt.conf.d ]] || cp -r /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/"
inside apt-get update >"$scratch/log" 2>&1 || { tail -n 3 "$scratch/log"; exit 77; }
inside apt-get install -y --no-install-recommends ./qkv.deb >"$scratch/log" 2>&1 || { tail "$scratch/log"; exit 1; }

echo "-- it runs"
inside qkv --version
inside qkv train /usr/share/qkv/configs/bank.toml --set train.max_epochs=1 --set run.threads=1
inside qkv predict runs/bank "We sat by the river bank." | grep 'bank = '
inside qkv verify runs/bank
inside dpkg -r qkv >/dev/null
[[ ! -e $root/usr/bin/qkv && ! -e $root/usr/share/qkv ]]
