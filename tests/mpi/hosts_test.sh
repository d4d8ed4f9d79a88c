#!/usr/bin/env bash
# Processes on several "hosts", with slow lines between them, compute the bits of one; one that dies ends the job:
#   hosts_test.sh SOURCE_DIR QKV_BINARY SCRATCH_DIR DELAY_LIBRARY
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
delay=$4
export QKV_HOSTS=qkv$$
hosts=$source/tests/mpi/hosts
[[ $(id -u) == 0 ]] && command -v tc >/dev/null && ip netns add $QKV_HOSTS-try 2>/dev/null ||
  { echo "skipped: no network namespaces (needs root and iproute2)"; exit 77; }
trap '"$hosts" down' EXIT

# on N PLACE OPTION... -- ARGUMENT...: qkv with a process on each of N hosts.
on() {
  local n=$1 place=$2 options=()
  shift 2
  while [[ $1 != -- ]]; do options+=("$1"); shift; done
  shift
  mkdir -p "$place"
  (cd "$place" && exec "$hosts" run "$n" "${options[@]}" "$qkv" "$@") </dev/null >"$place/out" 2>&1
}

run=(train "$source/configs/bank.toml" --set train.max_steps=30 --set schedule.warmup_steps=10 --set run.shards=8 --set eval.every=10
  --set model.d_model=32 --set data.ngram_buckets=100 --set run.threads=1)
ranks 1 one "${run[@]}" || fault "$(cat one/out)"
for n in 2 3 4; do
  echo "-- $n hosts, 20 Mbit/s"
  "$hosts" up $n 20mbit
  on $n hosts-$n -- "${run[@]}" || fault "$(cat hosts-$n/out)"
  same one hosts-$n
  for held in $("$hosts" sent); do ((held > 0)) || fault "the line was never full"; done
done
echo "-- 4 hosts, each exchange 2 ms late (by the test's MPI_Testall)"
on 4 late -x LD_PRELOAD="$delay" -x QKV_TEST_DELAY_US=2000 -- "${run[@]}" || fault "$(cat late/out)"
same one late

for victim in 0 2; do
  echo "-- the process of host $((victim + 1)) dies"
  rm -rf dead
  mkdir dead
  (cd dead && exec "$hosts" run 4 "$qkv" "${run[@]}") </dev/null >dead/out 2>&1 &
  job=$!
  while kill -0 $job 2>/dev/null && [[ ! -e dead/runs/bank/checkpoints/last ]]; do sleep 0.01; done
  kill -KILL "$(ip netns pids "$QKV_HOSTS-$((victim + 1))" | xargs -r ps -o pid=,comm= -p | awk '$2 == "qkv" { print $1 }')"
  code=0
  wait $job || code=$?
  ((code != 0)) || fault "exit code 0"
  # Open MPI ends the others itself where it was about to send to the one that is dead.
  grep -q '^error' dead/out || grep -qE 'Open MPI failed to TCP connect|unexpectedly disconnected' dead/out || fault "$(cat dead/out)"
  ! grep -q '^error' dead/out || one_line dead "error: train: all ranks must answer; got nothing from rank $victim"
  on 3 dead -- resume runs/bank || fault "$(cat dead/out)"
  same one dead
done
echo "counted: 6 runs on hosts of their own with the same bits"
