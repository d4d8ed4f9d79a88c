#!/usr/bin/env bash
# 1, 2, 3 and 4 processes with 1 and 2 threads each end with the same bits: bits_test.sh SOURCE_DIR QKV_BINARY SCRATCH_DIR
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# check NAME CONFIG OPTION...
check() {
  local name=$1 config=$source/configs/$2 n threads
  shift 2
  for n in 1 2 3 4; do
    for threads in 1 2; do
      echo "-- $name: $n processes, $threads threads each"
      ranks "$n" "$name-$n-$threads" train "$config" --set run.shards=8 --set "run.threads=$threads" "$@" ||
        fault "$(cat "$name-$n-$threads/out")"
      same "$name-1-1" "$name-$n-$threads"
    done
  done
  rm -rf "$name"-*
}

check bank bank.toml --set train.max_epochs=2
check w2 bench/w2.toml --set train.max_steps=12 --set eval.every=4
check translate translate-toy.toml --set train.max_steps=30 --set schedule.warmup_steps=5 --set eval.every=15 --set eval.samples=100
check lstm copy-memory-lstm.toml --set train.max_steps=8 --set schedule.warmup_steps=2 --set eval.every=4 --set data.examples=512
echo "-- frozen parameters, parts without examples, accumulation, f64, skipped steps, early stop"
check frozen bank.toml --set train.max_epochs=1 --set 'train.freeze=["*.attn.*"]' --set model.n_layer=1
check few bank.toml --set train.max_steps=6 --set schedule.warmup_steps=2 --set data.batch_size=5 --set train.grad_accum_steps=3 --set eval.every=3 \
  --set 'run.dtype="f64"' --set model.d_model=32
check stop bank.toml --set train.max_epochs=20 --set eval.every=4 --set eval.patience=1 --set model.d_model=32
echo "-- one shard per process where there are four"
check each bench/w2.toml --set run.shards=4 --set train.max_steps=6 --set train.grad_accum_steps=2 --set eval.every=3
check tied bench/w2.toml --set run.shards=4 --set train.max_steps=6 --set eval.every=3 --set model.tie_embeddings=true --set train.grad_clip_norm=0.1 \
  --set 'train.freeze=["layers.2.*"]'
check uneven bank.toml --set run.shards=4 --set train.max_steps=6 --set schedule.warmup_steps=2 --set data.batch_size=3 --set eval.every=3
short=(--set run.shards=4 --set train.max_steps=6 --set schedule.warmup_steps=2 --set eval.every=3)
ranks 1 base train "$source/configs/bank.toml" "${short[@]}" || fault "$(cat base/out)"
check adapters bank.toml "${short[@]}" --set "train.init_from=\"$scratch/base/runs/bank\"" --set train.lora.rank=2 \
  --set 'train.lora.targets=["*.attn.*"]'
echo "counted: 88 runs of 1 to 4 processes with 1 and 2 threads compared"
