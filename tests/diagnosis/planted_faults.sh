#!/usr/bin/env bash
# Plants faults into short trainings, asks `qkv why` for the cause, and prints a table; then healthy runs, of which none
# should have a cause. Fails unless the right cause is among the first two of 90 % of the faults, and unless at most one
# healthy run has any.
#   planted_faults.sh SOURCE_DIR QKV_BINARY SCRATCH_DIR [PATTERN]
# KEEP=1 keeps the trainings of an earlier call, so that only the rules are tried again; PATTERN picks names of runs.
set -eu
source=$1 qkv=$2 scratch=$3 pattern=${4:-.}
[ -n "${KEEP:-}" ] || rm -rf "$scratch"
mkdir -p "$scratch/data" && cd "$scratch"
configs=$source/configs data=$scratch/data
export OPENBLAS_NUM_THREADS=1

# ---- data: every file follows from its seed

# senses N SEED CLASSES [FILLERS]: sentences around [plant]; one cue word of three decides on the class
senses() {
  awk -v n="$1" -v s="$2" -v k="$3" -v fillers="${4:-60}" 'function r(m) {s = s * 16807 % 2147483647; return s % m}
    BEGIN {for (i = 0; i < n; i++) {c = i % k; at = r(4); line = ""
      for (w = 0; w < 8; w++) line = line (w == 4 ? " [plant]" : w == at ? " cue" c "x" r(3) : " f" r(fillers))
      print "class" c "\t" substr(line, 2)}}'
}
# ordered N SEED: whether "left" stands before "right" decides
ordered() {
  awk -v n="$1" -v s="$2" 'function r(m) {s = s * 16807 % 2147483647; return s % m}
    BEGIN {for (i = 0; i < n; i++) {c = i % 2; a = r(3); b = 5 + r(3); line = ""
      for (w = 0; w < 8; w++)
        line = line (w == 4 ? " [plant]" : w == a ? (c ? " left" : " right") : w == b ? (c ? " right" : " left") : " f" r(40))
      print (c ? "yes" : "no") "\t" substr(line, 2)}}'
}
# shuffle_labels SEED SHARE: the label of that share of the lines becomes that of a random line
shuffle_labels() {
  awk -F '\t' -v s="$1" -v share="$2" 'function r(m) {s = s * 16807 % 2147483647; return s % m}
    {label[NR] = $1; text[NR] = $2}
    END {for (i = 1; i <= NR; i++) print (r(1000) < 1000 * share ? label[1 + r(NR)] : label[i]) "\t" text[i]}'
}
# shuffle_targets SEED SHARE: the same for the targets of pairs
shuffle_targets() {
  awk -F '\t' -v s="$1" -v share="$2" 'function r(m) {s = s * 16807 % 2147483647; return s % m}
    {from[NR] = $1; to[NR] = $2}
    END {for (i = 1; i <= NR; i++) print from[i] "\t" (r(1000) < 1000 * share ? to[1 + r(NR)] : to[i])}'
}
# The classes of `senses` in words that training has not.
foreign() { sed -e 's/ f\([0-9]\)/ g\1/g' -e 's/\tf\([0-9]\)/\tg\1/' "$1"; }

if [ ! -e "$data/made" ]; then
  bank=$configs/data/bank toy=$configs/data/translate-toy
  senses 900 11 3 >"$data/senses.tsv" && senses 240 12 3 >"$data/senses-val.tsv"
  ordered 900 13 >"$data/ordered.tsv" && ordered 240 14 >"$data/ordered-val.tsv"
  shuffle_labels 15 1 <"$data/senses.tsv" >"$data/senses-shuffled.tsv"
  shuffle_labels 16 0.2 <"$data/senses.tsv" >"$data/senses-noisy.tsv"
  shuffle_labels 17 1 <"$bank/train.tsv" >"$data/bank-shuffled.tsv"
  shuffle_labels 18 0.2 <"$bank/train.tsv" >"$data/bank-noisy.tsv"
  shuffle_targets 19 1 <"$toy/train.tsv" >"$data/toy-shuffled.tsv"
  shuffle_targets 20 0.2 <"$toy/train.tsv" >"$data/toy-noisy.tsv"
  shuffle_targets 21 1 <"$configs/data/summarize/train.tsv" >"$data/summarize-shuffled.tsv"
  head -n 60 "$bank/train.tsv" >"$data/bank-60.tsv" && head -n 60 "$toy/train.tsv" >"$data/toy-60.tsv"
  head -n 45 "$data/senses.tsv" >"$data/senses-45.tsv"
  head -c 2500 "$configs/data/stories.txt" >"$data/stories-2500.txt" && tail -c 6000 "$configs/data/stories.txt" >"$data/stories-end.txt"
  senses 60 22 60 400 >"$data/one-each.tsv" && senses 60 23 60 400 >"$data/one-each-val.tsv"
  { senses 600 24 3; senses 40 25 40 | sed 's/^class/rare/; s/cue/odd/'; } >"$data/some-rare.tsv"
  foreign "$data/senses-val.tsv" >"$data/senses-foreign.tsv"
  awk -F '\t' '{print $2 "\t" $1}' "$toy/val.tsv" >"$data/toy-swapped.tsv"
  sed 's/cue\([0-9]\)x[0-9]/cue\1x0/' "$data/senses-val.tsv" | awk -F '\t' -v s=3 '{print "class" (NR % 3) "\t" "the old man went to the [plant] near cue" (NR % 3) "x1"}' >"$data/senses-other.tsv"
  { sed 's/^class0/money/; s/^class1/river/; s/^class2/mass/; s/\[plant\]/[bank]/' "$data/senses-val.tsv"; } >"$data/bank-other.tsv"
  head -n 300 "$configs/data/words.txt" >"$data/words-300.txt"
  touch "$data/made"
