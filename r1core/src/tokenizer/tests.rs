//! Tests on small vocabularies made here; the ones of real models are in `tests/tokenizer_reference.rs`.

use super::*;
use crate::gguf::{Array, StringArray, Value};
use proptest::prelude::*;

const PLAIN: EncodeOptions = EncodeOptions { add_bos: false, parse_special: false };
const PROMPT: EncodeOptions = EncodeOptions { add_bos: true, parse_special: true };

/// Entries of a file, to be changed by a test before it builds the tokenizer.
struct File(Vec<(String, Value)>);

impl File {
    fn new(model: &str, tokens: &[(&str, i32)]) -> Self {
        let mut file = Self(Vec::new());
        file.set("model", Value::Str(model.into()));
        file.set("tokens", strings(tokens.iter().map(|&(text, _)| text)));
        file.set("token_type", Value::Array(Array::I32(tokens.iter().map(|&(_, kind)| kind).collect())));
        file
    }

    fn set(&mut self, key: &str, value: Value) -> &mut Self {
        self.remove(key);
        self.0.push((format!("tokenizer.ggml.{key}"), value));
        self
    }

    fn remove(&mut self, key: &str) -> &mut Self {
        self.0.retain(|(name, _)| *name != format!("tokenizer.ggml.{key}"));
        self
    }

    fn load(&self) -> Result<Tokenizer> {
        Tokenizer::from_metadata(&Metadata::from_entries(self.0.clone()).unwrap())
    }

