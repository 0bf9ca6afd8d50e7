//! What a host may rely on when it binds a reply: thoughts and answers keep to their scripts, answers to their grammar,
//! whatever the model would rather say; what cannot be kept is an error and never loose text.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

#[path = "../support/gguf_writer.rs"]
mod gguf_writer;
#[path = "../support/tiny_models.rs"]
mod tiny_models;

use std::sync::LazyLock;

use gguf_writer::string;
use proptest::prelude::*;
use r1core::constraint::{Grammar, Scripts};
use r1core::gguf::Gguf;
use r1core::reasoning::{LoopAction, LoopGuard};
use r1core::{
    CloseReason, Done, Event, GenerateOptions, Model, ModelOptions, SamplerOptions, Session, SessionOptions,
    ThinkOptions, ThinkTags, Usage,
};
use tiny_models::Shape;

// ---------------------------------------------------------------------------------------------------------------------
// A model that says anything: random weights, and so high a temperature that hardly a token is likelier than another.

/// Words of many scripts, tags and parts of them, and pieces of characters, beside a token for each byte.
const WORDS: &[&[u8]] = &[
    b" the",
    b" Wait",
    b"\n\n",
    b"{\"",
    b"\":",
    b"answer",
    b"true",
    b"12",
    b"\"}",
    b"</",
    b"think",
    b"think>",
    b"<th",
    b">{",
    "好".as_bytes(),
    "的\n".as_bytes(),
    "привет".as_bytes(),
    "あい".as_bytes(),
    "é".as_bytes(),
    "。".as_bytes(),
    b">\n",
    "😀".as_bytes(),
    b"\xE5\xA5",
    b"\xBD!",
    b"\xBD\xE5",
    b"\xD0",
    b"\xBF ",
    b"\xC3",
    b"\xA9s",
    b"\xF0\x9F",
    b"\x98\x80",
    b"\x80\xE4\xB8",
    b"\xFF",
    ">好".as_bytes(),
    "k>я".as_bytes(),
    b"> a",
    b"ink> b",
];

const OPEN: u32 = 258;
const CLOSE: u32 = 259;
const FIRST_WORD: u32 = 260;

/// A byte-level vocabulary writes each byte as a character.
fn spelled(bytes: &[u8]) -> String {
    let plain = |b: u8| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let letter = |b: u8| {
        let before = (0..b).filter(|b| !plain(*b)).count() as u32;
        char::from_u32(if plain(b) { u32::from(b) } else { 256 + before }).unwrap()
    };
    bytes.iter().map(|b| letter(*b)).collect()
}

fn model() -> &'static Model {
    static MODEL: LazyLock<Model> = LazyLock::new(|| {
        let shape = Shape {
            layers: 1,
            width: 32,
            heads: 1,
            kv_heads: 1,
            head_dim: 32,
            feed_forward: 32,
            vocabulary: 320,
            ..Shape::new("qwen2", "F32")
        };
        let mut tokens: Vec<String> = (0..=255).map(|byte| spelled(&[byte])).collect();
        let mut types = vec![1i32; 256];
        for (text, kind) in [("<bos>", 3), ("<eos>", 3), ("<think>", 4), ("</think>", 4)] {
            tokens.push(text.into());
            types.push(kind);
        }
        tokens.extend(WORDS.iter().map(|word| spelled(word)));
        types.resize(tokens.len(), 1);
        let mut writer = shape.writer();
        for key in ["tokenizer.ggml.tokens", "tokenizer.ggml.token_type"] {
            writer.keys.retain(|encoded| !encoded.starts_with(&string(key)));
        }
        let writer = writer.strings("tokenizer.ggml.tokens", &tokens).i32s("tokenizer.ggml.token_type", &types);
        Model::load(Gguf::from_bytes(writer.build()).unwrap(), &ModelOptions::default()).unwrap()
    });
    &MODEL
}

fn session(model: &Model) -> Session {
    model.session(SessionOptions { threads: Some(1), ..Default::default() }).unwrap()
}

#[derive(Debug, Clone, PartialEq)]
struct Reply {
    thought: String,
    answer: String,
    usage: Usage,
    done: Done,
}

