#!/usr/bin/env python3
"""Write text that finds the edges of a tokenizer, the same bytes each time on one machine.

    make_text.py OUT [--bytes 1200000] [--seed 1] [--kind mixed|prose]

mixed  pieces of prose, Chinese, code, numbers, emoji, combining marks, scripts, odd white space and control-token look-alikes
prose  prose, Chinese and code only: text that a model can predict, for perplexity and distances

Prose comes from the licence texts and manuals of the machine, code from Python's own library and, where
rust-src is installed, from Rust's. What is absent is left out, so compare runs of one machine by the printed checksum.
"""
import argparse, glob, hashlib, os, random, sysconfig

PROSE = ["/usr/share/common-licenses/*", "/usr/share/perl/5*/pod/*.pod", "/usr/share/vim/vim*/tutor/tutor"]
CHINESE = ["/usr/share/vim/vim*/tutor/tutor.zh_cn.utf-8", "/usr/share/vim/vim*/tutor/tutor.zh_tw.utf-8"]
CODE = [sysconfig.get_paths()["stdlib"] + "/[a-m]*.py",
        os.path.expanduser("~/.rustup/toolchains/*/lib/rustlib/src/rust/library/core/src/*.rs"),
        os.path.expanduser("~/.cargo/registry/src/*/*/src/lib.rs")]

SENTENCES = [
    "今天天气很好,我们去公园散步吧。", "設函數在區間上連續,則必有最大值與最小值。", "请问:一个三角形的内角和是多少?答案是180度。",
    "首先,我们需要理解题目的意思;其次,列出方程式。", "「思考」不等於「回答」。", "他说:“这个问题没有那么简单……”", "设x+y=10,x-y=2,求x与y的值。",
    "机器学习模型需要大量数据。", "所以,最终答案是42。", "東京は日本の首都です。", "これはテストです。カタカナとひらがな。", "안녕하세요 세계", "한국어 문장입니다.",
    "Привет, как дела?", "Это — просто тест.", "Η Αθήνα είναι πρωτεύουσα.", "مرحبا بالعالم", "שלום עולם", "नमस्ते दुनिया", "สวัสดีชาวโลก", "Xin chào thế giới",
    "Straße, Übergröße, ŒUVRE, naïve façade", "I'm you're we've they'll he'd it's DON'T I'M WE'LL ’s ’t",
]
EMOJI = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🇨🇳", "🏳️‍🌈", "❤️", "☃", "✈︎", "🧠", "1️⃣", "™", "©", "🀄", "𝔘𝔫𝔦", "𠮷", "\U0001fae8"]
MARKS = ["e\u0301", "a\u0308\u0323", "n\u0303", "Z\u0351\u036b\u0343\u0317", "क\u094d\u0937", "ก\u0e49\u0e33", "\u1100\u1161\u11a8", "\u0301lead", "Å\u212b\u00c5"]
SPACES = [" ", "  ", "   ", "        ", "\t", "\t\t", "\n", "\n\n", "\n\n\n", "\r\n", "\r", " \n", "\n ", " \t ", "\u00a0", "\u2003", "\u3000", "\u200b",
          "\u200d", "\ufeff", "\u2028", "\u0085", "\x0b", "\x0c", "\x1c", "\u180e", "\u202e"]
ODD = ["<think>", "</think>", "<think>\n\n</think>\n\n", "<|im_start|>user\n", "<|im_end|>", "<|endoftext|>", "<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>",
       "<s>", "</s>", "<bos>", "<start_of_turn>", "▁", "▁▁▁", "Ġ", "Ċ", "<0x0A>", "<unk>", "\x00", "\x01\x7f", "\ufffd", "\ue000", "\U0010ffff", "[PAD1]"]
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~…—–‘’“”«»、。《》(),!?·•×÷≤≥∑∫√²³½"