    #[track_caller]
    fn fails(&self, kind: ErrorKind, key: &str, part: &str) {
        let error = self.load().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.place().key.as_deref(), Some(&*format!("tokenizer.ggml.{key}")), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

fn strings<'a>(texts: impl Iterator<Item = &'a str>) -> Value {
    Value::Array(Array::Str(texts.collect::<StringArray>()))
}

/// The character of each byte in the alphabet.
fn alphabet_texts() -> Vec<String> {
    let mut next = 0x100u32;
    let character = |byte: u8| match byte {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
        _ => {
            next += 1;
            char::from_u32(next - 1).unwrap()
        }
    };
    (0..=255).map(character).map(String::from).collect()
}

/// All bytes (ids 0-255), some merges, and marks: `<s>` 261 control, `</s>` 262 control, `<think>` 263 user-defined.
fn byte_level() -> File {
    let bytes = alphabet_texts();
    let mut tokens: Vec<(&str, i32)> = bytes.iter().map(|text| (&**text, 1)).collect();
    tokens.extend([("he", 1), ("ll", 1), ("hell", 1), ("hello", 1), ("Ġhello", 1)]);
    tokens.extend([("<s>", 3), ("</s>", 3), ("<think>", 4), ("[PAD1]", 5)]);
    let mut file = File::new("gpt2", &tokens);
    file.set("pre", Value::Str("qwen2".into()));
    file.set("merges", strings(["h e", "l l", "he ll", "hell o", "Ġ hello"].into_iter()));
    file.set("bos_token_id", Value::U32(261)).set("eos_token_id", Value::U32(262));
    file.set("add_bos_token", Value::Bool(true));
    file
}

/// A SentencePiece vocabulary with the byte tokens of `a` to `z` missing.
fn sentence() -> File {
    let bytes: Vec<String> = (0..=255u8).map(|byte| format!("<0x{byte:02X}>")).collect();
    let mut tokens = vec![("<unk>", 2), ("<s>", 3), ("</s>", 3)];
    tokens.extend(bytes.iter().map(|text| (&**text, 6)));
    let words = ["▁", "a", "b", "ab", "▁a", "▁ab", "▁▁", "b▁"];
    tokens.extend(words.map(|text| (text, 1)));
    tokens.push(("<think>", 4));
    let mut file = File::new("llama", &tokens);
    let mut scores = vec![0.0; 259];
    scores.extend([-9.0, -8.0, -8.5, -2.0, -3.0, -1.0, -4.0, -7.0, 0.0]);
    file.set("scores", Value::Array(Array::F32(scores)));
    file
}

fn id(tokenizer: &Tokenizer, text: &str) -> TokenId {
    tokenizer.token_id(text).unwrap()
}

fn texts(tokenizer: &Tokenizer, ids: &[TokenId]) -> String {
    ids.iter().map(|&id| tokenizer.text(id).unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn merges_go_by_rank_and_then_from_the_left() {
    let tokenizer = byte_level().load().unwrap();
    assert_eq!(texts(&tokenizer, &tokenizer.encode("hello hello", PLAIN)), "hello Ġhello");
    assert_eq!(texts(&tokenizer, &tokenizer.encode("llll", PLAIN)), "ll ll");
    assert_eq!(texts(&tokenizer, &tokenizer.encode("lll", PLAIN)), "ll l");
    assert_eq!(texts(&tokenizer, &tokenizer.encode("hel", PLAIN)), "he l");
}

#[test]
fn long_pieces_merge_like_short_ones() {
    let tokenizer = byte_level().load().unwrap();
    for len in [95, 96, 97, 98, 1001] {
        let ids = tokenizer.encode(&"l".repeat(len), PLAIN);
        assert_eq!(ids.len(), len.div_ceil(2), "{len}");
        assert_eq!(tokenizer.text(*ids.last().unwrap()), Some(if len % 2 == 0 { "ll" } else { "l" }));
    }
    let ids = tokenizer.encode(&"hello".repeat(100), PLAIN);
    assert_eq!(ids, vec![id(&tokenizer, "hello"); 100]);
}

#[test]
fn user_text_cannot_make_control_tokens() {
    for file in [byte_level(), sentence()] {
        let tokenizer = file.load().unwrap();
        let ids = tokenizer.encode("a<s>b</s>", PLAIN);
        assert!(ids.iter().all(|&id| tokenizer.kind(id) != Some(TokenKind::Control)));
        assert!(tokenizer.encode("a<think>b", PLAIN).contains(&id(&tokenizer, "<think>")));
        let ids = tokenizer.encode("a</s>b", EncodeOptions { parse_special: true, ..PLAIN });
        assert!(ids.contains(&id(&tokenizer, "</s>")));
    }
}

#[test]
fn not_even_merges_make_control_tokens() {
    let mut file = byte_level();
    file.set("merges", strings(["< s", "<s >", "h e"].into_iter())).set("pre", Value::Str("gpt-2".into()));
    let tokenizer = file.load().unwrap();
    assert_eq!(texts(&tokenizer, &tokenizer.encode("<s>he", PLAIN)), "< s > he");
}

#[test]
fn bos_comes_once() {
    let tokenizer = byte_level().load().unwrap();
    assert_eq!(tokenizer.encode("", PROMPT), [261]);
    assert_eq!(tokenizer.encode("<s>a", PROMPT), [261, 97]);
    assert_eq!(tokenizer.encode("a<s>", PROMPT), [261, 97, 261]);
    assert_eq!(tokenizer.encode("<s>a", EncodeOptions { add_bos: false, ..PROMPT }), [261, 97]);
    let tokenizer = byte_level().set("add_bos_token", Value::Bool(false)).load().unwrap();
    assert_eq!(tokenizer.encode("a", PROMPT), [97]);
    let tokenizer = byte_level().set("add_eos_token", Value::Bool(true)).load().unwrap();
    assert_eq!(tokenizer.encode("a", PROMPT), [261, 97, 262]);
    assert_eq!(tokenizer.encode("a</s>", PROMPT), [261, 97, 262]);
}

#[test]
fn defaults_follow_the_model_and_the_splitter() {
    let mut file = byte_level();
    file.remove("add_bos_token");
    assert!(!file.load().unwrap().add_bos());
    assert!(file.set("pre", Value::Str("llama-bpe".into())).load().unwrap().add_bos());
    let tokenizer = sentence().load().unwrap();
    assert!(tokenizer.add_bos() && !tokenizer.add_eos());
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.unknown()), (Some(1), Some(2), Some(0)));
}

#[test]
fn a_word_of_the_vocabulary_needs_no_merges_in_llama_3() {
    let mut file = byte_level();
    file.set("merges", strings(["h e"].into_iter()));
    assert_eq!(texts(&file.load().unwrap(), &file.load().unwrap().encode("hello", PLAIN)), "he l l o");
    let tokenizer = file.set("pre", Value::Str("llama3".into())).load().unwrap();
    assert_eq!(texts(&tokenizer, &tokenizer.encode("hello", PLAIN)), "hello");
}

#[test]
fn scores_decide_in_sentence_vocabularies() {
    let tokenizer = sentence().load().unwrap();
    assert_eq!(texts(&tokenizer, &tokenizer.encode("ab", PLAIN)), "▁ab");
    assert_eq!(texts(&tokenizer, &tokenizer.encode("ab b", PLAIN)), "▁ab ▁ b");
    assert_eq!(texts(&tokenizer, &tokenizer.encode(" b  a", PLAIN)), "▁▁ b▁ ▁a");
    assert_eq!(texts(&tokenizer, &tokenizer.encode("b", PLAIN)), "▁ b");
    assert_eq!(texts(&tokenizer, &tokenizer.encode("é<think>a", PLAIN)), "▁ <0xC3> <0xA9> <think> ▁a");
    let tokenizer = sentence().set("add_space_prefix", Value::Bool(false)).load().unwrap();
    assert_eq!(texts(&tokenizer, &tokenizer.encode("ab\n", PLAIN)), "ab <0x0A>");
    assert_eq!(tokenizer.decode(&tokenizer.encode(" ab", PLAIN), false), b" ab");
}

#[test]
fn text_without_a_token_becomes_unknown() {
    let tokens = [("<unk>", 2), ("<s>", 3), ("</s>", 3), ("▁", 1), ("a", 1)];
    let tokenizer = File::new("llama", &tokens).load().unwrap();
    assert_eq!(tokenizer.encode("aé", PLAIN), [3, 4, 0]);
    let mut file = File::new("gpt2", &[("a", 1)]);
    file.set("merges", strings([].into_iter()));
    assert_eq!(file.load().unwrap().encode("aéa", PLAIN), [0, 0]);
}

#[test]
fn merges_may_name_strings_outside_the_vocabulary() {
    let mut file = byte_level();
    file.set("merges", strings(["h x", "h e", "x y", "he ll"].into_iter()));
    let tokenizer = file.load().unwrap();
    assert_eq!(texts(&tokenizer, &tokenizer.encode("hxy", PLAIN)), "h x y");
    assert_eq!(tokenizer.decode(&tokenizer.encode("hxhexyhell", PLAIN), false), b"hxhexyhell");
}

#[test]
fn invalid_bytes_become_replacement_characters_one_by_one() {
    let tokenizer = byte_level().load().unwrap();
    let ids = tokenizer.encode_bytes(b"a\xE4\xBD<think>\xFFb", PLAIN);
    assert_eq!(tokenizer.decode(&ids, false), "a\u{FFFD}\u{FFFD}<think>\u{FFFD}b".as_bytes());
    let tokenizer = sentence().load().unwrap();
    assert_eq!(tokenizer.decode(&tokenizer.encode_bytes(b"a\xF4 b", PLAIN), false), b"a\xF4\xE2\x96\x81b");
}

#[test]
fn printing_follows_the_kind() {
    let tokenizer = byte_level().load().unwrap();
    let ids = [261, id(&tokenizer, "Ġhello"), 263, 264, 9999, 262];
    assert_eq!(tokenizer.decode(&ids, false), b" hello<think>");
    assert_eq!(tokenizer.decode(&ids, true), b"<s> hello<think></s>");
    assert_eq!(tokenizer.piece(264), Some(&b"[PAD1]"[..]));
    assert_eq!(tokenizer.piece(9999), None);
    assert_eq!(tokenizer.special_text(263), Some("<think>"));
    assert_eq!(tokenizer.special_text(97), None);
    assert_eq!(tokenizer.kind(264), Some(TokenKind::Unused));
}

#[test]
fn generation_ends_at_control_tokens_only() {
    let mut file = byte_level();
    let mut all: Vec<String> = alphabet_texts();
    all.extend(["</s>", "<|im_end|>", "<|end_of_text|>", "<|eom_id|>", "<end>"].map(String::from));
    let mut kinds = vec![1; 261];
    (kinds[257], kinds[259], kinds[260]) = (3, 3, 3);
    file.set("tokens", strings(all.iter().map(|text| &**text)));
    file.set("token_type", Value::Array(Array::I32(kinds)));
    file.set("eos_token_id", Value::U32(260)).set("merges", strings([].into_iter()));
    file.remove("bos_token_id");
    let tokenizer = file.load().unwrap();
    assert_eq!(tokenizer.ends_of_generation(), [257, 259, 260]);
    assert_eq!((tokenizer.eot(), tokenizer.eom(), tokenizer.eos()), (Some(257), Some(259), Some(260)));
    assert!(!tokenizer.is_end_of_generation(256), "an ordinary token spelled </s>");
}

#[test]
fn unknown_models_and_splitters_are_named() {
    byte_level().set("model", Value::Str("rwkv".into())).fails(ErrorKind::Unsupported, "model", "rwkv");
    byte_level().set("pre", Value::Str("newest".into())).fails(ErrorKind::Unsupported, "pre", "newest");
    assert!(byte_level().remove("pre").load().is_ok());
    byte_level().remove("model").fails(ErrorKind::Missing, "model", "absent");
}

#[test]
fn contradictory_arrays_are_refused() {
    let short = || Value::Array(Array::I32(vec![1, 1]));
    byte_level().remove("tokens").fails(ErrorKind::Missing, "tokens", "absent");
    byte_level().set("tokens", short()).fails(ErrorKind::Malformed, "tokens", "strings");
    byte_level().set("tokens", strings([].into_iter())).fails(ErrorKind::Malformed, "tokens", "empty");
    byte_level().set("token_type", short()).fails(ErrorKind::Malformed, "token_type", "2 types for 265");
    let garbage = Value::Array(Array::I32(vec![77; 265]));
    byte_level().set("token_type", garbage).fails(ErrorKind::Malformed, "token_type", "type 77");
    byte_level().remove("merges").fails(ErrorKind::Missing, "merges", "merges");
    byte_level().set("merges", short()).fails(ErrorKind::Malformed, "merges", "strings");
    for bad in ["", " ", "ab", "a ", " b", "a b c", "｜ a"] {
        byte_level().set("merges", strings([bad].into_iter())).fails(ErrorKind::Malformed, "merges", "merge 0");
    }
    let scores = Value::Array(Array::F32(vec![0.0]));
    sentence().set("scores", scores).fails(ErrorKind::Malformed, "scores", "1 scores");
    let scores = Value::Array(Array::U8(vec![0; 268]));
    sentence().set("scores", scores).fails(ErrorKind::Malformed, "scores", "float");
    for bad in ["<0xZZ>", "<0x-1>", "<0x+1>", "<", "<0x1>", ""] {
        File::new("llama", &[(bad, 6)]).fails(ErrorKind::Malformed, "tokens", "type byte");
    }
}

#[test]
fn ids_out_of_range_count_as_absent() {
    let mut file = byte_level();
    file.set("bos_token_id", Value::U32(9999)).set("eos_token_id", Value::I32(-1));
    let tokenizer = file.load().unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (None, None));
    assert_eq!(tokenizer.encode("a", PROMPT), [97]);
    file.set("eos_token_id", Value::Str("2".into())).fails(ErrorKind::Malformed, "eos_token_id", "integer");
}

