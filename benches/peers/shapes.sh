#!/bin/sh
# Every kind of model in several formats, with random weights: how far llama.cpp and r1core are from the truth, and from
# each other. Prints a table, a row as soon as it is known.
#
#   ./shapes.sh WORK [KIND...]
#
# Needs Python with gguf and numpy, and the programs of this crate (cargo build --release). Settings, with their defaults:
#   PYTHON=python3  POSITIONS=1000  FORMATS="F32 Q8_0 Q4_K Q6_K"  SEED=7
set -eu

[ $# -ge 1 ] || { sed -n '5s/^# *//p' "$0" >&2; exit 2; }
work=$1; shift
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
PATH=${CARGO_TARGET_DIR:-$here/target}/release:$PATH
mkdir -p "$work"
[ $# -ge 1 ] || set -- llama llama-moe qwen2 qwen2moe qwen3 qwen3moe gemma3 smollm3 glm4 phi3 exaone deepseek-moe \
    deepseek2 deepseek2-merged deepseek2-moe deepseek2-lite-moe

# Ids without meaning, the same every time.
awk -v n="${POSITIONS:-1000}" 'BEGIN { s = 1; for (i = 0; i < n; i++) { s = (s * 48271) % 2147483647; printf "%d ", s % 320 } print "" }' \
    > "$work/ids"

# One row from what `compare --json` prints with two margins.
cat > "$work/row.py" << 'EOF'
import json, sys
close, wide = ([json.loads(line) for line in open(path)] for path in sys.argv[3:5])
(llama, ours), (llama_wide, ours_wide) = close, wide
pair = lambda key: f"{llama[key]:.2e} / {ours[key]:.2e}"
missed = lambda a, b, clear: f"{a['missed']} / {b['missed']} of {clear['clear']}"
print("|", " | ".join([
    sys.argv[1], sys.argv[2], pair("kl_mean"), f"{ours['kl_mean'] / llama['kl_mean']:.2f}", pair("kl_median"),
    missed(llama["truth"], ours["truth"], ours["truth"]), missed(llama_wide["truth"], ours_wide["truth"], ours_wide["truth"]),
    f"{100 * ours_wide['both_clear']['agreement']:.1f} %"]), "|")
EOF

echo '| model | weights | KL mean, llama.cpp / r1core | ratio | KL median | missed, margin 0.05 | missed, margin 0.3 | r1core is with llama.cpp, both clear by 0.3 |'
echo '|---|---|---|---|---|---|---|---|'
for kind; do
    for format in ${FORMATS:-F32 Q8_0 Q4_K Q6_K}; do
        model=$work/$kind-$format.gguf
        experts='--experts 16 --used 4 --expert-width 512'
        case $kind in *moe) ;; *) experts= ;; esac
        # shellcheck disable=SC2086
        make_model "$kind" "$format" "$model" --seed "${SEED:-7}" --layers 4 --width 512 --heads 8 --kv-heads 2 \
            --feed-forward 1024 $experts
        "$python" "$here/reference.py" "$model" "$work/truth.dump" < "$work/ids"
        for engine in llama r1core; do
            peer_logits -m "$model" --all-positions --top 1 --dump "$work/$engine.dump" --engine $engine < "$work/ids" > /dev/null
        done
        for margin in 0.05 0.3; do
            compare --truth "$work/truth.dump" --other llama="$work/llama.dump" --other r1core="$work/r1core.dump" \
                --margin $margin --json > "$work/$margin.json"
        done
        "$python" "$work/row.py" "$kind" "$format" "$work/0.05.json" "$work/0.3.json"
        rm "$work"/*.dump "$model"
    done
done