fn generate(model: &Model, options: &GenerateOptions) -> r1core::Result<Reply> {
    let (mut thought, mut answer, mut usage, mut done) = (String::new(), String::new(), None, None);
    for event in session(model).generate(&[256], options)? {
        match event? {
            Event::Thought(text) => thought += &text,
            Event::Answer(text) => answer += &text,
            Event::Usage(counts) => usage = Some(counts),
            Event::Done(end) => done = Some(end),
            _ => {}
        }
    }
    Ok(Reply { thought, answer, usage: usage.unwrap(), done: done.unwrap() })
}

/// Anything at all, with some tokens liked or disliked.
fn anything(seed: u64, bias: &[(u32, f32)]) -> SamplerOptions {
    SamplerOptions { temperature: 1e4, top_p: 1.0, seed, logit_bias: bias.to_vec(), ..Default::default() }
}

/// Likings as large as the temperature. Some words are made impossible, but no bytes: with those, characters and tags
/// are finished that have begun.
fn likings() -> impl Strategy<Value = Vec<(u32, f32)>> {
    let impossible = (FIRST_WORD..300, Just(f32::NEG_INFINITY));
    prop::collection::vec(prop_oneof![3 => (0u32..300, -3e4f32..6e4), 1 => impossible], 0..12)
}

/// Tags of one token, or spelled out, or of both kinds of parts with marks beside them that mean nothing.
fn tags(kind: u8) -> ThinkTags {
    let ids = |text: &str| match text {
        "<think>" => Some(OPEN),
        "</think>" => Some(CLOSE),
        _ => None,
    };
    match kind {
        SPELLED => ThinkTags::from_text("<think>", "</think>"),
        ONE => ThinkTags::with_vocabulary("<think>", "</think>", &ids),
        _ => {
            let tags = ThinkTags::from_text("<think>loud", "</think>end").also_closed_by("<think>final");
            ThinkTags { silent: vec!["<think>silent".into()], ..tags }.bound(&ids)
        }
    }
}

const SPELLED: u8 = 0;
const ONE: u8 = 1;
const KINDS: std::ops::Range<u8> = 0..3;

fn scripts(names: &str) -> Scripts {
    names.parse().unwrap()
}

/// Whether every character is admitted, but for those that the end of the text or a forced line break cut off, and for
/// the spelling of a tag that the end of the text cut off.
fn keeps(text: &str, scripts: &Scripts) -> bool {
    let text = text.replace("\u{fffd}\n", "\n");
    let text = text.strip_suffix('\u{fffd}').unwrap_or(&text);
    let tags = ["<think>loud", "</think>end", "<think>final", "<think>silent"];
    let cut = tags.iter().flat_map(|tag| (1..tag.len()).rev().map(move |len| &tag[..len]));
    let text = cut.filter_map(|begun| text.strip_suffix(begun)).min_by_key(|rest| rest.len()).unwrap_or(text);
    text.chars().all(|c| scripts.admits(c))
}

const SETS: [&str; 5] = ["latin", "han", "cyrillic", "japanese", "latin,han"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..Default::default() })]

    #[test]
    fn no_letter_of_another_script_is_written(
        seed in any::<u64>(),
        bias in likings(),
        kind in KINDS,
        open in any::<bool>(),
        thought in prop::option::of(prop::sample::select(&SETS[..])),
        answer in prop::option::of(prop::sample::select(&SETS[..])),
        budget in prop::option::of(0usize..40),
        max_tokens in 1usize..80,
        guarded in any::<bool>(),
    ) {
        let (thought, answer) = (thought.map(scripts), answer.map(scripts));
        let base = if guarded { ThinkOptions::default() } else { ThinkOptions::unguarded() };
        let options = GenerateOptions {
            sampler: anything(seed, &bias),
            max_tokens: Some(max_tokens),
            think: ThinkOptions { budget, scripts: thought.clone(), message: Some("".into()), ..base },
            scripts: answer.clone(),
            tags: Some(tags(kind)),
            thought_open: Some(open),
            ..Default::default()
        };
        // Nothing is possible only where everything that is allowed was forbidden by a bias; words and bytes abound.
        let reply = generate(model(), &options).unwrap();
        for (text, scripts, what) in [(&reply.thought, &thought, "thought"), (&reply.answer, &answer, "answer")] {
            let Some(scripts) = scripts else { continue };
            prop_assert!(keeps(text, scripts), "{what} {text:?} not {scripts}");
        }
        let u = reply.usage;
        prop_assert!(u.reasoning + u.tag + u.forced + u.answer <= max_tokens);
        prop_assert!(budget.is_none_or(|budget| u.reasoning <= budget));
    }

    #[test]
    fn a_lock_that_the_model_keeps_by_itself_changes_nothing(seed in any::<u64>(), open in any::<bool>()) {
        // Only digits and punctuation can come, which are in every set, and the tags.
        let possible = |id: &u32| (0x20..0x40).contains(id) || matches!(*id, OPEN | CLOSE);
        let bias: Vec<(u32, f32)> = (0..320).filter(|id| !possible(id)).map(|id| (id, f32::NEG_INFINITY)).collect();
        let options = GenerateOptions {
            sampler: anything(seed, &bias),
            max_tokens: Some(60),
            think: ThinkOptions { budget: Some(20), ..Default::default() },
            tags: Some(tags(ONE)),
            thought_open: Some(open),
            ..Default::default()
        };
        let mut locked = options.clone();
        locked.scripts = Some(scripts("han"));
        locked.think.scripts = Some(scripts("cyrillic"));
        let (free, locked) = (generate(model(), &options).unwrap(), generate(model(), &locked).unwrap());
        prop_assert_eq!((free.thought, free.answer, free.done), (locked.thought, locked.answer, locked.done));
    }
}

