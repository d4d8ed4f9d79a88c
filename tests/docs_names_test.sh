#!/usr/bin/env bash
# Checks that the files, headings and functions which the pages name exist, and that no command of a page hides its exit
# code: docs_names_test.sh SOURCE_DIR
set -eu
cd "$1"
pages=(README.md CONTRIBUTING.md docs/*.md examples/README.md)
checked=0 missing=0
check() { # check PAGE NAME COMMAND...: the command must succeed
  local page=$1 name=$2
  shift 2
  checked=$((checked + 1))
  "$@" || { missing=$((missing + 1)) && echo "MISSING in $page: $name"; }
}
headings() { # of a page, as links write them
  sed -n 's/^##* //p' "$1" | tr 'A-Z ' 'a-z-' | tr -dc 'a-z0-9\n-'
}
has_heading() { headings "$1" | grep -xF "$2" >/dev/null; }
hides_nothing() { ! awk '/^```sh$/ {on = 1; next} /^```/ {on = 0} on' "$1" | grep -E '\|\| *true|rm -rf|&&'; }
has_member() { # has_member CLASS MEMBER
  grep -rqE "\b$1::$2\b" src include ||
    grep -rlE "^ *(class|struct) $1\b" src include | xargs -r awk -v class="$1" -v member="$2" '
      $0 ~ "^ *(class|struct) " class "[ :{]" {on = 1} on && $0 ~ "[^A-Za-z_]" member "[(;, ={]" {found = 1} /^};/ {on = 0}
      END {exit !found}'
}

for page in "${pages[@]}"; do
  check "$page" "exit codes of all commands" hides_nothing "$page"
done
while IFS=: read -r page name; do # a path in backticks
  check "$page" "$name" test -e "$name"
done < <(grep -HoE '`(src|include|tests|cmake|configs|examples)/[A-Za-z0-9_./-]*`' "${pages[@]}" | tr -d '`')
while IFS=: read -r page link; do # a link to a file, with or without a heading of it
  target=$(dirname "$page")/${link%%#*}
  [ "${link%%#*}" ] || target=$page
  check "$page" "$link" test -e "$target"
  [[ $link != *"#"* ]] || check "$page" "$link" has_heading "$target" "${link#*#}"
done < <(grep -HoE '\]\([^): ]+\)' "${pages[@]}" | sed -e 's/](//; s/)$//')
while IFS=: read -r page name; do # `Class::member`: defined so, or declared in that class
  check "$page" "$name" has_member "${name%%::*}" "${name##*::}"
done < <(grep -HoE '`[A-Z][A-Za-z]*::[a-z_]+`' "${pages[@]}" | tr -d '`')
while IFS=: read -r page name; do # a public header
  check "$page" "$name" test -e "include/$name"
done < <(grep -HoE '`qkv/[a-z0-9_/]*\.h`' "${pages[@]}" | tr -d '`')
while IFS='|' read -r _ _ names file _; do # the table "Where is it?": each function stands in its file
  file=$(tr -d '` ' <<<"$file")
  for name in $(tr -d '`,' <<<"$names"); do
    check docs/map.md "$name in $file" grep -qwF "${name##*::}" "$file"
  done
done < <(sed -n '/^## Where is it/,/^\*\*/p' docs/map.md | grep -E '\| `(src|include)/')

echo "$checked names checked, $missing missing"
[ "$missing" -eq 0 ] && [ "$checked" -gt 60 ]
