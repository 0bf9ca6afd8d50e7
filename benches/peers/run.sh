#!/bin/sh
# Every comparison of README.md, from the build to the figures.
#
#   ./run.sh agree WORK MODEL.gguf...    tokens, distance from the truth, top-1 agreement, perplexity
#   ./run.sh speed MODEL.gguf...         prefill and decode in interleaved rounds
#
# WORK is a folder for texts and dumps (five dumps of 4 bytes x POSITIONS x vocabulary at a time, removed after use).
# `agree` needs Python with gguf and numpy. Settings, with their defaults:
#   PYTHON=python3  POSITIONS=2500  THREADS=2  ROUNDS=5  ENGINES=llama,llama-no-repack,r1core
set -eu

usage() { sed -n '4,5s/^# *//p' "$0" >&2; exit 2; }
[ $# -ge 2 ] || usage
mode=$1; shift
case $mode in agree) work=$1; shift; [ $# -ge 1 ] || usage ;; speed) ;; *) usage ;; esac
for model; do [ -r "$model" ] || { echo "$model: cannot be read" >&2; exit 1; }; done

here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3} positions=${POSITIONS:-2500} threads=${THREADS:-2}
# Built from its own folder: .cargo/config.toml there gives llama.cpp the instructions of this machine.
(cd "$here" && cargo build --release)
PATH=${CARGO_TARGET_DIR:-$here/target}/release:$PATH

if [ "$mode" = speed ]; then
    for model; do
        echo "== $model"
        speed -m "$model" --threads "$threads" --rounds "${ROUNDS:-5}" --engines "${ENGINES:-llama,llama-no-repack,r1core}"
    done
    exit
fi

mkdir -p "$work"
"$python" "$here/make_text.py" "$work/mixed.txt"
# Five bytes a token suffice for English prose in any vocabulary.
"$python" "$here/make_text.py" "$work/prose.txt" --kind prose --bytes $((positions * 5))

# llama.cpp turns any token spelled </s> into a control token, whatever the file says; r1core believes the file. The text
# without it has to give the same ids, and whether the text with it does is told apart.
LC_ALL=C sed 's|</s>||g' "$work/mixed.txt" > "$work/without.txt"

same_ids() { # text, further flags
    text=$1; shift
    for engine in llama r1core; do
        peer_tokenize -m "$model" --engine $engine "$@" < "$text" > "$work/$engine.ids"
    done
    cmp -s "$work/llama.ids" "$work/r1core.ids"
}

same_tokens() { # flags
    if same_ids "$work/mixed.txt" "$@"; then found=same
    elif same_ids "$work/without.txt" "$@"; then found='same but for </s>'
    else found=DIFFERENT; fi
    echo "tokens of mixed.txt ${*:-(plain)}: $(wc -w < "$work/llama.ids"), $found"
}

dump() { # name, flags
    name=$1; shift
    peer_logits -m "$model" --all-positions --top 1 --threads "$threads" --dump "$work/$name.dump" "$@" \
        < "$work/ids" > /dev/null
}

for model; do
    echo "== $model"
    same_tokens
    same_tokens --special
    peer_tokenize -m "$model" --bos < "$work/prose.txt" | cut -d' ' -f"1-$positions" > "$work/ids"
    "$python" "$here/reference.py" "$model" "$work/truth.dump" < "$work/ids"
    dump llama
    dump r1core --engine r1core
    # llama.cpp against itself: how far its own choices move it.
    dump llama-no-repack --engine llama-no-repack
    dump llama-one-by-one --batch 1
    compare --truth "$work/truth.dump" --other llama="$work/llama.dump" --other r1core="$work/r1core.dump" \
        --other llama-no-repack="$work/llama-no-repack.dump" --other llama-one-by-one="$work/llama-one-by-one.dump"
    rm "$work"/*.dump
    for engine in llama r1core; do
        printf '%-24s ' "$engine"
        peer_perplexity -m "$model" -f "$work/prose.txt" --engine $engine --threads "$threads"
    done
done
