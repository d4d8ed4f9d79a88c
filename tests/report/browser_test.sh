#!/usr/bin/env bash
# Opens reports in a browser: no error, no request, and the page says what the program says.
#   browser_test.sh SOURCE_DIR QKV_BINARY SCRATCH_DIR
set -euo pipefail
source=$1 qkv=$2 scratch=$3
source "$source/tests/browser.sh"
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
"$qkv" -q fork runs/short --at 90 --ablate 0.1 --seeds 1 --ask "We sat by the river bank." >/dev/null
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