class Source:
    """Seeded choices that depend only on `random.Random.random`, whose sequence Python promises to keep."""

    def __init__(self, seed):
        self.random = random.Random(seed).random
        self.files = {name: self.read(patterns) for name, patterns in (("prose", PROSE), ("chinese", CHINESE), ("code", CODE))}

    def below(self, n):
        return int(self.random() * n)

    def one(self, items):
        return items[self.below(len(items))]

    def some(self, items, least, most):
        return [self.one(items) for _ in range(least + self.below(most - least + 1))]

    @staticmethod
    def read(patterns):
        texts = []
        for pattern in patterns:
            for path in sorted(glob.glob(pattern)):
                if os.path.isfile(path) and not os.path.islink(path):
                    text = open(path, encoding="utf-8", errors="ignore", newline="").read(400_000)
                    if len(text) > 2000:
                        texts.append(text)
        return texts

    def passage(self, name, length):
        if not self.files[name]:
            return self.sentences()
        text = self.one(self.files[name])
        start = self.below(max(1, len(text) - length))
        start = text.find("\n", start) + 1  # from the head of a line, or of the file
        return text[start:start + length] + "\n"

    def prose(self): return self.passage("prose", 300 + self.below(1200))
    def chinese(self): return self.passage("chinese", 200 + self.below(400))
    def code(self): return self.passage("code", 300 + self.below(1200))
    def sentences(self): return self.one(["", " ", "\n"]).join(self.some(SENTENCES, 3, 12)) + "\n"

    def numbers(self):
        kinds = [lambda: str(self.below(10 ** (1 + self.below(12)))), lambda: f"{self.below(10**6) / 997:.{self.below(9)}f}", lambda: f"{self.below(2**32):#x}",
                 lambda: f"{self.below(10**9):,}", lambda: f"2026-{self.below(12) + 1:02}-{self.below(28) + 1:02}", lambda: "٠١٢٣٤٥٦٧٨٩"[self.below(10)] * 3,
                 lambda: f"{self.below(99)} + {self.below(999)} = ?", lambda: "½²Ⅷ①"[self.below(4)], lambda: "1" * (1 + self.below(20))]
        return " ".join(self.one(kinds)() for _ in range(10 + self.below(30))) + "\n"

    def emoji(self): return self.one(["", " ", " a"]).join(self.some(EMOJI, 3, 20)) + "\n"
    def marks(self): return self.one(["", " ", "x"]).join(self.some(MARKS, 3, 20)) + "\n"
    def spaces(self): return "".join(self.one(SPACES) + self.one(["", "word", "x", "Über", "if", "7", "。"]) for _ in range(10 + self.below(40)))
    def odd(self): return self.one(["", " ", "a", "\n"]).join(self.some(ODD, 3, 12)) + "\n"
    def points(self): return "".join(self.one(PUNCTUATION) * (1 + self.below(4)) + self.one(["", " ", "\n", "a", "1"]) for _ in range(10 + self.below(40))) + "\n"

    def anything(self):
        """Code points at random: mostly letters of scripts that no list above names."""
        out = []
        while len(out) < 40:
            c = self.below((0x800, 0x3000, 0xA000, 0x20000)[self.below(4)])
            if not 0xD800 <= c < 0xE000:
                out.append(chr(c))
        return "".join(out) + "\n"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out"); p.add_argument("--bytes", type=int, default=1_200_000)
    p.add_argument("--seed", type=int, default=1); p.add_argument("--kind", choices=("mixed", "prose"), default="mixed")
    a = p.parse_args()
    s = Source(a.seed)
    common = [s.prose, s.prose, s.code, s.chinese]
    kinds = common if a.kind == "prose" else common + [s.sentences, s.sentences, s.numbers, s.emoji, s.marks, s.spaces, s.spaces, s.odd, s.points, s.anything]
    pieces, size = [], 0
    while size < a.bytes:
        piece = s.one(kinds)().encode("utf-8", "ignore")
        pieces.append(piece)
        size += len(piece)
    data = b"".join(pieces)
    open(a.out, "wb").write(data)
    print(f"{a.out}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
