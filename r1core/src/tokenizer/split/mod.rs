//! Splitters: how byte-level BPE vocabularies cut text into pieces before merging.
//!
//! Each splitter is one or more regular expressions applied in order: every expression cuts each piece made so far
//! into its matches and the gaps between them, so that nothing is lost and no piece crosses an earlier cut. They are
//! written as scanners in linear time without backtracking; each cites the expression that it implements. A
//! look-ahead sees the end of the piece as the end of the text.

mod cursor;
mod deepseek;
mod gpt2;
mod qwen;

use super::classes::{Class, Classes};
use cursor::Cursor;

/// A splitter by the name that files use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Splitter {
    Default,
    DeepseekCoder,
    DeepseekLlm,
    DeepseekV3,
    /// Splits and merges as [`Splitter::LlamaBpe`], and does not begin with BOS.
    Glm4,
    Gpt2,
    LlamaBpe,
    Qwen2,
    Qwen35,
    /// Splits as [`Splitter::LlamaBpe`]; what is whole in the vocabulary is merged like everything else.
    Smaug,
    Smollm,
}

impl Splitter {
    /// The splitter of a `tokenizer.ggml.pre` value, or `None` when it is not known.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "default" => Self::Default,
            "deepseek-coder" => Self::DeepseekCoder,
            "deepseek-llm" => Self::DeepseekLlm,
            "deepseek-v3" => Self::DeepseekV3,
            "gpt-2" | "phi-2" | "mpt" | "olmo" | "jais" => Self::Gpt2,
            "glm4" => Self::Glm4,
            "smaug-bpe" | "dbrx" | "chatglm-bpe" => Self::Smaug,
            "llama-bpe" | "llama3" | "llama-v3" | "falcon3" => Self::LlamaBpe,
            "qwen2" | "deepseek-r1-qwen" | "megrez" => Self::Qwen2,
            "qwen35" => Self::Qwen35,
            "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" => Self::Smollm,
            _ => return None,
        })
    }

    /// Calls `piece` with each piece of `text` in order. No piece is empty and together they are the text.
    pub(super) fn split<'a>(self, text: &'a str, mut piece: impl FnMut(&'a str)) {
        let classes = Classes::get();
        let piece = &mut piece;
        match self {
            Self::Gpt2 => gpt2::words(Cursor::new(text, classes), piece),
            Self::Qwen2 => qwen::words(Cursor::new(text, classes), Class::LETTER, 1, piece),
            Self::Qwen35 => qwen::words(Cursor::new(text, classes), Class::LETTER | Class::MARK, 1, piece),
            Self::LlamaBpe | Self::Glm4 | Self::Smaug => {
                qwen::words(Cursor::new(text, classes), Class::LETTER, 3, piece)
            }
            Self::Smollm => {
                // \p{N}
                cursor::runs(Cursor::new(text, classes), is_number, 1, &mut |text: &'a str| {
                    gpt2::words(Cursor::new(text, classes), piece);
                });
            }
            Self::Default => {
                // [\p{P}\$\+<=>\^~\|]+
                let is_mark = |code: u32, class: Class| {
                    class.is(Class::PUNCTUATION) || b"$+<=>^~|".iter().any(|&byte| u32::from(byte) == code)
                };
                cursor::runs(Cursor::new(text, classes), is_mark, usize::MAX, &mut |text: &'a str| {
                    gpt2::words(Cursor::new(text, classes), &mut |text: &'a str| {
                        // \p{N}+
                        cursor::runs(Cursor::new(text, classes), is_number, usize::MAX, &mut |text: &'a str| {
                            gpt2::three_digits(text, piece);
                        });
                    });
                });
            }
            Self::DeepseekV3 => {
                // \p{N}{1,3}
                cursor::runs(Cursor::new(text, classes), is_number, 3, &mut |text: &'a str| {
                    // [一-龥぀-ゟ゠-ヿ]+
                    let is_cjk = |code: u32, _| matches!(code, 0x4E00..=0x9FA5 | 0x3040..=0x30FF);
                    cursor::runs(Cursor::new(text, classes), is_cjk, usize::MAX, &mut |text: &'a str| {
                        deepseek::words(Cursor::new(text, classes), piece);
                    });
                });
            }
            Self::DeepseekCoder => deepseek::code_words(Cursor::new(text, classes), piece),
            Self::DeepseekLlm => deepseek::old_words(Cursor::new(text, classes), piece),
        }
    }
}

fn is_number(_: u32, class: Class) -> bool {
    class.is(Class::NUMBER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Splitter; 11] = [
        Splitter::Default,
        Splitter::DeepseekCoder,
        Splitter::DeepseekLlm,
        Splitter::DeepseekV3,
        Splitter::Glm4,
        Splitter::Gpt2,
        Splitter::LlamaBpe,
        Splitter::Qwen2,
        Splitter::Qwen35,
        Splitter::Smaug,
        Splitter::Smollm,
    ];

    fn pieces(splitter: Splitter, text: &str) -> Vec<&str> {
        let mut pieces = Vec::new();
        splitter.split(text, |piece| pieces.push(piece));
        pieces
    }

    #[track_caller]
    fn check(splitter: Splitter, expected: &str) {
        let text = expected.replace('|', "");
        assert_eq!(pieces(splitter, &text).join("|"), expected);
    }

    #[test]
    fn qwen_splits_words_digits_and_space() {
        check(Splitter::Qwen2, "Hello| world|,| it|'s| DON|'T| we|'ll");
        check(Splitter::Qwen2, "a|1|2| | |3| b");
        check(Splitter::Qwen2, " | two| | spaces|\n\n|\tend| ");
        check(Splitter::Qwen2, "x| +=\n|y|;\r\n|  \n|  | z|  ");
        check(Splitter::Qwen2, "cafe|\u{301}| (|b|).\n\n|c");
        check(Splitter::Qwen2, "\u{3000}你好|，世界|！");
        check(Splitter::LlamaBpe, "a|123|456|7| |89");
        check(Splitter::Qwen35, "cafe\u{301}|1|\u{301}| \u{301}x| -| ");
    }

    #[test]
    fn gpt2_keeps_the_leading_space_and_its_case() {
        check(Splitter::Gpt2, "It|'s| DON|'|T| 123|  \n| x|  ");
        check(Splitter::Smollm, "a|1|2| |3| | x|  |4|  ");
        check(Splitter::Default, "ab|.,| cd| |123|45| |$+| é");
    }

    #[test]
    fn deepseek_splits_punctuation_with_letters() {
        check(Splitter::DeepseekV3, "x|=|1|;y|+=|2| //| c|++");
        check(Splitter::DeepseekV3, "123|45| |67| a|.b| .| c|\u{0}\u{1}|\u{2}d|\u{0}");
        check(Splitter::DeepseekV3, "日本|・|語カタ|ABC|!\n| \n| | x");
        check(Splitter::DeepseekCoder, "Hi| there|!|\n|\r| |你好|。| | x| |1|2| =|y|→|é");
        check(Splitter::DeepseekLlm, "Hi| there|!|\n|\r|你好|。|   |12|  ");
    }

    proptest! {
        #[test]
        fn pieces_are_the_text(text in "[a-zA-Z'\u{301}é世ー・0-9٣½ \u{3000}\u{85}\r\n\t\u{0}\u{E000}!$_、🦙-]{0,40}|\\PC{0,20}") {
            for splitter in ALL {
                let pieces = pieces(splitter, &text);
                prop_assert!(pieces.iter().all(|piece| !piece.is_empty()));
                prop_assert_eq!(pieces.concat(), &*text);
            }
        }
    }
}
