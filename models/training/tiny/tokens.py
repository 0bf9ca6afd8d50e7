"""The tokenizer: byte-level BPE with R1's split and tags, 768 tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

#: The split of `deepseek-r1-qwen`, where every digit stands alone.
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
VOCABULARY, PLAIN = 768, 762


@dataclass(frozen=True)
class Piece:
    """Text, or one special token. `wrong` are offsets of characters that do not count."""

    text: str
    counts: bool = True
    wrong: tuple[int, ...] = ()
    special: int | None = None


SPECIAL = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"]
BOS, EOS, USER, ASSISTANT, THINK, END_THINK = (Piece(text, True, (), PLAIN + i) for i, text in enumerate(SPECIAL))


def _splitter(*more):
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT), "isolated"), *more, byte_level])


def train(texts, path: Path) -> None:
    """Learns 506 merges, none of them across a bracket or an operator: a forced `\\boxed{` is then as the model's own."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = _splitter(pre_tokenizers.Split(Regex(r"[(){}*/\\]"), "isolated"))
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=PLAIN, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
                                  show_progress=False)
    made.train_from_iterator(texts, trainer)
    assert made.get_vocab_size() == PLAIN, made.get_vocab_size()
    made.pre_tokenizer = _splitter()
    made.save(str(path))


class Tokens:
    """Text to ids and back."""

    def __init__(self, path: Path):
        self.inner = Tokenizer.from_file(str(path))
        alphabet = _byte_alphabet()
        self.bytes = [bytes(alphabet[c] for c in self.inner.id_to_token(i)) for i in range(PLAIN)]
        self.bytes += [text.encode() for text in SPECIAL]

    def encode(self, text: str) -> list[int]:
        return self.inner.encode(text).ids

    def decode(self, ids) -> str:
        return b"".join([self.bytes[i] for i in ids]).decode("utf-8", "replace")

    def pieces(self, made: list[Piece]) -> tuple[list[int], list[bool]]:
        """Ids of a document, and which of them count in the loss."""
        ids, counts = [], []
        for piece in made:
            if piece.special is not None:
                ids.append(piece.special)
                counts.append(piece.counts)
                continue
            encoded = self.inner.encode(piece.text)
            ids += encoded.ids
            if piece.wrong:
                wrong = set(piece.wrong)
                counts += [piece.counts and start not in wrong for start, _ in encoded.offsets]
            else:
                counts += [piece.counts] * len(encoded.ids)
        return ids, counts


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's characters for bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    out = {chr(byte): byte for byte in plain}
    for n, byte in enumerate(byte for byte in range(256) if byte not in plain):
        out[chr(256 + n)] = byte
    return out
