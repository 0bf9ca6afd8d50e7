//! Answers that follow a grammar.

use r1core::reasoning::ToolInThink;
use r1core::{Chat, ChatOptions, ErrorKind, Finish, VoteOptions};
use serde_json::Value;

use super::*;

const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "answer": {"type": "integer"},
        "sure": {"enum": [true, false]},
        "words": {"type": "array", "items": {"type": "string"}, "maxItems": 2}
    },
    "required": ["answer", "sure"],
    "additionalProperties": false
}"#;

fn schema(text: &str) -> Option<Grammar> {
    Some(Grammar::JsonSchema(text.into()))
}

fn satisfies(text: &str) -> bool {
    let Ok(Value::Object(object)) = serde_json::from_str(text) else { return false };
    let strings = |words: &Value| words.as_array().is_some_and(|a| a.len() <= 2 && a.iter().all(Value::is_string));
    object.keys().all(|key| ["answer", "sure", "words"].contains(&key.as_str()))
        && object
            .get("answer")
            .is_some_and(|v| v.is_i64() || v.is_u64() || v.as_f64().is_some_and(|f| f.fract() == 0.0))
        && object.get("sure").is_some_and(Value::is_boolean)
        && object.get("words").is_none_or(strings)
}

/// How a test grammar's texts are told.
type Told = fn(&str) -> bool;

fn grammars() -> [(Grammar, Told); 5] {
    [
        (Grammar::JsonSchema(SCHEMA.into()), satisfies),
        (Grammar::Json, |text| match serde_json::from_str(text) {
            Ok(value) => matches!(value, Value::Object(_)),
            // What serde_json does not hold, JSON does.
            Err(e) => e.to_string().contains("number out of range"),
        }),
        (Grammar::Regex("[0-9]{1,3}(好|me\n|\\n<think>)?".into()), |text| {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            (1..=3).contains(&digits) && ["", "好", "me\n", "\n<think>"].contains(&&text[digits..])
        }),
        (Grammar::Lark("start: \"(\" start* \")\"".into()), |text| {
            let mut depth = 0i64;
            let open = |c| {
                depth += if c == '(' { 1 } else { -1 };
                depth
            };
            let depths: Vec<i64> = text.chars().map(open).collect();
            text.chars().all(|c| c == '(' || c == ')')
                && depths.iter().rposition(|d| *d <= 0) == depths.len().checked_sub(1)
                && depths.iter().filter(|d| **d == 0).count() == 1
        }),
        (Grammar::Regex("\n*a*".into()), |text| text.trim_start_matches('\n').chars().all(|c| c == 'a')),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..Default::default() })]

    #[test]
    fn an_answer_follows_its_grammar_or_says_that_it_was_cut(
        seed in any::<u64>(),
        bias in likings(),
        which in 0usize..5,
        kind in KINDS,
        open in prop::option::of(any::<bool>()),
        has_tags in any::<bool>(),
        budget in prop::option::of(0usize..30),
        max_tokens in 1usize..120,
        guarded in any::<bool>(),
        latin in any::<bool>(),
        stop in any::<bool>(),
    ) {
        let (grammar, told) = grammars()[which].clone();
        let base = if guarded { ThinkOptions::default() } else { ThinkOptions::unguarded() };
        let mut tags = tags(kind);
        if !has_tags {
            tags = ThinkTags::from_text("<never-written>", "<never-closed>");
        }
        let options = GenerateOptions {
            sampler: anything(seed, &bias),
            max_tokens: Some(max_tokens),
            think: ThinkOptions { budget, ..base },
            grammar: Some(grammar.clone()),
            scripts: latin.then(|| scripts("latin")),
            tags: Some(tags),
            thought_open: open.filter(|_| has_tags),
            stop: if stop { vec!["2".into(), "))".into()] } else { Vec::new() },
            ..Default::default()
        };
        let reply = match generate(model(), &options) {
            Ok(reply) => reply,
            // Where the bias forbids all that the grammar allows.
            Err(e) => {
                prop_assert!(matches!(e.kind(), ErrorKind::State), "{e}");
                prop_assert!(bias.iter().any(|(_, bias)| *bias == f32::NEG_INFINITY), "{e}");
                return Ok(());
            }
        };
        let (answer, done) = (&reply.answer, reply.done);
        let complete = done.complete.expect("there is a grammar");
        prop_assert!(!complete || told(answer), "{:?} {grammar:?} {done:?}", answer);
        // The model itself may end its answer only where it is complete.
        let ended = done.finish == Finish::Stop && done.close != CloseReason::Eos && !stop;
        prop_assert!(complete || !ended, "{:?} {done:?}", answer);
        prop_assert!(!latin || keeps(answer, &scripts("latin")), "{:?}", answer);
    }

    #[test]
    fn a_thought_is_untouched_by_the_grammar(seed in any::<u64>(), kind in KINDS, budget in 1usize..60) {
        let options = GenerateOptions {
            sampler: anything(seed, &[]),
            max_tokens: Some(80),
            think: ThinkOptions { budget: Some(budget), reopen: false, ..Default::default() },
            tags: Some(tags(kind)),
            thought_open: Some(true),
            ..Default::default()
        };
        let free = generate(model(), &options).unwrap();
        let bound = generate(model(), &GenerateOptions { grammar: schema(SCHEMA), ..options }).unwrap();
        if kind == ONE {
            prop_assert_eq!((free.thought, free.done.close), (bound.thought, bound.done.close));
        } else {
            // A tag that is spelled in a free answer begins a further thought.
            prop_assert!(free.thought.starts_with(&bound.thought));
        }
    }
}