fi

# ---- bases: short trainings that learn what they should

cat >"$scratch/senses.toml" <<END
schema = 1
[data]
train = "$data/senses.tsv"
val = "$data/senses-val.tsv"
batch_size = 32
[task]
type = "wsd"
[tokenizer]
type = "word"
[model]
type = "encoder-classifier"
n_layer = 2
d_model = 32
max_seq_len = 12
dropout = 0.1
[model.attention]
n_head = 2
[model.ffn]
d_ff = 64
[optimizer]
lr = 3e-3
[schedule]
type = "cosine"
warmup_steps = 20
[train]
max_steps = 250
[eval]
every = 25
END
cat >"$scratch/lstm.toml" <<END
extends = ["$configs/stories.toml"]
unset = ["model.tie_embeddings", "model.attention", "model.position", "model.ffn", "model.norm"]
[model]
type = "lstm"
n_layer = 1
d_model = 64
max_seq_len = 64
dropout = 0.1
[train]
max_steps = 300
[eval]
every = 50
[optimizer]
lr = 5e-3
END
base() { # the config of a base and what makes it short
  case $1 in
    bank) echo "$configs/bank.toml --set model.d_model=64 --set model.ffn.d_ff=128 --set train.max_steps=300 --set eval.every=50" ;;
    senses) echo "$scratch/senses.toml" ;;
    ordered) echo "$scratch/senses.toml --set data.train=\"$data/ordered.tsv\" --set data.val=\"$data/ordered-val.tsv\"" ;;
    stories) echo "$configs/stories.toml --set model.d_model=64 --set model.n_layer=2 --set model.ffn.d_ff=128 --set train.max_steps=300 --set eval.every=50 --set schedule.warmup_steps=30" ;;
    toy) echo "$configs/translate-toy.toml --set train.max_steps=500 --set eval.every=100 --set eval.samples=50 --set schedule.warmup_steps=30" ;;
    adder) echo "$configs/adder.toml --set train.max_steps=600 --set eval.every=100" ;;
    lstm) echo "$scratch/lstm.toml" ;;
    memory) echo "$configs/copy-memory-lstm.toml --set data.delay=8 --set data.length=4 --set model.max_seq_len=20 --set data.batch_size=64 --set train.max_steps=500 --set eval.every=100 --set optimizer.lr=5e-3" ;;
    summarize) echo "$configs/summarize.toml --set train.max_steps=300 --set eval.every=100 --set eval.samples=20 --set schedule.warmup_steps=30" ;;
    *) echo "$configs/$1.toml" ;;
  esac
}

run() { # run NAME BASE KEY=VALUE...: trains, unless that was done
  local name=$1 base=$2 sets=()
  shift 2
  for one in "$@"; do sets+=(--set "$one"); done
  [ -e "runs/$name/metrics.jsonl" ] && return
  # shellcheck disable=SC2046
  "$qkv" -q train $(base "$base") --set run.name="\"$name\"" --set run.threads=1 --set log.every=5 --set inspect.capture=[] \
    "${sets[@]}" >"$name.log" 2>&1 || [ $? -eq 4 ] || { echo "training failed: $name" && tail -n 3 "$name.log" && exit 1; }
}
causes() { # the names of the causes, the likeliest first
  "$qkv" why "runs/$1" --json >"$1.json" 2>"$1.err" || { echo "why failed: $1: $(tail -n 1 "$1.err")" >&2 && return 1; }
  grep -o '"name":"[^"]*"' "$1.json" | cut -d '"' -f 4 | tr '\n' ' '
}

