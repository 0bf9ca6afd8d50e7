//! Thoughts are told from answers whatever tags a model has and however they are cut over tokens.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::time::Duration;

use r1core::CloseReason;
use r1core::reasoning::{
    Channel, InitialPhase, Phase, Pieces, Plan, ReasoningMachine, ThinkControl, ThinkOptions, ThinkTags, ToolInThink,
    Verdict, Words,
};

/// How a family of models writes a thought and an answer.
struct Family {
    name: &'static str,
    /// Tokens of the vocabulary that carry structure.
    specials: &'static [&'static str],
    template: Option<&'static str>,
    /// The end of its prompt.
    tail: &'static str,
    /// The reply, special tokens spelled out.
    reply: &'static str,
    /// What closes a thought when it is forced.
    closing: &'static str,
}

const THOUGHT: &str = "a < b > c [x] </ d";
const ANSWER: &str = "So [7] </ it is.";

const FAMILIES: [Family; 12] = [
    Family {
        name: "R1, opened by the prompt",
        specials: &["<think>", "</think>"],
        template: None,
        tail: "<｜Assistant｜><think>\n",
        reply: "a < b > c [x] </ d</think>\n\nSo [7] </ it is.",
        closing: "</think>",
    },
    Family {
        name: "R1, opened by the model",
        specials: &["<think>", "</think>"],
        template: None,
        tail: "<｜Assistant｜>",
        reply: "<think>\na < b > c [x] </ d</think>\n\nSo [7] </ it is.",
        closing: "</think>",
    },
    Family {
        name: "R1 in bytes, told from the template",
        specials: &[],
        template: Some("{% set content = content.split('</think>')[-1] %}"),
        tail: "<｜Assistant｜><think>\n",
        reply: "a < b > c [x] </ d</think>\n\nSo [7] </ it is.",
        closing: "</think>",
    },
    Family {
        name: "Qwen3",
        specials: &["<|im_end|>", "<think>", "</think>", "<tool_call>"],
        template: Some("{%- if '</think>' in content %}"),
        tail: "<|im_start|>assistant\n",
        reply: "<think>\na < b > c [x] </ d</think>\n\nSo [7] </ it is.",
        closing: "</think>",
    },
    Family {
        name: "QwQ",
        specials: &["<|im_end|>"],
        template: Some("{{- '<|im_start|>assistant\\n<think>\\n' }}"),
        tail: "<|im_start|>assistant\n<think>\n",
        reply: "a < b > c [x] </ d</think>\n\nSo [7] </ it is.",
        closing: "</think>",
    },
    Family {
        name: "Magistral",
        specials: &["[INST]", "[THINK]", "[/THINK]"],
        template: None,
        tail: "[/INST]",
        reply: "[THINK]a < b > c [x] </ d[/THINK]So [7] </ it is.",
        closing: "[/THINK]",
    },
    Family {
        name: "Magistral in bytes",
        specials: &[],
        template: Some("[THINK]{{ thought }}[/THINK]"),
        tail: "[/INST]",
        reply: "[THINK]a < b > c [x] </ d[/THINK]So [7] </ it is.",
        closing: "[/THINK]",
    },
    Family {
        name: "gpt-oss",
        specials: &["<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>", "<|call|>"],
        template: None,
        tail: "<|start|>assistant",
        reply: "<|channel|>analysis<|message|>a < b > c [x] </ d<|end|><|start|>assistant<|channel|>final<|message|>\
                So [7] </ it is.",
        closing: "<|end|><|start|>assistant<|channel|>final<|message|>",
    },
    Family {
        name: "gpt-oss, without an end",
        specials: &["<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>", "<|call|>"],
        template: None,
        tail: "<|start|>assistant<|channel|>analysis<|message|>",
        reply: "a < b > c [x] </ d<|start|>assistant<|channel|>final<|message|>So [7] </ it is.",
        closing: "<|end|><|start|>assistant<|channel|>final<|message|>",
    },
    Family {
        name: "gpt-oss, two thoughts and a word between",
        specials: &["<|start|>", "<|channel|>", "<|message|>", "<|end|>"],
        template: None,
        tail: "<|start|>assistant",
        reply: "<|channel|>analysis<|message|>a < b > c<|end|><|start|>assistant<|channel|>analysis<|message|> [x] </ d\
                <|end|><|start|>assistant<|channel|>commentary<|message|>So<|end|><|start|>assistant<|channel|>final\
                <|message|> [7] </ it is.",
        closing: "<|end|><|start|>assistant<|channel|>final<|message|>",
    },
    Family {
        name: "Gemma 4",
        specials: &["<|turn>", "<turn|>", "<|channel>", "<channel|>"],
        template: None,
        tail: "<|turn>model\n",
        reply: "<|channel>thought\na < b > c [x] </ d<channel|>So [7] </ it is.",
        closing: "<channel|>",
    },
    Family {
        name: "Seed",
        specials: &["<seed:think>", "</seed:think>"],
        template: None,
        tail: "<seed:bos>assistant\n",
        reply: "<seed:think>a < b > c [x] </ d</seed:think>So [7] </ it is.",
        closing: "</seed:think>",
    },
];

