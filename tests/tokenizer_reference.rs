//! The tokenizer gives the ids of llama.cpp, text by text.
//!
//! `golden/tokenizer_vectors.txt` holds texts with the ids that llama.cpp gives them, for the model that ships and for
//! real vocabularies too large to ship. The latter are checked with the files in the folder that `R1_MODELS` names;
//! without one they are skipped, and the test says so. `golden/make_tokenizer_vectors.cpp` made the vectors.
//!
//! Two differences to llama.cpp are deliberate, and the vectors avoid them: it gives two BOS to a text that brings its
//! own, and it makes a control token of every token spelled `</s>`.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use r1core::gguf::{Gguf, LoadMode};
use r1core::{EncodeOptions, Tokenizer};
use std::path::Path;

const VECTORS: &str = include_str!("golden/tokenizer_vectors.txt");

const PLAIN: EncodeOptions = EncodeOptions { add_bos: false, parse_special: false };
const PROMPT: EncodeOptions = EncodeOptions { add_bos: true, parse_special: true };

struct Vocabulary {
    /// A token whose text tells vocabularies apart.
    probe: (u32, String),
    cases: Vec<Case>,
}

struct Case {
    options: EncodeOptions,
    text: String,
    ids: Vec<u32>,
}

fn vocabularies() -> Vec<Vocabulary> {
    let mut all: Vec<Vocabulary> = Vec::new();
    for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        match *fields {
            ["vocabulary", id, text] => {
                all.push(Vocabulary { probe: (id.parse().unwrap(), text.into()), cases: Vec::new() });
            }
            [mode, text, ids] => all.last_mut().unwrap().cases.push(Case {
                options: if mode == "prompt" { PROMPT } else { PLAIN },
                text: unescape(text),
                ids: ids.split_whitespace().map(|id| id.parse().unwrap()).collect(),
            }),
            _ => panic!("{line}"),
        }
    }
    all
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        out.push(match c {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('0') => '\0',
                other => other.unwrap(),
            },
            c => c,
        });
    }
    out
}

fn load(path: &Path) -> r1core::Result<Tokenizer> {
    Tokenizer::from_metadata(Gguf::open(path, LoadMode::Map)?.metadata())
}

/// Checks a tokenizer against the vectors of its vocabulary; `None` when there are none.
#[track_caller]
fn check(tokenizer: &Tokenizer) -> Option<usize> {
    let is_it = |vocabulary: &Vocabulary| tokenizer.text(vocabulary.probe.0) == Some(&vocabulary.probe.1);
    let vocabulary = vocabularies().into_iter().find(is_it)?;
    for Case { options, text, ids } in &vocabulary.cases {
        assert_eq!(&tokenizer.encode(text, *options), ids, "{text:?} with {options:?}");
        if *options == PLAIN && !text.contains('\u{2581}') {
            assert_eq!(tokenizer.decode(ids, false), text.as_bytes(), "{text:?} back from its ids");
        }
    }
    Some(vocabulary.cases.len())
}

fn shipped() -> Tokenizer {
    load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/r1-tiny-q8_0.gguf"))).unwrap()
}

#[test]
fn the_shipped_model_has_the_reference_ids() {
    assert!(check(&shipped()).is_some_and(|cases| cases > 90));
}

#[test]
fn real_vocabularies_have_the_reference_ids() {
    let Some(folder) = std::env::var_os("R1_MODELS") else {
        println!("skipped: R1_MODELS names no folder with GGUF files");
        return;
    };
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "gguf") {
            continue;
        }
        match load(&path).map(|tokenizer| check(&tokenizer)) {
            Ok(Some(cases)) => println!("{}: {cases} texts", path.display()),
            Ok(None) => println!("{}: skipped, no vectors for its vocabulary", path.display()),
            Err(error) => println!("skipped: {error}"),
        }
    }
}

#[test]
fn the_shipped_model_knows_its_marks() {
    let tokenizer = shipped();
    assert_eq!((tokenizer.len(), tokenizer.bos(), tokenizer.eos()), (768, Some(762), Some(763)));
    assert!(tokenizer.add_bos() && tokenizer.is_end_of_generation(763));
    let prompt = "<｜begin▁of▁sentence｜><｜User｜>1+1=?<｜Assistant｜><think>\n";
    let ids = tokenizer.encode(prompt, PROMPT);
    assert_eq!((ids[0], ids[1]), (762, 764), "one BOS, then the user's mark");
    assert_eq!(tokenizer.decode(&ids, true), prompt.as_bytes());
    assert!(!tokenizer.encode(prompt, PLAIN).iter().any(|id| (762..766).contains(id)), "plain text has no roles");
}

#[test]
fn a_stream_of_the_shipped_model_shows_whole_characters() {
    let tokenizer = shipped();
    let text = "naïve 世界 🦙👩‍👩‍👧 done";
    let ids = tokenizer.encode(text, PLAIN);
    assert!(ids.len() > text.chars().count(), "characters come in parts");
    let mut decoder = tokenizer.decoder();
    let mut shown = String::new();
    for id in ids {
        shown += decoder.push(id);
        assert!(text.starts_with(&*shown), "{shown:?}");
    }
    shown += decoder.flush();
    assert_eq!(shown, text);
}

#[test]
fn threads_share_a_tokenizer() {
    let tokenizer = shipped();
    let text = "the quick brown fox 12345 jumps ".repeat(200);
    let expected = tokenizer.encode(&text, PLAIN);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let tokenizer = tokenizer.clone();
            let (text, expected) = (&text, &expected);
            scope.spawn(move || assert_eq!(&tokenizer.encode(text, PLAIN), expected));
        }
    });
}