#[test]
fn a_lock_leaves_a_thought_its_way_out() {
    // The model wants to close its thought, in letters that the lock does not admit.
    for kind in KINDS {
        let bias = if kind == SPELLED {
            vec![(FIRST_WORD + 9, 1e9), (b't'.into(), 2e9)]
        } else {
            vec![(CLOSE, 1e9), (b'e'.into(), 2e9)]
        };
        let think = ThinkOptions { scripts: Some(scripts("han")), ..Default::default() };
        let options = GenerateOptions {
            sampler: SamplerOptions { logit_bias: bias, ..SamplerOptions::greedy() },
            max_tokens: Some(8),
            think,
            tags: Some(tags(kind)),
            thought_open: Some(true),
            ..Default::default()
        };
        let reply = generate(model(), &options).unwrap();
        assert_eq!((reply.thought.as_str(), reply.done.close), ("", CloseReason::Natural), "{kind}");
    }
}

#[test]
fn forced_texts_are_the_hosts_and_need_not_keep_the_lock() {
    let think = ThinkOptions {
        budget: Some(3),
        message: Some("Time is up.\n".into()),
        scripts: Some(scripts("han")),
        loops: LoopGuard { action: LoopAction::None, ..Default::default() },
        ..Default::default()
    };
    let options = GenerateOptions {
        sampler: SamplerOptions { logit_bias: vec![(FIRST_WORD + 14, 1e9)], ..SamplerOptions::greedy() },
        max_tokens: Some(200),
        think,
        tags: Some(tags(ONE)),
        thought_open: Some(true),
        stop: vec!["好".into()],
        ..Default::default()
    };
    let reply = generate(model(), &options).unwrap();
    assert_eq!((reply.thought.as_str(), reply.answer.as_str()), ("好好好\nTime is up.\n", ""));
}

#[test]
fn nothing_that_may_come_is_an_error() {
    let nothing = (0..320).map(|id| (id, f32::NEG_INFINITY)).collect();
    let options = GenerateOptions {
        sampler: SamplerOptions { logit_bias: nothing, ..Default::default() },
        scripts: Some(scripts("latin")),
        ..Default::default()
    };
    let e = generate(model(), &options).unwrap_err();
    assert_eq!(e.kind(), r1core::ErrorKind::State);
    assert!(e.remedy_text().is_some(), "{e}");
}

#[cfg(not(feature = "grammar"))]
#[test]
fn a_grammar_that_cannot_be_followed_is_refused() {
    let options = GenerateOptions { grammar: Some(Grammar::Json), ..Default::default() };
    let e = generate(model(), &options).unwrap_err();
    assert_eq!(e.kind(), r1core::ErrorKind::Unsupported);
    assert!(e.remedy_text().is_some_and(|remedy| remedy.contains("grammar")), "{e}");
}

#[cfg(feature = "grammar")]
mod grammars;
