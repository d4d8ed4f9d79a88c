#!/usr/bin/env bash
# The two experiments of docs/lora.md, from the first base run to the table: adapters with a tenth of the trained
# parameters reach what training all of them reaches, within one standard deviation of its five seeds.
#   lora_experiment.sh SOURCE_DIR QKV_BINARY SCRATCH_DIR
set -eu
source=$1 qkv=$2 scratch=$3
rm -rf "$scratch" && mkdir -p "$scratch/three" && cd "$scratch"
ln -s "$source/configs" configs
all=(--set train.lora.rank=0 --set 'train.lora.targets=[]')

value() { # value RUNS METRIC mean|sd: over the seeds, on the test split
  awk -v metric="\"$2\":" -v key="\"$3\":" '$1 == metric {on = 1} on && $1 == key {print $2 + 0; exit}' "runs/$1/summary.json"
}
validation() { # validation RUNS METRIC: the mean; the validation split comes first in each file
  awk -v key="\"$2\":" 'FNR == 1 {met = 0} $1 == key && !met {met = 1; n++; sum += $2} END {print sum / n}' runs/"$1"/seed-*/result.json
}
trained() { # trained CONFIG ARGS: the number of trained parameters
  "$qkv" check "configs/$1.toml" --json "${@:2}" | sed 's/.*"trained_parameters":\([0-9]*\).*/\1/'
}
compare() { # compare CONFIG FULL_NAME FULL_RATE METRIC
  "$qkv" train "configs/$1.toml" -q --seeds 5 --set run.seed=2001
  "$qkv" train "configs/$1.toml" -q --seeds 5 --set run.seed=2001 --set run.name="$2" --set optimizer.lr="$3" "${all[@]}"
  local lora=$1-5seeds full=$2-5seeds
  awk -v what="$1 $4" -v few="$(trained "$1")" -v many="$(trained "$1" "${all[@]}")" \
    -v a="$(value "$lora" "$4" mean)" -v s="$(value "$lora" "$4" sd)" -v u="$(validation "$lora" "$4")" \
    -v b="$(value "$full" "$4" mean)" -v t="$(value "$full" "$4" sd)" -v v="$(validation "$full" "$4")" 'BEGIN {
      form = "%s, %d parameters: validation %.3f, test %.3f (sd %.3f)\n"
      printf form form, what " adapters", few, u, a, s, what " all", many, v, b, t
      exit !(few <= many / 10 && b > 0.9 && a >= b - t) }'
}

for s in train val test; do grep -E '^(money|river|store)' configs/data/bank/$s.tsv >three/$s.tsv; done
"$qkv" train configs/bank.toml -q --set run.name=three --set data.train=three/train.tsv --set data.val=three/val.tsv \
  --set data.test=three/test.tsv --set train.max_epochs=5
compare bank-lora bank-full 1e-3 accuracy

cat configs/data/stories.txt configs/data/translate-toy/train.tsv >both.txt
"$qkv" train configs/gpt.toml -q --set run.name=tokens --set tokenizer.type=bpe --set tokenizer.vocab_size=1024 \
  --set data.train=both.txt --set train.max_steps=0
"$qkv" train configs/gpt.toml -q
compare gpt-translate gpt-full 8e-4 exact_match