impl Family {
    fn special(&self, text: &str) -> Option<u32> {
        self.specials.iter().position(|special| *special == text).map(|id| id as u32)
    }

    fn tags(&self) -> ThinkTags {
        ThinkTags::find(&|text| self.special(text), self.template).unwrap()
    }

    /// The reply in the smallest tokens: specials, and single bytes.
    fn tokens(&self) -> Vec<(u32, Vec<u8>)> {
        let (mut tokens, mut rest) = (Vec::new(), self.reply);
        while !rest.is_empty() {
            let special = self.specials.iter().find(|special| rest.starts_with(**special));
            let (token, length) = match special {
                Some(special) => ((self.special(special).unwrap(), Vec::new()), special.len()),
                None => ((1000, rest.as_bytes()[..1].to_vec()), 1),
            };
            tokens.push(token);
            rest = &rest[length..];
        }
        tokens
    }
}

/// What a machine streams.
#[derive(Debug, Default, PartialEq)]
struct Streams {
    thought: String,
    answer: String,
}

impl Streams {
    fn take(&mut self, pieces: Pieces<'_>) {
        for (channel, bytes) in pieces {
            let text = std::str::from_utf8(bytes).unwrap();
            match channel {
                Channel::Thought => self.thought += text,
                Channel::Answer => self.answer += text,
            }
        }
    }
}

fn stream(family: &Family, tokens: &[(u32, Vec<u8>)]) -> (Streams, ReasoningMachine) {
    let mut machine = ReasoningMachine::new(Some(family.tags()), InitialPhase::Auto(family.tail));
    let mut streams = Streams::default();
    for (id, bytes) in tokens {
        streams.take(machine.accept(*id, bytes));
    }
    streams.take(machine.finish());
    (streams, machine)
}

/// Joins the tokens of bytes between these cuts; specials stay what they are.
fn join(tokens: &[(u32, Vec<u8>)], cuts: &[usize]) -> Vec<(u32, Vec<u8>)> {
    let mut joined: Vec<(u32, Vec<u8>)> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match joined.last_mut() {
            Some(last) if last.0 == 1000 && token.0 == 1000 && !cuts.contains(&at) => last.1.extend(&token.1),
            _ => joined.push(token.clone()),
        }
    }
    joined
}

#[test]
fn every_family_is_found_and_split_at_every_cut() {
    for family in &FAMILIES {
        let tokens = family.tokens();
        let all: Vec<usize> = (0..tokens.len()).collect();
        let mut cuts: Vec<Vec<usize>> = vec![Vec::new(), all.clone()];
        cuts.extend(all.iter().map(|a| vec![*a]));
        cuts.extend(all.iter().flat_map(|a| all.iter().filter(move |b| a < b).map(move |b| vec![*a, *b])));
        for cuts in cuts {
            let joined = join(&tokens, &cuts);
            let (streams, machine) = stream(family, &joined);
            let got = (streams.thought.as_str(), streams.answer.as_str(), machine.close_reason());
            assert_eq!(got, (THOUGHT, ANSWER, CloseReason::Natural), "{}, cut at {cuts:?}", family.name);
            assert_eq!((machine.phase(), machine.counters().generated()), (Phase::Closed, joined.len() as u64));
        }
    }
}

