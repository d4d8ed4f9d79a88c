#!/usr/bin/env bash
# What ten sentences with drawn attention (configs/data/bank/arrows.jsonl) do to the bank model, five seeds each: how far the
# wish spreads to sentences that nobody drew on, whether the answers change, and how faithful the map is.
#   drawn_attention.sh SOURCE_DIR QKV_BINARY SCRATCH_DIR
set -eu
source=$1 qkv=$2 scratch=$3
rm -rf "$scratch" && mkdir -p "$scratch" && cd "$scratch"
ln -s "$source/configs" configs
bank=configs/data/bank

# The words beside "bank" in the test sentences that are split at spaces and final points alone.
awk -F '\t' '$2 ~ /^[A-Za-z[\] ]*[.]$/ {
  n = split(substr($2, 1, length($2) - 1), word, " ")
  for (t = 1; t <= n; t++) if (word[t] ~ /\[/) at = t - 1
  printf "{\"text\": \"%s\", \"arrows\": [%s[%d, %d]]}\n", $2, at ? "[" at ", " at - 1 "], " : "", at, at + 1
}' "$bank/test.tsv" >others.jsonl
[ "$(wc -l <others.jsonl)" -gt 100 ]

field() { grep -o "\"$1\":[-0-9.e]*" | head -n 1 | cut -d : -f 2; } # field KEY: its first number
shares() { # shares RUN FILE LAYER: the mean over the heads of a layer
  "$qkv" inspect "$1" arrows "$2" --json | grep -o "\"$3\",\"head\":[0-9]*,\"share\":[0-9.e-]*" |
    awk -F : '{n++; sum += $NF} END {print sum / n}'
}
scores() { # scores RUNS: a line of numbers for each seed
  for run in runs/"$1"/seed-*; do
    echo "$("$qkv" eval "$run" --split test --json | field accuracy)" \
      "$("$qkv" eval "$run" --data "$bank/order.tsv" --groups 2 --json | field group_accuracy)" \
      "$(shares "$run" "$bank/arrows.jsonl" layers.0.attn)" \
      "$(shares "$run" others.jsonl layers.0.attn)" "$(shares "$run" others.jsonl layers.1.attn)" \
      "$("$qkv" inspect "$run" faithful --examples 40 --json | sed 's/"examples".*//' | field agreement_with_ablation)"
  done | tee -a /dev/stderr | awk '{for (i = 1; i <= NF; i++) sum[i] += $i} END {for (i = 1; i <= NF; i++) printf "%.4f ", sum[i] / NR; print ""}'
}
"$qkv" train configs/bank.toml -q --seeds 5
"$qkv" train configs/bank.toml -q --seeds 5 --set run.name=drawn --set train.attention_loss.file="$bank/arrows.jsonl" \
  --set train.attention_loss.weight=1 --set 'train.attention_loss.heads=["*"]'
read -ra before <<<"$(scores bank-5seeds)"
read -ra after <<<"$(scores drawn-5seeds)"
what=("accuracy on the test split" "order twins right" "along the arrows, drawn sentences, first layer"
  "the same, other sentences" "the same, second layer" "attention agrees with ablation")
for i in "${!what[@]}"; do echo "${what[$i]}: ${before[$i]} without arrows, ${after[$i]} with"; done
awk -v before="${before[*]}" -v after="${after[*]}" 'BEGIN {
  split(before, b, " "); split(after, a, " ")
  exit !(a[1] >= b[1] - 0.005 && a[3] >= 0.9 && a[4] >= 0.8 && a[4] >= b[4] + 0.2 && a[5] >= b[5] + 0.1) }'
