#!/usr/bin/env bash
# Ranks that die at random moments, and signals: what was written is whole, and another number of processes ends with the
# same bits: kill_test.sh SOURCE_DIR QKV_BINARY SCRATCH_DIR
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
echo "SEED=${SEED:=$RANDOM}"
RANDOM=$SEED

run=(train "$source/configs/bank.toml" --set train.max_steps=120 --set schedule.warmup_steps=20 --set run.shards=8 --set eval.every=10 --set run.threads=1
  --set checkpoint.every=3 --set model.d_model=32 --set data.ngram_buckets=100
  --set 'optimizer.groups=[{match=["layers.*"], ndim=2, type="muon"}]' --set train.ema_decay=0.9)
ranks 1 whole "${run[@]}" || fault "$(cat whole/out)"
size=$(wc -l <whole/runs/bank/metrics.jsonl)

# start N PLACE SHARE: starts a run and waits until that share of its records (of 100) is written.
start() {
  local n=$1 place=$2 lines=$(($3 * size / 100))
  rm -rf "$place"
  mkdir -p "$place"
  (cd "$place" && exec "${mpi[@]}" -n "$n" "$qkv" "${run[@]}") </dev/null >"$place/out" 2>&1 &
  job=$!
  while kill -0 $job 2>/dev/null && (($(cat "$place/runs/bank/metrics.jsonl" 2>/dev/null | wc -l) <= lines)); do sleep 0.005; done
  mapfile -t pids < <(pgrep -P $job -x qkv)
  ((${#pids[@]} == n)) || fault "$n processes expected; got ${#pids[@]}: $(cat "$place/out")"
}

dead=0
for i in $(seq 20); do
  n=$((2 + RANDOM % 3)) place=kill-$i
  start $n $place $((RANDOM % 85))
  victim=$((RANDOM % n)) again=$((1 + RANDOM % 4))
  sleep "0.0$((RANDOM % 10))"
  kill -KILL "${pids[$victim]}" || continue
  code=0
  wait $job || code=$?
  echo "-- $i: a rank of $n killed after $(cat $place/runs/bank/metrics.jsonl | wc -l) records (exit code $code), resumed with $again"
  ((code != 0)) || fault "exit code 0"
  one_line $place 'error: train: all ranks must answer; got nothing from rank [0-9]'
  for checkpoint in $place/runs/bank/checkpoints/step-*; do
    [[ ! -d $checkpoint ]] || "$qkv" -q verify "$checkpoint" >/dev/null || fault "$checkpoint is damaged"
  done
  ranks $again $place resume runs/bank || fault "$(cat $place/out)"
  same whole $place
  dead=$((dead + 1))
done
echo "counted: $dead ranks killed, resumed to the same bits"
((dead >= 18)) || fault "only $dead runs were disturbed"

echo "-- signals to mpirun, which passes them on a second later, and to one rank: all stop with a checkpoint"
run+=(--set train.max_steps=400)
ranks 1 long "${run[@]}" || fault "$(cat long/out)"
for signal in INT TERM; do
  start 3 signal 30
  target=$job
  [[ $signal == INT ]] || target=${pids[1]}
  kill -$signal "$target"
  code=0
  wait $job || code=$?
  ((code != 0)) || fault "exit code 0"
  grep -q 'interrupted at step' signal/out && ! grep -q '^error' signal/out || fault "$(cat signal/out)"
  step=$(readlink signal/runs/bank/checkpoints/last)
  grep -q "\"reason\":\"interrupted\",\"step\":$((10#${step#step-}))," signal/runs/bank/metrics.jsonl || fault "no end record"
  ranks 2 signal "${run[@]}" --resume || fault "$(cat signal/out)"
  same long signal
done

echo "-- a disk that is full for rank 0 ends all with one line"
code=0
mkdir -p full
# Without the files that MPI's shared memory lies in.
(cd full && exec "${mpi[@]}" --mca btl tcp,self -n 1 bash -c 'ulimit -f 200 && exec "$@"' limited "$qkv" "${run[@]}" : \
  -n 1 "$qkv" "${run[@]}") </dev/null >full/out 2>&1 || code=$?
((code == 1)) || fault "exit code $code"
one_line full 'error: .*(File too large|cannot be written)'
