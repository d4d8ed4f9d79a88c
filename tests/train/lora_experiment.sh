#!/usr/bin/env bash
# The experiments of docs/lora.md: adapters with a tenth of the parameters reach what training all of them reaches, within
# one standard deviation of five seeds.
#   lora_experiment.sh SOURCE_DIR QKV_BINARY SCRATCH_DIR
set -eu
source=$1 qkv=$2 scratch=$3
rm -rf "$scratch" && mkdir -p "$scratch/three" && cd "$scratch"
ln -s "$source/configs" configs
all=(--set train.lora.rank=0 --set 'train.lora.targets=[]')

value() { # value RUNS METRIC mean|sd
  awk -v metric="\"$2\":" -v key="\"$3\":" '$1 == metric {on = 1} on && $1 == key {print $2 + 0; exit}' "runs/$1/summary.json"
}
trained() { # trained CONFIG ARGS: the number of trained parameters
  "$qkv" check "configs/$1.toml" --json "${@:2}" | sed 's/.*"trained_parameters":\([0-9]*\).*/\1/'
}
compare() { # compare CONFIG FULL_NAME METRIC
  local full lora
  full=$(trained "$1" "${all[@]}") lora=$(trained "$1")
  awk -v what="$1 $3" -v full="$full" -v lora="$lora" -v a="$(value "$1-5seeds" "$3" mean)" -v s="$(value "$1-5seeds" "$3" sd)" \
    -v b="$(value "$2-5seeds" "$3" mean)" -v t="$(value "$2-5seeds" "$3" sd)" 'BEGIN {
      printf "%s: %d of %d parameters %.4f (sd %.4f), all %.4f (sd %.4f)\n", what, lora, full, a, s, b, t
      exit !(lora <= full / 10 && b > 0.5 && a >= b - t) }'
}

for s in train val test; do grep -E '^(money|river|store)' configs/data/bank/$s.tsv >three/$s.tsv; done
"$qkv" train configs/bank.toml -q --set run.name=three --set data.train=three/train.tsv --set data.val=three/val.tsv \
  --set data.test=three/test.tsv --set train.max_epochs=5
"$qkv" train configs/bank-lora.toml -q --seeds 5
"$qkv" train configs/bank-lora.toml -q --seeds 5 --set run.name=bank-full --set optimizer.lr=2e-3 "${all[@]}"
compare bank-lora bank-full accuracy

cat configs/data/stories.txt configs/data/translate-toy/train.tsv >both.txt
"$qkv" train configs/gpt.toml -q --set run.name=tokens --set tokenizer.type=bpe --set tokenizer.vocab_size=1024 \
  --set data.train=both.txt --set train.max_steps=0
"$qkv" train configs/gpt.toml -q
"$qkv" train configs/gpt-translate.toml -q --seeds 5
"$qkv" train configs/gpt-translate.toml -q --seeds 5 --set run.name=gpt-full --set optimizer.lr=3e-3 "${all[@]}"
compare gpt-translate gpt-full exact_match
