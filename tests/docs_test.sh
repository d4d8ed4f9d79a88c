#!/usr/bin/env bash
# Runs every command of the ```sh blocks in README.md and docs/*.md, from a folder that looks like a checkout. A command
# that must fail says so in a comment: `# exit code 2: reason`. The pictures of docs/images are made by these commands.
#   docs_test.sh SOURCE_DIR QKV_BINARY SCRATCH_DIR
set -eu
source=$1 binary=$2 scratch=$3
rm -rf "$scratch" && mkdir -p "$scratch"
for entry in configs examples docs README.md; do ln -s "$source/$entry" "$scratch/$entry"; done
printf '#!/bin/sh\nexec "%s" "$@"\n' "$binary" >"$scratch/qkv" && chmod +x "$scratch/qkv"
cd "$scratch"

passed=0 failed=0
commands() { # the lines of the sh blocks of a file; a trailing backslash continues a line
  awk '/^```sh$/ {on = 1; next} /^```/ {on = 0} on' "$1" | sed -e ':a' -e '/\\$/N; s/\\\n *//; ta'
}
expected() { # the exit code that a comment behind the command announces, else 0
  local code
  code=$(sed -n 's/.*  # exit code \([0-9]*\).*/\1/p' <<<"$1")
  echo "${code:-0}"
}
for file in README.md docs/*.md; do
  [ -e "$file" ] || continue
  while IFS= read -r command; do
    case $command in
      "" | "#"* | tests/run* | "git clone"* | "cd "*) continue ;; # tests/run is what runs this
    esac
    code=0
    bash -c "$command" >out.txt 2>&1 </dev/null || code=$?
    if [ "$code" -eq "$(expected "$command")" ]; then
      passed=$((passed + 1))
    else
      failed=$((failed + 1))
      echo "FAILED (exit $code) in $file: $command" && tail -n 5 out.txt
    fi
  done < <(commands "$file")
done
# Every picture is one that these commands have made: a file of that name with that title.
title() { sed -n 's/.*<title>\(.*\)<\/title>.*/\1/p' "$1" | head -n 1; }
for picture in docs/images/*; do
  made=$(find . -name "$(basename "$picture")" -not -path './docs/*' | head -n 1)
  [ -n "$made" ] && [ -n "$(title "$picture")" ] && [ "$(title "$made")" = "$(title "$picture")" ] && continue
  failed=$((failed + 1))
  echo "FAILED: no command makes $picture"
done
echo "$passed commands ran, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 5 ]
