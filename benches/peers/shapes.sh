#!/bin/sh
# Every kind of model in several formats, with random weights: how far llama.cpp and r1core are from the truth, and from
# each other.
#
#   ./shapes.sh WORK [KIND...]
#
# Needs Python with gguf and numpy, and the programs of this crate (cargo build --release). Settings, with their defaults:
#   PYTHON=python3  POSITIONS=1000  FORMATS="Q8_0 Q4_K Q6_K"  SEED=7
set -eu

[ $# -ge 1 ] || { sed -n '5s/^# *//p' "$0" >&2; exit 2; }
work=$1; shift
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
PATH=${CARGO_TARGET_DIR:-$here/target}/release:$PATH
mkdir -p "$work"
[ $# -ge 1 ] || set -- llama llama-moe qwen2 qwen2moe qwen3 qwen3moe gemma3 smollm3 glm4 phi3 deepseek-moe \
    deepseek2 deepseek2-merged deepseek2-moe deepseek2-lite-moe

# Ids without meaning, the same every time.
awk -v n="${POSITIONS:-1000}" 'BEGIN { s = 1; for (i = 0; i < n; i++) { s = (s * 48271) % 2147483647; printf "%d ", s % 320 } print "" }' \
    > "$work/ids"

for kind; do
    for format in ${FORMATS:-Q8_0 Q4_K Q6_K}; do
        model=$work/$kind-$format.gguf
        experts='--experts 16 --used 4 --expert-width 512'
        case $kind in *moe) ;; *) experts= ;; esac
        # shellcheck disable=SC2086
        make_model "$kind" "$format" "$model" --seed "${SEED:-7}" --layers 4 --width 512 --heads 8 --kv-heads 2 \
            --feed-forward 1024 $experts
        "$python" "$here/reference.py" "$model" "$work/truth.dump" < "$work/ids"
        peer_logits -m "$model" --all-positions --top 1 --dump "$work/llama.dump" < "$work/ids" > /dev/null
        peer_logits -m "$model" --all-positions --top 1 --dump "$work/r1core.dump" --engine r1core < "$work/ids" > /dev/null
        echo "== $kind $format"
        compare --truth "$work/truth.dump" --other llama="$work/llama.dump" --other r1core="$work/r1core.dump"
        rm "$work"/*.dump "$model"
    done
done