#[test]
fn a_tag_in_bytes_is_found_over_any_number_of_tokens() {
    for (open, close) in [("<think>", "</think>"), ("[THINK]", "[/THINK]")] {
        let places = close.len() - 1;
        for cuts in 0..1usize << places {
            // The bits say between which bytes of the tag a token ends; text stands directly before and behind it.
            let text = format!("a{close}b");
            let mut machine = ReasoningMachine::new(Some(ThinkTags::from_text(open, close)), InitialPhase::Open);
            let (mut streams, mut from) = (Streams::default(), 0);
            let ends = (0..places).filter(|place| cuts >> place & 1 == 1).map(|place| place + 2);
            for end in ends.chain([text.len()]) {
                streams.take(machine.accept(1000, &text.as_bytes()[from..end]));
                from = end;
            }
            assert_eq!(streams, Streams { thought: "a".into(), answer: "b".into() }, "{close} cut at {cuts:b}");
        }
    }
}

#[test]
fn a_copy_made_anywhere_goes_on_as_the_original_does() {
    for family in &FAMILIES {
        let tokens = family.tokens();
        let feed = |machine: &mut ReasoningMachine, streams: &mut Streams, tokens: &[(u32, Vec<u8>)]| {
            for (at, (id, bytes)) in tokens.iter().enumerate() {
                // Some of them forced, as in the middle of a close.
                streams.take(match at % 3 {
                    0 => machine.accept_forced(*id, bytes, CloseReason::Budget),
                    _ => machine.accept(*id, bytes),
                });
            }
        };
        for at in 0..tokens.len() {
            let mut machine = ReasoningMachine::new(Some(family.tags()), InitialPhase::Auto(family.tail));
            let mut streams = Streams::default();
            feed(&mut machine, &mut streams, &tokens[..at]);
            let mut copy = machine.clone();
            let (mut one, mut other) = (Streams::default(), Streams::default());
            feed(&mut machine, &mut one, &tokens[at..]);
            feed(&mut copy, &mut other, &tokens[at..]);
            assert_eq!((one, machine.counters()), (other, copy.counters()), "{} at {at}", family.name);
        }
    }
}

#[test]
fn nothing_is_streamed_that_would_have_to_be_taken_back() {
    for family in &FAMILIES {
        let mut machine = ReasoningMachine::new(Some(family.tags()), InitialPhase::Auto(family.tail));
        let mut streams = Streams::default();
        for (id, bytes) in family.tokens() {
            streams.take(machine.accept(id, &bytes));
            let Streams { thought, answer } = &streams;
            assert!(THOUGHT.starts_with(thought) && ANSWER.starts_with(answer), "{}: {streams:?}", family.name);
        }
    }
}

/// Runs a family's reply under options; returns the streams, the reason, and the tokens that were forced.
fn limited(family: &Family, options: &ThinkOptions) -> (Streams, CloseReason, Vec<u32>) {
    let encode = |text: &[u8]| text.iter().map(|byte| 1000 + u32::from(*byte)).collect::<Vec<u32>>();
    let special = |text: &str| family.special(text);
    let words = Words { encode: &encode, ends: &[], special: &special };
    let mut control = ThinkControl::new(Some(family.tags()), InitialPhase::Auto(family.tail), options, words).unwrap();
    control.begin(10_000, 0, Duration::ZERO);
    let mut script = family.tokens().into_iter();
    let (mut streams, mut all) = (Streams::default(), Vec::new());
    loop {
        let force = match control.plan() {
            Plan::Force => true,
            Plan::Sample(steer) => {
                let Some((id, bytes)) = script.by_ref().find(|(id, _)| !steer.forbid.contains(id)) else { break };
                match control.judge(id, &bytes, false) {
                    Verdict::Commit => {
                        streams.take(control.accept(id, &bytes));
                        false
                    }
                    Verdict::Force => true,
                    Verdict::End => break,
                }
            }
            _ => break,
        };
        if force {
            for id in control.forced().to_vec() {
                all.push(id);
                let byte: Vec<u8> = id.checked_sub(1000).map(|byte| vec![byte as u8]).into_iter().flatten().collect();
                streams.take(control.accept_forced(id, &byte));
            }
        }
    }
    streams.take(control.finish());
    let machine = control.machine();
    assert_eq!(machine.counters().forced, all.len() as u64);
    (streams, machine.close_reason(), all)
}