#[test]
fn the_first_of_equal_tokens_counts_and_empty_ones_never() {
    let tokens = [("<unk>", 2), ("a", 1), ("a", 1), ("", 1), ("", 3), ("", 4), ("<x>", 4), ("<x>", 4)];
    let mut file = File::new("llama", &tokens);
    let tokenizer = file.set("add_space_prefix", Value::Bool(false)).load().unwrap();
    assert_eq!(tokenizer.encode("aa<x>", PLAIN), [1, 1, 6]);
    assert_eq!(tokenizer.token_id("a"), Some(1));
    assert_eq!(tokenizer.token_id(""), None);
    assert_eq!(tokenizer.decode(&[2, 3, 5, 7], false), b"a<x>");
}

#[test]
fn a_huge_token_does_no_harm() {
    let huge = "a".repeat(8 << 20);
    for kind in [1, 3, 4, 5] {
        let mut file = byte_level();
        file.set("tokens", strings(["a", &huge].into_iter()));
        file.set("token_type", Value::Array(Array::I32(vec![1, kind])));
        file.set("merges", strings(["a a"].into_iter()));
        let tokenizer = file.load().unwrap();
        assert_eq!(tokenizer.piece(1).map(<[u8]>::len), Some(8 << 20));
        let ids = tokenizer.encode(&"a".repeat(300), PROMPT);
        assert_eq!(tokenizer.decode(&ids, true).len(), 300);
    }
}