fn shipped() -> Model {
    Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/r1-tiny-q8_0.gguf")).unwrap()
}

fn greedy(grammar: Option<Grammar>) -> GenerateOptions {
    GenerateOptions { sampler: SamplerOptions::greedy(), grammar, ..Default::default() }
}

fn ask(model: &Model, question: &str, options: &GenerateOptions) -> r1core::Result<Reply> {
    let mut chat = Chat::new(session(model), ChatOptions::default())?;
    let (mut thought, mut answer, mut usage, mut done) = (String::new(), String::new(), None, None);
    for event in chat.send(question, options)? {
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

const INTEGER: &str = r#"{"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"], "additionalProperties": false}"#;

/// The model's own words, for it knows no others.
const BOX: &str = r"The answer is \\boxed\{[0-9]+\}\.";

#[test]
fn the_shipped_model_answers_in_json() {
    let model = shipped();
    let free = ask(&model, "What is 37 * 24?", &greedy(None)).unwrap();
    let bound = ask(&model, "What is 37 * 24?", &greedy(schema(INTEGER))).unwrap();
    assert_eq!((free.done.complete, bound.done.complete), (None, Some(true)));
    assert_eq!(bound.thought, free.thought, "the thought is untouched");
    assert_eq!((bound.done.finish, bound.done.close), (Finish::Stop, CloseReason::Natural));
    let value: Value = serde_json::from_str(&bound.answer).unwrap();
    assert!(value["answer"].is_i64() && value.as_object().unwrap().len() == 1, "{}", bound.answer);

    let bound = ask(&model, "What is 37 * 24?", &greedy(Some(Grammar::Regex(BOX.into())))).unwrap();
    assert_eq!((bound.answer.as_str(), bound.done.complete), (r"The answer is \boxed{888}.", Some(true)));
}

#[test]
fn limits_hold_beside_a_grammar() {
    let model = shipped();
    let budget = ThinkOptions { budget: Some(16), ..Default::default() };
    let bound = ask(&model, "What is 37 * 24?", &GenerateOptions { think: budget, ..greedy(schema(INTEGER)) }).unwrap();
    assert_eq!((bound.done.close, bound.done.complete), (CloseReason::Budget, Some(true)));
    assert_eq!(bound.usage.reasoning, 16);

    // The answer is cut, and it can be seen.
    let cut = GenerateOptions { max_tokens: Some(bound.usage.generated() - 1), ..greedy(schema(INTEGER)) };
    let think = ThinkOptions { budget: Some(16), answer_reserve: Some(0), ..Default::default() };
    let cut = ask(&model, "What is 37 * 24?", &GenerateOptions { think, ..cut }).unwrap();
    assert_eq!((cut.done.finish, cut.done.complete), (Finish::Length, Some(false)));
    assert!(bound.answer.starts_with(&cut.answer) && cut.answer != bound.answer);

    // No time for an answer, none for anything.
    let now = ThinkOptions { deadline_total: Some(std::time::Duration::ZERO), ..Default::default() };
    let late = ask(&model, "What is 37 * 24?", &GenerateOptions { think: now, ..greedy(schema(INTEGER)) }).unwrap();
    assert_eq!((late.done.finish, late.done.complete), (Finish::Deadline, Some(false)));

    // The answer now.
    let mut chat = Chat::new(session(&model), ChatOptions::default()).unwrap();
    let reply = chat.send("What is 37 * 24?", &greedy(schema(INTEGER))).unwrap();
    reply.think_handle().close();
    let (mut text, mut done) = (String::new(), None);
    for event in reply {
        match event.unwrap() {
            Event::Answer(piece) => text += &piece,
            Event::Done(end) => done = Some(end),
            _ => {}
        }
    }
    assert!(serde_json::from_str::<Value>(&text).unwrap()["answer"].is_i64());
    assert_eq!(done.map(|done| (done.close, done.complete)), Some((CloseReason::Interrupt, Some(true))));
}

#[test]
fn every_sample_of_a_vote_follows_the_grammar_by_itself() {
    let model = shipped();
    let generate = GenerateOptions { grammar: schema(INTEGER), ..Default::default() };
    let options =
        VoteOptions { samples: 4, eager: true, early_stop: "never".parse().unwrap(), generate, ..Default::default() };
    let mut chat = Chat::new(session(&model), ChatOptions::default()).unwrap();
    let result = chat.vote("What is 37 * 24?", &options).unwrap().result().unwrap();
    assert_eq!(result.finished, 4);
    let bad = GenerateOptions { grammar: schema("{"), ..Default::default() };
    let bad = VoteOptions { generate: bad, ..Default::default() };
    assert_eq!(chat.vote("What is 37 * 24?", &bad).err().map(|e| e.kind()), Some(ErrorKind::Argument));
    let alone: Vec<String> =
        (0..4).map(|i| ask(&model, "What is 37 * 24?", &options.sample_options(i)).unwrap().answer).collect();
    for (sample, alone) in result.samples.iter().zip(&alone) {
        assert!(serde_json::from_str::<Value>(&sample.text).unwrap()["answer"].is_i64(), "{}", sample.text);
        assert_eq!((&sample.text, sample.complete), (alone, Some(true)));
    }
}

#[test]
fn a_conversation_goes_on_after_an_answer_in_json() {
    let model = shipped();
    let mut chat = Chat::new(session(&model), ChatOptions::default()).unwrap();
    for _ in 0..2 {
        let mut text = String::new();
        for event in chat.send("What is 2 + 3?", &greedy(schema(INTEGER))).unwrap() {
            if let Event::Answer(piece) = event.unwrap() {
                text += &piece;
            }
        }
        assert!(serde_json::from_str::<Value>(&text).unwrap()["answer"].is_i64(), "{text}");
    }
    assert_eq!(chat.messages().len(), 4);
}

#[test]
fn a_grammar_governs_where_there_is_no_thought() {
    let model = shipped();
    let tokens = model.tokenizer().encode("2 + 3 =", Default::default());
    let mut session = session(&model);
    let options = GenerateOptions {
        thought_open: Some(false),
        sampler: SamplerOptions {
            logit_bias: ["<think>", "</think>"].map(|tag| (model.tokenizer().special_id(tag).unwrap(), -1e9)).to_vec(),
            ..SamplerOptions::greedy()
        },
        ..greedy(Some(Grammar::Regex("(yes|no)".into())))
    };
    let text: String = session
        .generate(&tokens, &options)
        .unwrap()
        .filter_map(|event| match event.unwrap() {
            Event::Answer(text) => Some(text),
            _ => None,
        })
        .collect();
    assert!(["yes", "no"].contains(&text.as_str()), "{text:?}");
    // The session has what it said: the tokens of the whole answer.
    let said = model.tokenizer().decode(&session.tokens()[tokens.len()..], false);
    assert_eq!(String::from_utf8(said).unwrap(), text);
}

#[test]
fn grammars_that_are_none_are_refused_with_the_place() {
    let lark = |text: &str| Grammar::Lark(text.into());
    let json = |text: &str| Grammar::JsonSchema(text.into());
    let regex = |text: &str| Grammar::Regex(text.into());
    let deep = format!("{}{}", r#"{"items":"#.repeat(1000), "}".repeat(1000));
    let products: Vec<String> = (0..16)
        .map(|i| format!(r#"{{"anyOf":[{{"properties":{{"a{i}":{{}}}}}},{{"properties":{{"b{i}":{{}}}}}}]}}"#))
        .collect();
    let products = format!(r#"{{"allOf":[{}]}}"#, products.join(","));
    for (grammar, kind, part) in [
        (json(r#"{"type": "inte"#), ErrorKind::Argument, "line 1 column 14"),
        (json(r#"{"type": "intger"}"#), ErrorKind::Argument, "intger"),
        (json(r##"{"$ref": "#/$defs/x"}"##), ErrorKind::Argument, "#/$defs/x"),
        (json(r#"{"$ref": "http://example.com/s.json"}"#), ErrorKind::Argument, "http://example.com/s.json"),
        (json(r##"{"$ref": "#"}"##), ErrorKind::Argument, "no text satisfies it"),
        (json("false"), ErrorKind::Argument, "Unsatisfiable"),
        (json(r#"{"type": "integer", "minimum": 5, "maximum": 3}"#), ErrorKind::Argument, "greater than maximum"),
        (json(r#"{"not": {"type": "string"}}"#), ErrorKind::Argument, "not"),
        (json(""), ErrorKind::Argument, "EOF"),
        (json(&deep), ErrorKind::Argument, "recursion limit"),
        (json(&products), ErrorKind::Argument, "too large"),
        (json(&" ".repeat(1 << 19)), ErrorKind::Limit, "524288"),
        (regex("a(b"), ErrorKind::Argument, "unclosed group"),
        (regex(&"(".repeat(10_000)), ErrorKind::Argument, "regular expression"),
        (regex("(?=a)b"), ErrorKind::Argument, "look-around"),
        (lark("start: \"a\" (\n foo"), ErrorKind::Argument, "1(13)"),
        (lark("start: foo"), ErrorKind::Argument, "foo"),
        (lark(""), ErrorKind::Argument, "start"),
        (lark("start: <|im_end|>"), ErrorKind::Argument, "no control tokens"),
        (lark(&format!("start: {}", "(".repeat(5000))), ErrorKind::Argument, "nested"),
    ] {
        let options = GenerateOptions { grammar: Some(grammar.clone()), ..Default::default() };
        // Refused by the call, before anything is generated.
        let e = session(model()).generate(&[256], &options).err().unwrap_or_else(|| panic!("{grammar:?}"));
        let text = e.to_string();
        assert!(e.kind() == kind && text.contains(part), "{part}: {text}");
        assert!(text.len() < 4000 && !text.contains("backtrace") && !text.contains("non-verbose"), "{text}");
    }
}

#[test]
fn hostile_grammars_neither_kill_the_host_nor_keep_it() {
    let chain = |rule: &dyn Fn(usize) -> String, n: usize| (0..n).map(rule).collect::<String>();
    let lark = |text: String| Grammar::Lark(text);
    let n = 4000;
    let refs = chain(&|i| format!(r##""a{i}":{{"allOf":[{{"$ref":"#/$defs/a{}"}}]}},"##, i + 1), n);
    for grammar in [
        // Recursion as deep as the text is long.
        lark(format!("start: r0\n{}r{n}: \"a\"", chain(&|i| format!("r{i}: r{}\n", i + 1), n))),
        lark(format!("start: T0\n{}T{n}: \"a\"", chain(&|i| format!("T{i}: T{} \"b\"\n", i + 1), n))),
        Grammar::JsonSchema(format!(r##"{{"$ref":"#/$defs/a0","$defs":{{{refs}"a{n}":{{"type":"integer"}}}}}}"##)),
        // Automata without end.
        Grammar::Regex("(.*a.{40}){20}".into()),
        Grammar::Regex("(\\w{1,500}-){1,500}".into()),
        lark("start: T\nT: /(.*a.{12})/ & /(.*b.{13})/ & /(.*c.{14})/".into()),
        lark("start: start start | \"a\" | \"\"".into()),
        Grammar::JsonSchema(r#"{"type": "array", "minItems": 100000000, "items": {}}"#.into()),
        Grammar::JsonSchema(r#"{"type": "string", "maxLength": 1000000000}"#.into()),
    ] {
        for seed in 0..3 {
            let options = GenerateOptions {
                sampler: anything(seed, &[]),
                max_tokens: Some(200),
                grammar: Some(grammar.clone()),
                thought_open: Some(false),
                ..Default::default()
            };
            match generate(model(), &options) {
                Ok(reply) => assert!(reply.done.complete.is_some()),
                Err(e) => assert!(matches!(e.kind(), ErrorKind::Argument | ErrorKind::Limit), "{e}"),
            }
        }
    }
}

#[test]
fn what_cannot_be_kept_together_is_an_error() {
    let tools = ThinkOptions { tool_in_think: ToolInThink::ImplicitClose(vec!["<tool>".into()]), ..Default::default() };
    let e = generate(model(), &GenerateOptions { think: tools, grammar: Some(Grammar::Json), ..Default::default() });
    assert_eq!(e.unwrap_err().kind(), ErrorKind::Argument);

    let both = GenerateOptions {
        grammar: Some(Grammar::Regex("a+".into())),
        scripts: Some(scripts("han")),
        thought_open: Some(false),
        tags: Some(ThinkTags::from_text("<never-written>", "<never-closed>")),
        sampler: SamplerOptions { logit_bias: vec![(b'<'.into(), f32::NEG_INFINITY)], ..Default::default() },
        ..Default::default()
    };
    let e = generate(model(), &both).unwrap_err();
    assert!(e.kind() == ErrorKind::State && e.remedy_text().is_some_and(|r| r.contains("scripts")), "{e}");
}

#[test]
fn an_ignored_end_does_not_end_the_grammar() {
    let options = GenerateOptions {
        ignore_end: true,
        max_tokens: Some(30),
        thought_open: Some(false),
        sampler: SamplerOptions { logit_bias: vec![(OPEN, f32::NEG_INFINITY)], ..anything(3, &[]) },
        ..greedy(Some(Grammar::Regex("[0-9]*".into())))
    };
    let reply = generate(model(), &options).unwrap();
    assert_eq!((reply.done.finish, reply.done.complete), (Finish::Length, Some(true)));
    assert!(!reply.answer.is_empty() && reply.answer.bytes().all(|b| b.is_ascii_digit()), "{}", reply.answer);
}
