#!/usr/bin/env bash
# The model in the page, of every kind, answers as the program does: runs the page's files in node.
#   answers_test.sh SOURCE_DIR QKV_BINARY QKV_TESTS SCRATCH_DIR       QKV_TESTS may be "": then no ops are checked
# Needs node; exits with 77 where there is none.
set -euo pipefail
source=$1 qkv=$2 tests=$3 scratch=$4
command -v node >/dev/null || { echo "skipped: there is no node (apt-get install nodejs)" && exit 77; }
rm -rf "$scratch" && mkdir -p "$scratch/cases" "$scratch/runs" && cd "$scratch"
if [ -n "$tests" ]; then
  QKV_ONNX_CASES=$scratch/cases "$tests" --source-file='*/tests/interop/onnx_test.cpp' >/dev/null
  node "$source/tests/report/graph_test.mjs" "$source" "$scratch/cases"
fi

# run NAME CONFIG [KEY=VALUE..]: trains shortly, writes the data of the report, and keeps the texts of standard input.
run() {
  local name=$1 config=$source/configs/$2.toml set=()
  shift 2
  cat >"$name.texts"
  for one in "run.out_dir=$scratch/runs" "run.name=$name" train.max_steps=15 schedule.warmup_steps=1 eval.every=15 eval.samples=4 \
    eval.test=false eval.levels=false 'inspect.capture=[]' 'inspect.samples=[]' "$@"; do set+=(--set "$one"); done
  "$qkv" -q train "$config" "${set[@]}" >"$name.log" 2>&1 || { cat "$name.log" && exit 1; }
  "$qkv" report "runs/$name" --json >"$name.json"
}
# answers NAME: what `predict` says of the texts.
answers() { "$qkv" predict "runs/$1" --json <"$1.texts" >"$1.predict"; }
# texts NAME OPTION..: what `generate` makes of them.
texts() {
  local name=$1
  shift
  while IFS= read -r text; do "$qkv" generate "runs/$name" --json --prompt "$text" "$@"; done <"$name.texts" >"$name.generate"
}
small=(model.d_model=32 model.ffn.d_ff=48)

sentences=$(awk -F'\t' '!/^#/ && NF == 2 && n < 40 { print $2; n++ }' "$source/configs/data/bank/test.tsv")
run bank bank "${small[@]}" data.ngram_buckets=1000 <<<"$sentences"
run bank-lstm bank data.ngram_buckets=1000 'model={type="lstm",d_model=16,readout="last",bidirectional=true}' <<<"$sentences"
run bank-pieces bank "${small[@]}" 'tokenizer={type="wordpiece",vocab_size=600}' data.ngram_buckets=0 'model.embedding="learned"' data.window=6 <<<"$sentences"
run bank-bow bank-bow <<<"$sentences"
for i in 1 2 3 4 5 6; do printf 'yes\tthe red house\nno\ta blue car\tparked\nyes\tred roses\nno\tblue sky\n'; done >classes.tsv
run classes masked-words 'task={type="text-classification"}' "data={train=\"$scratch/classes.tsv\",val_fraction=0.3,batch_size=4}" \
  'model={type="encoder-classifier",d_model=32,max_seq_len=18,token_types=2,readout="target"}' <<<$'the red car\nblue roses\tparked'
for name in bank bank-lstm bank-pieces bank-bow classes; do answers $name; done

run masked masked-words model.d_model=32 model.ffn.d_ff=48 <<<$'the king [MASK] in the castle\nthe [MASK] boy ran across the [MASK] at night'
run stories stories "${small[@]}" model.n_layer=2 <<<$'Once upon a time\nThe fox and the crow'
run pieces stories 'model={type="gru",d_model=32,max_seq_len=64}' 'tokenizer={type="bpe",vocab_size=400}' <<<$'Once upon a time\nHe said: "It\'s 3 o\'clock "'
run words stories "${small[@]}" 'tokenizer={type="word"}' model.max_seq_len=24 <<<$'once upon a time\nthe fox said'
for name in masked stories pieces words; do answers $name; done
texts stories --max-tokens 120 --temperature 0
texts pieces --max-tokens 40 --temperature 0.8 --top-k 20 --seed 3
texts words --max-tokens 40 --temperature 0.9 --top-p 0.9 --min-p 0.01 --seed 12345678901

run translate translate-toy "${small[@]}" task.beam=3 train.max_steps=60 <<<$'The cats love the flower .\nA dog forgets a flower because it loves a dog .'
run copies translate-toy "${small[@]}" model.copy=true task.beam=2 tokenizer.min_freq=200 <<<$'The cats love the zebra .\nXerxes sees the flower .'
run summaries summarize "${small[@]}" 'task.unknown="source"' tokenizer.min_freq=400 <<<$'It was warm yesterday. Last night a landslide closed the new farm behind the hill.'
run answers stories "${small[@]}" 'model.position={type="learned"}' 'task={type="prompt-answer"}' \
  "data={train=\"$source/configs/data/translate-toy/test.tsv\",between=\" = \",end=\"\\\\n\",batch_size=8}" model.max_seq_len=128 'eval.metric="loss"' <<<$'A dog loves a flower.\nThe cats sleep.'
for name in translate copies summaries answers; do answers $name; done

run adder adder "${small[@]}" <<<$'12+34\n99+ 1'
run modular modular-addition "${small[@]}" <<<$'3+4\n40+60'
run listops listops "${small[@]}" data.eval_examples=16 <<<$'[MAX 2 9 [MIN 4 7 ] 0 ]\n[SM 7 8 ]'
for name in adder modular listops; do answers $name; done
run vectors word2vec train.max_steps=100 <<<$'king\nhorse'
while IFS= read -r word; do "$qkv" inspect runs/vectors neighbors "$word" --json; done <vectors.texts >vectors.predict
run induction induction model.d_model=32 data.eval_examples=16 <<<'s1 s2 s3 s1 s2'
run adding adding "${small[@]}" data.eval_examples=16 <<<'0.3 0.5* 0.2 0.7*'
exec node "$source/tests/report/answers_test.mjs" "$source" "$scratch"
