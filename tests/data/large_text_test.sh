#!/usr/bin/env bash
# 2 GB of made text in a manifest of plain text, JSONL and gzip: the tokenizer is trained, tokens are written and
# mapped, and a model is trained on them, by processes that may allocate 1 GiB each (RLIMIT_DATA counts all memory
# that a process can write to and does not share; mapped files are pages of the system's cache and not among it).
#   large_text_test.sh QKV_BINARY MADE_TEXT_BINARY SCRATCH_DIR [BYTES]
set -euo pipefail
qkv=$1 made=$2 scratch=$3 bytes=${4:-2000000000}
rm -rf "$scratch" && mkdir -p "$scratch" && cd "$scratch"
trap 'rm -rf "$scratch"' EXIT
ulimit -d $((1 << 20)) # KiB
began=$SECONDS

# Sets `cpu` to the CPU seconds of all children so far.
count_cpu() {
  times >times.txt
  cpu=$(awk 'NR == 2 { gsub("s", ""); split($1, user, "m"); split($2, kernel, "m")
                       print 60 * (user[1] + kernel[1]) + user[2] + kernel[2] }' times.txt)
}

# measured NAME COMMAND...: runs it, prints seconds and memory: the peak of what it allocated (RssAnon), and of all
# that was resident with mapped files (VmHWM).
measured() {
  local name=$1 from=$EPOCHREALTIME own=0 all=0 key value rest pid code=0 cpu before
  shift
  count_cpu
  before=$cpu
  "$@" >"$name.out" 2>"$name.err" &
  pid=$!
  while [ -d "/proc/$pid" ]; do
    while read -r key value rest; do
      case $key in
        VmHWM:) all=$((value > all ? value : all)) ;;
        RssAnon:) own=$((value > own ? value : own)) ;;
      esac
    done 2>/dev/null <"/proc/$pid/status" || true
    [ "$all" -gt 0 ] || break
    sleep 0.1
  done
  wait "$pid" || code=$?
  count_cpu
  seconds=$(awk "BEGIN { printf \"%.1f s, %.1f s of CPU\", $EPOCHREALTIME - $from, $cpu - $before }")
  echo "$name: exit $code, $seconds, own memory $((own >> 10)) MiB, with mapped files $((all >> 10)) MiB"
  [ "$code" -eq 0 ] || { cat "$name.err"; exit 1; }
  [ "$own" -lt $((1 << 20)) ] && [ "$all" -lt $((1 << 20)) ] || { echo "more than 1 GiB"; exit 1; }
}

# ---- the text: 6 tenths plain in two files, 2 of JSONL, 2 of JSONL in gzip
"$made" $((bytes / 10 * 4)) 1 text >a.txt &
"$made" $((bytes / 10 * 2)) 2 text >b.txt
"$made" $((bytes / 10 * 2)) 3 jsonl >c.jsonl &
"$made" $((bytes / 10 * 2)) 4 jsonl | gzip -1 >d.jsonl.gz
wait
printf '%s\n' "# made text" a.txt b.txt c.jsonl d.jsonl.gz >text.manifest
cat >text.toml <<'TOML'
[data]
train = "text.manifest"
val_fraction = 0.0005
batch_size = 16
eval_batch_size = 16
[task]
type = "language-model"
[tokenizer]
type = "bpe"
vocab_size = 4096
specials = ["<|endoftext|>"]
[model]
type = "decoder-lm"
n_layer = 2
d_model = 64
max_seq_len = 128
attention.n_head = 4
ffn.d_ff = 128
[optimizer]
lr = 2e-3
[train]
max_steps = 40
[eval]
every = 20
TOML
echo "text: $((SECONDS - began)) s, $(du -cm [a-d].* | tail -n 1 | cut -f 1) MiB in files"

# ---- training, with the cache written by two threads, then found; resumed in the middle to the same bytes
export QKV_CACHE=$scratch/cache
measured train "$qkv" train text.toml --set run.threads=2 --set run.name=whole
grep -c 'tokens are written to' train.err | grep -qx 2
tokens=$(grep -o '"train_tokens":[0-9.e+]*' runs/whole/metrics.jsonl | head -n 1 | cut -d : -f 2)
measured found "$qkv" train text.toml --set run.threads=2 --set run.name=half --set train.max_steps=20
! grep -q 'tokens are written to' found.err
measured resume "$qkv" resume runs/half --set train.max_steps=40
cmp runs/whole/checkpoints/last/model.safetensors runs/half/checkpoints/last/model.safetensors
measured eval "$qkv" eval runs/whole
"$qkv" generate runs/whole --prompt "Chun " --max-tokens 20 >/dev/null

# ---- the same bytes by one thread and by two, of the JSONL alone
for threads in 1 2; do
  export QKV_CACHE=$scratch/cache-$threads
  measured "threads=$threads" "$qkv" train text.toml --set "run.threads=$threads" --set "run.name=threads-$threads" \
    --set data.train=c.jsonl --set train.max_steps=1
done
[ "$(ls cache-1 | wc -l)" -eq 2 ]
for file in cache-1/*; do cmp "$file" "cache-2/${file#*/}"; done
echo "disk: $(du -sm . | cut -f 1) MiB"
echo "all: $((SECONDS - began)) s, $tokens tokens of training text"
