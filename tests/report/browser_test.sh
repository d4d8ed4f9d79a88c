#!/usr/bin/env bash
# Opens reports in a browser: no error, no request, and the page says what the program says.
#   browser_test.sh SOURCE_DIR QKV_BINARY SCRATCH_DIR
# Needs node and npm (playwright-core is fetched into the scratch folder) and Debian's chromium; exits with 77 where
# there is no browser.
set -euo pipefail
source=$1 qkv=$2 scratch=$3
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$browser" ] && [ "$(id -u)" = 0 ]; then
  (apt-get update && apt-get install -y --no-install-recommends chromium) >/dev/null 2>&1 || true
  browser=$(command -v chromium || true)
fi
[ -n "$browser" ] || { echo "skipped: there is no chromium (apt-get install chromium)" && exit 77; }
command -v node >/dev/null && command -v npm >/dev/null ||
  { echo "skipped: there is no node or npm (apt-get install nodejs npm)" && exit 77; }

mkdir -p "$scratch" && cd "$scratch"
if [ ! -d node_modules/playwright-core ]; then
  echo '{"private": true}' >package.json
  npm install --no-audit --no-fund --silent playwright-core@1.49.1
fi
rm -rf runs
set=(--set "run.out_dir=$scratch/runs")
"$qkv" -q train "$source/configs/bank.toml" "${set[@]}"
"$qkv" -q train "$source/configs/bank-static.toml" "${set[@]}" --set train.max_epochs=2
"$qkv" -q train "$source/configs/stories.toml" "${set[@]}" --set train.max_steps=120 --set eval.every=60
small=(--set model.d_model=48 --set model.attention.n_head=4 --set train.max_epochs=1)
"$qkv" -q train "$source/configs/bank.toml" "${set[@]}" "${small[@]}" --set run.name=post --set model.n_layer=1 \
  --set 'model.norm={type="rmsnorm",place="post"}' --set 'model.ffn.activation="swiglu"' \
  --set 'model.readout="target+mean"' --set 'model.position.type="sinusoidal"' --set model.attention.n_kv_head=2
"$qkv" -q train "$source/configs/bank.toml" "${set[@]}" "${small[@]}" --set run.name=short --set data.window=4 \
  --set model.max_seq_len=6 --set 'model.position.origin="start"' --set 'model.ffn.activation="silu"' \
  --set 'model.embedding="learned"' --set model.attention.bias=false --set 'model.readout="mean"'
"$qkv" report runs/bank-static runs/bank -o runs/two.html
"$qkv" report runs/bank runs/bank-static -o runs/pictures.html --svg runs/pictures
"$qkv" report runs/stories
awk -F'\t' '!/^#/ && NF == 2 && n < 200 { print $2; n++ }' "$source/configs/data/bank/test.tsv" >sentences.txt
for run in bank post short; do
  "$qkv" report "runs/$run"
  "$qkv" predict "runs/$run" --json <sentences.txt >"runs/$run.jsonl"
done
"$source/tests/report/answers_test.sh" "$source" "$qkv" "" "$scratch/kinds"
for texts in kinds/*.texts; do
  name=$(basename "$texts" .texts)
  "$qkv" report "kinds/runs/$name" -o "kinds/$name.html"
done
cp "$source"/tests/report/*_test.mjs "$source"/tests/report/page_model.mjs .
node browser_test.mjs "$browser" "$scratch"
exec node looks_test.mjs "$browser" "$scratch"