faults=0 named=0 kinds=""
fault() { # fault KIND CAUSES BASE KEY=VALUE...: one of the causes (a|b) should be among the first two
  local kind=$1 right=$2 base=$3 name found first result=missed
  name=$kind-$base
  shift 3
  while grep -q "^$name\$" names.txt 2>/dev/null; do name=$name+; done
  echo "$name" >>names.txt
  [[ $name =~ $pattern ]] || return 0
  run "$name" "$base" "$@"
  found=$(causes "$name")
  first=$(cut -d ' ' -f 1,2 <<<"$found")
  if [[ " $first " =~ \ ($right)\  ]]; then result=named && named=$((named + 1)); fi
  faults=$((faults + 1))
  case " $kinds " in *" $kind "*) ;; *) kinds="$kinds $kind" ;; esac
  printf '%-6s  %-28s %-34s %s\n' "$result" "$name" "$right" "$found"
}
rm -f names.txt

high="rate-too-high|not-finite"
fault rate-x100 "$high" bank optimizer.lr=0.2
fault rate-x100 "$high" senses optimizer.lr=0.3
fault rate-x100 "$high" stories optimizer.lr=0.2
fault rate-x100 "$high" toy optimizer.lr=0.3
fault rate-x100 "$high" adder optimizer.lr=0.3
fault rate-x100 "$high" lstm optimizer.lr=0.5
fault rate-x100 "$high" memory optimizer.lr=0.5 run.seed=5
for base in bank senses stories toy adder lstm memory; do fault rate-x0.001 rate-too-low $base optimizer.lr=3e-6; done
fault shuffled-labels shuffled-labels bank data.train="\"$data/bank-shuffled.tsv\""
fault shuffled-labels shuffled-labels senses data.train="\"$data/senses-shuffled.tsv\""
fault shuffled-labels shuffled-labels toy data.train="\"$data/toy-shuffled.tsv\""
fault shuffled-labels shuffled-labels summarize data.train="\"$data/summarize-shuffled.tsv\""
fault noisy-labels noisy-labels bank data.train="\"$data/bank-noisy.tsv\""
fault noisy-labels noisy-labels senses data.train="\"$data/senses-noisy.tsv\""
fault noisy-labels noisy-labels toy data.train="\"$data/toy-noisy.tsv\""
for base in bank senses stories toy adder; do fault dropout-0.95 strong-dropout $base model.dropout=0.95; done
fault dropout-0.95 strong-dropout lstm model.dropout=0.9
fault no-positions no-positions toy 'model.position.type="none"'
fault no-positions no-positions adder 'model.position.type="none"'
fault no-positions no-positions ordered 'model.position.type="none"'
heart="known-by-heart|little-data"
fault by-heart "$heart" bank data.train="\"$data/bank-60.tsv\"" model.dropout=0.0 data.word_dropout=0.0
fault by-heart "$heart" toy data.train="\"$data/toy-60.tsv\"" model.dropout=0.0
fault by-heart "$heart" senses data.train="\"$data/senses-45.tsv\"" model.dropout=0.0
fault by-heart "$heart" stories data.train="\"$data/stories-2500.txt\"" data.val="\"$data/stories-end.txt\"" model.dropout=0.0
fault by-heart "$heart" lstm data.train="\"$data/stories-2500.txt\"" data.val="\"$data/stories-end.txt\""
fault by-heart "$heart" adder data.train_fraction=0.006
fault frozen frozen-layers bank 'train.freeze=["layers.0.*"]'
fault frozen frozen-layers senses 'train.freeze=["embed.*"]'
fault frozen frozen-layers stories 'train.freeze=["layers.*"]'
fault frozen frozen-layers toy 'train.freeze=["encoder.*"]'
fault frozen frozen-layers adder 'train.freeze=["layers.1.*"]'
fault frozen frozen-layers lstm 'train.freeze=["layers.*"]'
fault one-example rare-classes senses data.train="\"$data/one-each.tsv\"" data.val="\"$data/one-each-val.tsv\""
fault one-example rare-classes senses data.train="\"$data/some-rare.tsv\"" data.val="\"$data/some-rare.tsv\"" run.seed=3
fault cut-4 cut-texts bank model.max_seq_len=4
fault cut-4 cut-texts senses model.max_seq_len=4
fault cut-4 cut-texts toy model.max_seq_len=4
fault cut-4 cut-texts stories model.max_seq_len=4
fault cut-4 cut-texts summarize model.max_seq_len=12
fault val-is-train leak-between-splits bank data.val="\"$configs/data/bank/train.tsv\""
fault val-is-train leak-between-splits senses data.val="\"$data/senses.tsv\""
fault val-is-train leak-between-splits toy data.val="\"$configs/data/translate-toy/train.tsv\""
fault val-is-train leak-between-splits stories data.val="\"$data/stories-end.txt\"" data.train="\"$configs/data/stories.txt\""
fault other-source other-source bank data.val="\"$data/bank-other.tsv\""
fault other-source other-source senses data.val="\"$data/senses-other.tsv\""
fault other-source other-source stories data.train="\"$configs/data/stories.txt\"" data.val="\"$data/words-300.txt\""
fault other-source other-source toy data.val="\"$data/toy-swapped.tsv\""
fault unknown-words tokenizer-loses bank tokenizer.min_freq=300 data.ngram_buckets=0 'model.embedding="learned"'
fault unknown-words tokenizer-loses toy tokenizer.min_freq=600
fault unknown-words tokenizer-loses senses tokenizer.min_freq=120
fault unknown-words tokenizer-loses stories tokenizer.min_freq=2500
fault pieces tokenizer-splits toy 'tokenizer.type="char"' model.max_seq_len=100
fault pieces tokenizer-splits summarize 'tokenizer.type="bpe"' tokenizer.vocab_size=270 model.max_seq_len=300 train.max_steps=60
fault batch-1 "small-batch|$high" bank data.batch_size=1 optimizer.lr=1e-2
fault batch-1 "small-batch|$high" senses data.batch_size=1 optimizer.lr=2e-2
fault batch-1 "small-batch|$high" toy data.batch_size=1 optimizer.lr=1e-2
fault batch-1 "small-batch|$high" adder data.batch_size=1 optimizer.lr=1e-2
for base in bank senses stories adder lstm; do fault clip-1e-4 always-clipped $base train.grad_clip_norm=1e-4; done
fault no-warmup "no-warmup|$high" bank optimizer.lr=3e-2 schedule.warmup_steps=0
fault no-warmup "no-warmup|$high" toy optimizer.lr=3e-2 schedule.warmup_steps=0
fault no-warmup "no-warmup|$high" stories optimizer.lr=3e-2 schedule.warmup_steps=0
fault uniform uniform-attention bank model.attention.scale=1e-6
fault uniform uniform-attention toy model.attention.scale=1e-6
fault uniform uniform-attention ordered model.attention.scale=1e-6
fault collapsed collapsed-attention toy model.attention.scale=3000.0
fault collapsed collapsed-attention stories model.attention.scale=3000.0
fault still "frozen-layers|idle-layers" toy 'optimizer.groups=[{match=["decoder.layers.1.*"], lr=1e-9}]'
fault still "frozen-layers|idle-layers" senses 'optimizer.groups=[{match=["layers.0.*"], lr=1e-9}]'