#[test]
fn every_family_is_closed_by_force_with_its_own_tag() {
    for family in &FAMILIES {
        for budget in 1..THOUGHT.len() {
            let options = ThinkOptions { budget: Some(budget), message: None, ..ThinkOptions::unguarded() };
            let (streams, reason, forced) = limited(family, &options);
            let name = format!("{} with {budget}", family.name);
            assert_eq!(reason, CloseReason::Budget, "{name}");
            assert!(streams.thought.len() <= budget && THOUGHT.starts_with(&streams.thought), "{name}: {streams:?}");
            // What is written is the tag, or the rest of one that has come; in its tokens where it has them.
            let text: String = forced
                .iter()
                .map(|id| match id.checked_sub(1000) {
                    Some(byte) => char::from(byte as u8).to_string(),
                    None => family.specials[*id as usize].to_owned(),
                })
                .collect();
            let rest = text.replace(family.closing, "");
            assert!(!text.is_empty() && family.closing.ends_with(&rest), "{name}: {text}");
            assert!(!streams.answer.contains("final") && !streams.answer.contains("assistant"), "{name}: {streams:?}");
        }
    }
}

#[test]
fn prompts_that_open_or_close_a_thought_are_told_apart() {
    for (family, tail, phase) in [
        (0, "<｜Assistant｜><think>\n\n</think>\n\n", Phase::Closed),
        (3, "<|im_start|>assistant\n<think>\n\n</think>\n\n", Phase::Closed),
        (5, "[/INST][THINK]", Phase::Thinking),
        (7, "<|start|>assistant<|channel|>final<|message|>", Phase::Closed),
        (7, "<|start|>assistant<|channel|>analysis<|message|>", Phase::Thinking),
        (10, "<|turn>model\n<|channel>thought\n<channel|>", Phase::Closed),
        (10, "<|turn>model\n<|channel>thought\n", Phase::Thinking),
    ] {
        let machine = ReasoningMachine::new(Some(FAMILIES[family].tags()), InitialPhase::Auto(tail));
        assert_eq!(machine.phase(), phase, "{tail:?}");
    }
}

#[test]
fn a_hosts_tags_may_have_several_ends_and_the_one_that_has_begun_is_finished() {
    let tags = ThinkTags::from_text("(", ")").also_opened_by("{").also_closed_by("}").also_closed_by("--end--");
    let split = |text: &str| {
        let mut machine = ReasoningMachine::new(Some(tags.clone()), InitialPhase::Closed);
        let mut streams = Streams::default();
        for at in 0..text.len() {
            streams.take(machine.accept(0, &text.as_bytes()[at..=at]));
        }
        streams.take(machine.finish());
        (streams.thought, streams.answer)
    };
    for text in ["(a)b", "{a)b", "(a}b", "{a--end--b"] {
        assert_eq!(split(text), ("a".into(), "b".into()), "{text}");
    }
    assert_eq!(split("(a-end--)b"), ("a-end--".into(), "b".into()));
    // Overlapping beginnings: the second dash begins the tag anew.
    assert_eq!(split("(a---end--b"), ("a-".into(), "b".into()));

    let encode = |text: &[u8]| text.iter().map(|byte| u32::from(*byte)).collect::<Vec<u32>>();
    let words = Words { encode: &encode, ends: &[], special: &|_| None };
    let options = ThinkOptions { message: Some("Enough.".into()), ..ThinkOptions::default() };
    for (said, forced) in [("hm", "\nEnough.)"), ("hm-", "-end--"), ("hm--en", "d--"), ("hm-x", "\nEnough.)")] {
        let mut control = ThinkControl::new(Some(tags.clone()), InitialPhase::Open, &options, words).unwrap();
        control.begin(1000, 0, Duration::ZERO);
        for byte in said.bytes() {
            assert!(matches!(control.plan(), Plan::Sample(_)));
            control.accept(u32::from(byte), &[byte]);
        }
        control.handle().close();
        assert_eq!(control.plan(), Plan::Force, "{said}");
        let text: String = control.forced().iter().map(|id| char::from(*id as u8)).collect();
        assert_eq!(text, forced, "{said}");
    }
}

