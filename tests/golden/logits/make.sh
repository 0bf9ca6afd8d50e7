#!/usr/bin/env bash
# Makes r1-tiny.jsonl: next-token log-probabilities of the model that ships, computed by llama.cpp; and shapes.jsonl: those of
# every kind of small model with random weights of F32, by its most exact pass.
# Needs `r1`, `make_model` and `peer_logits` (benches/peers) on the PATH; run it from this folder.
set -euo pipefail
model=../../../models/r1-tiny-q8_0.gguf
while IFS= read -r question; do
  ids=$(printf '<｜begin▁of▁sentence｜><｜User｜>%s<｜Assistant｜><think>\n' "$question" | r1 tokenize -m "$model" --special)
  top=$(peer_logits -m "$model" --top 8 <<<"$ids")
  python3 -c 'import json, sys
print(json.dumps({"ids": [int(i) for i in sys.argv[1].split()],
                  "top": [[i, round(p, 5)] for i, p in json.loads(sys.argv[2])["top"]]}))' "$ids" "$top"
done >r1-tiny.jsonl <<'QUESTIONS'
What is 37 * 24?
Solve 3x + 5 = 20.
What is the gcd of 84 and 126?
Use 3, 5, 7 and 9 to make 24.
Tom has 12 apples and buys 30 more. How many apples does he have?
Is 91 prime?
QUESTIONS

# Longer than every window and original context of the small models.
ids=$(awk 'BEGIN { for (i = 0; i < 100; i++) printf "%d ", (i * 7919 + 3) % 320 }')
file=$(mktemp)
trap 'rm -f "$file"' EXIT
for kind in llama llama-moe qwen2 qwen2moe qwen3 qwen3moe gemma3 smollm3 glm4 phi3 exaone deepseek-moe deepseek2 \
  deepseek2-merged deepseek2-moe deepseek2-lite-moe; do
  make_model "$kind" F32 "$file"
  top=$(peer_logits -m "$file" --exact --top 8 <<<"$ids")
  python3 -c 'import json, sys
print(json.dumps({"kind": sys.argv[1], "top": [[i, round(p, 6)] for i, p in json.loads(sys.argv[2])["top"]]}))' "$kind" "$top"
done >shapes.jsonl