# ---- healthy runs: shipped configs, some seeds

healthy=0 alarms=0
healthy() { # healthy BASE KEY=VALUE...
  local base=$1 name found
  name=healthy-$base
  shift
  while grep -q "^$name\$" names.txt; do name=$name+; done
  echo "$name" >>names.txt
  [[ $name =~ $pattern ]] || return 0
  run "$name" "$base" "$@"
  found=$(causes "$name")
  healthy=$((healthy + 1))
  [ -z "$found" ] || alarms=$((alarms + 1))
  printf '%-6s  %-28s %s\n' "$([ -z "$found" ] && echo quiet || echo alarm)" "$name" "$found"
}
short="train.max_steps=800 eval.every=100"
for seed in 1 2 3; do healthy bank run.seed=$seed; done
for seed in 4 5; do healthy toy run.seed=$seed train.max_steps=800; done
for seed in 6 7; do healthy stories run.seed=$seed; done
for seed in 8 9; do healthy senses run.seed=$seed; done
for seed in 1 2; do healthy adder run.seed=$seed train.max_steps=2000; done
for seed in 1 2; do healthy memory run.seed=$seed train.max_steps=800; done
healthy ordered
healthy lstm
for base in bank-bow bank-static bank-identity; do healthy $base train.max_epochs=5; done
healthy bank-one-hot train.max_epochs=2
# shellcheck disable=SC2086
for base in recall induction induction-heads adding planted-cues; do healthy $base run.seed=3 $short; done
healthy planted-cues run.seed=4
healthy reverse train.max_steps=600 eval.every=200 eval.samples=20 data.max_length=8
healthy summarize train.max_steps=400
healthy masked-words train.max_steps=300 eval.every=100
healthy shakespeare-cpu train.max_steps=300 eval.every=100
healthy word2vec train.max_epochs=3
healthy modular-addition

echo "$named of $faults faults of $(wc -w <<<"$kinds") kinds are named among the first two causes"
echo "$alarms of $healthy healthy runs have a cause"
[ "$pattern" != . ] || { [ $((named * 10)) -ge $((faults * 9)) ] && [ "$faults" -ge 60 ] && [ "$healthy" -ge 30 ] && [ "$alarms" -le 1 ]; }