#[test]
fn tokens_of_a_tag_that_come_alone_are_shown_and_typed_out_tags_are_text() {
    let family = &FAMILIES[7];
    let mut machine = ReasoningMachine::new(Some(family.tags()), InitialPhase::Open);
    let mut streams = Streams::default();
    let channel = family.special("<|channel|>").unwrap();
    streams.take(machine.accept(1000, b"say <|end|> and "));
    streams.take(machine.accept(channel, b""));
    streams.take(machine.accept(1000, b"analog"));
    streams.take(machine.accept(family.special("<|end|>").unwrap(), b""));
    streams.take(machine.accept(1000, b"yes"));
    assert_eq!(streams, Streams { thought: "say <|end|> and <|channel|>analog".into(), answer: "yes".into() });
}

#[test]
fn a_tag_that_the_host_wants_matched_by_bytes_stays_so_beside_a_tool_policy() {
    let encode = |text: &[u8]| text.iter().map(|byte| 1000 + u32::from(*byte)).collect::<Vec<u32>>();
    let words = Words { encode: &encode, ends: &[], special: &|text| (text == "</think>").then_some(7) };
    let tool_in_think = ToolInThink::ImplicitClose(vec!["<tool_call>".into()]);
    let options = ThinkOptions { tool_in_think, ..Default::default() };
    let tags = ThinkTags::from_text("<think>", "</think>");
    let mut control = ThinkControl::new(Some(tags), InitialPhase::Open, &options, words).unwrap();
    control.begin(1000, 0, Duration::ZERO);
    control.accept(1000, b"hm</think>");
    assert_eq!(control.machine().phase(), Phase::Closed);
}

#[test]
fn tool_calls_in_a_thought_follow_the_policy_as_tokens_and_as_texts() {
    let as_token = Family {
        name: "",
        specials: &["<think>", "</think>", "<tool_call>"],
        template: None,
        tail: "<think>\n",
        reply: "hm<tool_call>{}</think>x",
        closing: "",
    };
    let as_text = Family { specials: &["<think>", "</think>"], ..as_token };
    let calls = || vec!["<tool_call>".to_owned()];
    for (family, tool_in_think, thought, answer, reason) in [
        (&as_token, ToolInThink::Text, "hm{}", "x", CloseReason::Natural),
        (&as_token, ToolInThink::ImplicitClose(calls()), "hm", "<tool_call>{}x", CloseReason::Tool),
        (&as_token, ToolInThink::Forbid(calls()), "hm{}", "x", CloseReason::Natural),
        (&as_text, ToolInThink::Text, "hm<tool_call>{}", "x", CloseReason::Natural),
        (&as_text, ToolInThink::ImplicitClose(calls()), "hm", "<tool_call>{}x", CloseReason::Tool),
        (&as_text, ToolInThink::Forbid(calls()), "hm<tool_call\n{}", "x", CloseReason::Natural),
    ] {
        let options = ThinkOptions { tool_in_think: tool_in_think.clone(), ..Default::default() };
        let (streams, got, _) = limited(family, &options);
        assert_eq!(
            (streams.thought.as_str(), streams.answer.as_str(), got),
            (thought, answer, reason),
            "{tool_in_think:?}"
        );
    }
}
