#!/usr/bin/env bash
# Opens the live page in a browser: table, comparison, growth, stop and continuation, and names that would be scripts.
#   browser_test.sh SOURCE_DIR QKV_BINARY SCRATCH_DIR
set -euo pipefail
source=$1 qkv=$2 scratch=$3
source "$source/tests/browser.sh"
rm -rf runs many kinds
printf 'extends = ["%s/configs/bank-bow.toml"]\n' "$source" >bow.toml
train=("$qkv" -q train bow.toml --set train.max_epochs=1)
"${train[@]}" --set run.name=bow
"${train[@]}" --set run.name=other --set optimizer.lr=8e-3
"${train[@]}" --set run.name=group --seeds 3 >/dev/null
"${train[@]}" --set run.name=named
"$qkv" -q train "$source/configs/bank.toml" --set run.name=seen --set train.max_steps=20 --set model.d_model=32 \
  --set data.ngram_buckets=0 --set model.embedding=learned --set schedule.warmup_steps=1 --set eval.levels=false
mv runs/named 'runs/<img src=x onerror=window.hacked=1>'
echo '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><title>x</title><script>window.hacked=1</script></svg>' >runs/sweep.svg
for task in adder translate-toy masked-words summarize stories; do
  "$qkv" -q train "$source/configs/$task.toml" --set run.out_dir=kinds --set train.max_steps=3 --set schedule.warmup_steps=1 \
    --set eval.test=false --set eval.levels=false
done
cp -r runs/bow kinds/bow
cp "$source/tests/serve/browser_test.mjs" .
exec node browser_test.mjs "$browser" "$scratch" "$qkv"
