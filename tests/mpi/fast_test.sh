#!/usr/bin/env bash
# Two processes compute the bits of one; mistakes give one line: fast_test.sh SOURCE_DIR QKV_BINARY SCRATCH_DIR
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

short=(train "$source/configs/bank.toml" --set train.max_steps=20 --set schedule.warmup_steps=5 --set run.shards=4 --set eval.every=10
  --set model.d_model=32 --set data.ngram_buckets=100
  --set 'optimizer.groups=[{match=["layers.*"], ndim=2, type="muon"}]' --set train.ema_decay=0.9)

echo "-- one process and two, which need not see the same folder"
ranks 1 one "${short[@]}" --set run.threads=2 || fault "$(cat one/out)"
mkdir -p two other
(cd two && "${mpi[@]}" -n 1 "$qkv" "${short[@]}" --set run.threads=1 : \
  -n 1 -wdir "$scratch/other" "$qkv" "${short[@]}" --set run.threads=2) </dev/null >two/out 2>&1 || fault "$(cat two/out)"
same one two
[[ -z $(ls -A other) ]] || fault "rank 1 has written $(ls -A other)"
[[ $(grep -c 'step .* loss' two/out) == $(grep -c 'step .* loss' one/out) ]] || fault "output differs: $(cat two/out)"

echo "-- one shard per process, which sends gradients while it computes others"
early=(train "$source/configs/bench/w2.toml" --set train.max_steps=6 --set train.grad_accum_steps=2 --set train.grad_clip_norm=0.1 --set eval.every=3
  --set data.examples=48 --set run.shards=2 --set model.tie_embeddings=true)
ranks 1 late "${early[@]}" --set run.threads=2 || fault "$(cat late/out)"
ranks 2 early "${early[@]}" --set run.threads=1 || fault "$(cat early/out)"
same late early

echo "-- a plain run loads no MPI"
"$qkv" --version >/dev/null
strace -V >/dev/null 2>&1 || true
! ldd "$qkv" | grep -qE 'libmpi|libopen-(rte|pal)' || fault "the program needs MPI: $(ldd "$qkv")"

echo "-- more processes than shards"
code=0
ranks 3 many "${short[@]}" --set run.shards=2 || code=$?
[[ $code == 2 ]] || fault "exit code $code"
one_line many 'run\.shards.*must be at least the number of processes; got 2 and 3 processes'
[[ ! -e many/runs ]] || fault "something was written"

echo "-- what only one rank lacks"
code=0
mkdir -p alone
(cd alone && "${mpi[@]}" -n 1 "$qkv" "${short[@]}" : -n 1 "$qkv" train missing.toml) </dev/null >alone/out 2>&1 || code=$?
[[ $code == 2 ]] || fault "exit code $code"
one_line alone 'error: rank 1: missing\.toml'
[[ ! -e alone/runs ]] || fault "something was written"

echo "-- verbs and options for one process"
for arguments in "doctor" "train $source/configs/bank.toml --seeds 2"; do
  code=0
  ranks 2 verbs $arguments || code=$?
  [[ $code == 2 ]] || fault "exit code $code of $arguments"
  one_line verbs 'must (start one process|run in one process)'
done
