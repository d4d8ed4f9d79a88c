# Sourced by the tests of runs in several processes: SOURCE_DIR QKV_BINARY SCRATCH_DIR.
set -euo pipefail
source=$1 qkv=$2 scratch=$3
command -v mpirun >/dev/null || { echo "skipped: there is no mpirun (apt-get install openmpi-bin)"; exit 77; }
rm -rf "$scratch"
mkdir -p "$scratch"
cd "$scratch"
# Of a busy machine: more than a second before mpirun kills the ranks that are left.
mpi=(mpirun --oversubscribe --bind-to none --mca odls_base_sigkill_timeout 3)
[[ $(id -u) != 0 ]] || mpi+=(--allow-run-as-root)

fault() { echo "FAIL: $*"; exit 1; }

# ranks N PLACE ARGUMENT...: qkv in N processes, in a folder of its own; one process without mpirun. All output to PLACE/out.
ranks() {
  local n=$1 place=$2 launch=()
  shift 2
  ((n == 1)) || launch=("${mpi[@]}" -n "$n")
  mkdir -p "$place"
  (cd "$place" && exec "${launch[@]}" "$qkv" "$@") </dev/null >"$place/out" 2>&1
}

# What a run has computed: checksums of its tensors, and its records and states without times and threads.
content() {
  local run
  run=$(echo "$1"/runs/*)
  [[ -d $run/checkpoints/last/ ]] || { echo "no run in $1"; return; }
  (cd "$run" && sha256sum checkpoints/step-*/{model,optimizer}.safetensors checkpoints/{last,best}/model.safetensors)
  sed -E '/"seconds":/d' "$run"/checkpoints/step-*/state.json
  # Of a resumed run, what says that it was.
  sed -E -e '/"resumed_from"|"reason":"interrupted"/d' \
    -e 's/,"([a-z_]+_s|step_ms|threads|memory_bytes)":[^,}]*//g' "$run/metrics.jsonl"
  cat "$run"/result.json
}

# same A B: the runs in these places have computed the same to the last bit.
same() {
  content "$1" >"$scratch/a"
  content "$2" >"$scratch/b"
  [[ $(wc -l <"$scratch/a") -gt 20 ]] || fault "$1 holds no whole run: $(cat "$scratch/a" "$1/out")"
  diff "$scratch/a" "$scratch/b" | cut -c 1-300 | head -n 8
  cmp -s "$scratch/a" "$scratch/b" || fault "$2 differs from $1: $(tail -n 3 "$2/out")"
}

# one_line PLACE PATTERN: qkv has printed this, and only this, once; what else there is, is mpirun's.
one_line() {
  local lines
  lines=$(grep -cE '^(error|warning)' "$1/out" || true)
  [[ $lines == 1 ]] && grep -qE "$2" "$1/out" || { cat "$1/out"; fault "expected one line of qkv: $2"; }
}
