#!/usr/bin/env bash
# What `qkv new` writes compiles against the installed package, passes its tests and trains: new.sh BUILD SCRATCH
set -euo pipefail
build=$1 scratch=$2
rm -rf "$scratch"
mkdir -p "$scratch"
cmake --install "$build" --prefix "$scratch/prefix" >"$scratch/log"
export PATH=$scratch/prefix/bin:$PATH
cd "$scratch"

follow() { # PROGRAM KIND NAME: writes a project, and does what the line says that is printed last
  echo "-- new $2"
  "$1" new "$2" "$3" >"$3.files" 2>"$3.next"
  local next
  next=$(sed -n 's/^next: //p' "$3.next")
  bash -c "$next" >>"$scratch/log" 2>&1 || { echo "fails: $next" && tail -30 "$scratch/log" && exit 1; }
}
for kind in layer attention op task sequence model optimizer schedule plugin; do
  follow qkv $kind my-$kind
done
[[ $(wc -l <my-layer/my_layer.cpp) -le 42 && $(wc -l <my-task/my_task.cpp) -le 90 && $(wc -l <my-sequence/my_sequence.cpp) -le 45 ]]
qkv predict my-sequence/runs/my-sequence "3 1 2 0" | grep -x "3 1 2 0 -> 0123"

echo "-- from a build tree, with neither an installed package nor qkv in the path"
PATH=${PATH#*:} follow "$build/bin/qkv" plugin "in-a-clone"
grep -q "^next: .*'$build/bin/qkv' train\|^next: .*$build/bin/qkv train" in-a-clone.next

echo "-- an attention of a plug-in: keys of its own, maps, and a text that does not depend on the cache"
(
  cd my-attention
  run=runs/my-attention
  qkv inspect $run attention "one two" | grep "head 3" >/dev/null
  qkv inspect $run qkv "one" | grep query >/dev/null
  qkv generate $run --prompt "one" --temperature 0 --max-tokens 40 >cached
  sed 's/bool continues() const override { return true; }/bool continues() const override { return false; }/' \
    -i my_attention.cpp && cmake --build build >>"$scratch/log"
  qkv generate $run --plugin build/my-attention.so --prompt "one" --temperature 0 --max-tokens 40 >recomputed
  cmp cached recomputed && grep "one two three" cached
  sed 's/if (context.cache) {/if (false) {/; s/continues() const override { return false; }/continues() const override { return true; }/' \
    -i my_attention.cpp && cmake --build build >>"$scratch/log"
  ./build/my_attention_test >faults && exit 1
  grep "cache: tokens that continue a cache must give" faults
  status=0
  qkv check my-attention.toml --set model.attention.windw=3 2>err || status=$?
  [[ $status == 2 ]] && grep "did you mean 'window'" err
)

echo "-- an optimizer of a plug-in for a group of parameters, with an average of the weights, resumed to the same bits"
(
  cd my-optimizer
  group=(--set optimizer.type=adamw --set 'optimizer.groups=[{match=["layers.*"], ndim=2, type="my-optimizer", lr=1e-3}]'
    --set train.ema_decay=0.9 --set train.max_steps=12 --set schedule.type=constant)
  qkv train my-optimizer.toml "${group[@]}" --set run.name=whole -q
  qkv config show runs/whole | grep -x "# layers.0.attn.W_Q: my-optimizer, lr 0.001"
  qkv train my-optimizer.toml "${group[@]}" --set run.name=half --set train.max_steps=6 -q
  qkv resume runs/half --set train.max_steps=12 -q
  for file in model optimizer; do cmp runs/{whole,half}/checkpoints/last/$file.safetensors; done
  qkv average runs/whole runs/half --out runs/mean && qkv eval runs/mean >/dev/null
)

# A task answers, shows what its model reads, and its captures and mistakes stand in a report.
looks() { # KIND TEXT WHOLE: a text to be answered, and one to be read
  (
    cd my-$1
    qkv predict runs/my-$1 "$2" >answer && [[ -s answer ]]
    qkv inspect runs/my-$1 attention "$3" | grep "head 1" >/dev/null
    qkv inspect runs/my-$1 heads --examples 4 >/dev/null
    qkv inspect runs/my-$1 circuits --head 0 --top 2 >/dev/null
    qkv inspect runs/my-$1 neighbors 3 -k 2 | grep cosine >/dev/null
    qkv report runs/my-$1 -o report.html >/dev/null && grep -qF "$3" report.html
  )
}
looks task "3 1 4 9 5 2" "3 1 4 9 5 2"
looks sequence "3 1 2 0" "3 1 2 0 > 0 1 2"
qkv --plugin my-op/build/my-op.so gradcheck my_op
qkv --plugin my-op/build/my-op.so list ops | grep -E "^ *my_op .* my-op.so"
qkv new config my-senses
(cd my-senses && qkv check my-senses.toml && qkv train my-senses.toml && qkv predict runs/my-senses "a [bank] of reeds")
qkv new plugin mine -o elsewhere && [[ -e elsewhere/mine.toml && -e elsewhere/mine_schedule.cpp ]]

refused() { # WORDS ARGUMENTS...
  local words=$1 status=0
  shift
  qkv new "$@" 2>err || status=$?
  [[ $status == 2 ]] && grep -qF "$words" err || { cat err; exit 1; }
}
refused "unknown kind 'layr' (did you mean 'layer'?)" layr x
refused "must be kebab-case, as in gated-mlp; got 'GatedMlp'" layer GatedMlp
refused "there is a layer 'block' already" layer block
refused "there is a task 'induction' already" sequence induction
refused "there is a schedule 'cosine' already" schedule cosine
refused "must not exist yet" layer my-layer