#[test]
fn tokenizers_are_shared_between_threads() {
    fn shareable<T: Send + Sync + Clone>(_: &T) {}
    let tokenizer = byte_level().load().unwrap();
    shareable(&tokenizer);
    shareable(&tokenizer.decoder());
}

proptest! {
    #[test]
    fn byte_level_text_comes_back(text in "\\PC{0,60}|[hel \n<think>'0-9世🦙]{0,200}") {
        let tokenizer = byte_level().load().unwrap();
        let ids = tokenizer.encode(&text, PLAIN);
        prop_assert_eq!(tokenizer.decode(&ids, false), text.as_bytes());
    }

    #[test]
    fn sentence_text_comes_back(text in "[ab é\n<think>世🦙]{0,100}") {
        for prefix in [true, false] {
            let tokenizer = sentence().set("add_space_prefix", Value::Bool(prefix)).load().unwrap();
            let ids = tokenizer.encode(&text, PLAIN);
            prop_assert_eq!(tokenizer.decode(&ids, false), text.as_bytes());
        }
    }

    #[test]
    fn words_of_a_sentence_vocabulary_merge_as_the_whole(text in "[ab▁ é]{0,40}") {
        // An extra token that joins every pair of words turns cutting off.
        let tokenizer = sentence().load().unwrap();
        let mut file = sentence();
        let Some((_, Value::Array(Array::Str(tokens)))) = file.0.iter().find(|(key, _)| key.ends_with(".tokens")) else {
            unreachable!()
        };
        let joins: Vec<String> = (0..=0x7Fu8).map(|byte| format!("{}▁zzz", char::from(byte))).collect();
        let all: Vec<&str> = tokens.iter().chain(joins.iter().map(|text| &**text)).collect();
        let len = all.len();
        let all = strings(all.into_iter());
        file.set("tokens", all);
        file.remove("token_type");
        let mut kinds = vec![1; len];
        (kinds[0], kinds[1], kinds[2]) = (2, 3, 3);
        kinds[3..259].fill(6);
        kinds[267] = 4;
        file.set("token_type", Value::Array(Array::I32(kinds)));
        let Some((_, Value::Array(Array::F32(scores)))) = file.0.iter().find(|(key, _)| key.ends_with(".scores")) else {
            unreachable!()
        };
        let mut scores = scores.to_vec();
        scores.resize(len, -99.0);
        file.set("scores", Value::Array(Array::F32(scores)));
        prop_assert_eq!(tokenizer.encode(&text, PLAIN), file.load().unwrap().encode(&text, PLAIN));
    }

    #[test]
    fn streaming_equals_decoding(ids in proptest::collection::vec(0u32..270, 0..60), with_special: bool) {
        for tokenizer in [byte_level().load().unwrap(), sentence().load().unwrap()] {
            let mut decoder = tokenizer.decoder().with_special(with_special);
            let mut text = String::new();
            for &id in &ids {
                text += decoder.push(id);
            }
            text += decoder.flush();
            let whole = tokenizer.decode(&ids, with_special);
            prop_assert_eq!(text, String::from_utf8_lossy(&whole));
        }
    }

    #[test]
    fn arbitrary_bytes_encode(bytes in proptest::collection::vec(any::<u8>(), 0..200), special: bool) {
        for tokenizer in [byte_level().load().unwrap(), sentence().load().unwrap()] {
            let ids = tokenizer.encode_bytes(&bytes, EncodeOptions { add_bos: special, parse_special: special });
            prop_assert!(ids.iter().all(|&id| (id as usize) < tokenizer.len()));
        }
    }
}
