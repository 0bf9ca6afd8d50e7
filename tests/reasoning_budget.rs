//! What a host may rely on when it limits a thought: bounds that hold, one close, counts that add up, whole characters,
//! clean streams. Most tests let scripted tokens play the model; some run the model that ships.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use proptest::prelude::*;
use r1core::reasoning::{
    Boundary, Channel, Clock, Counters, GuardEos, InitialPhase, LoopAction, LoopGuard, OnBudget, Phase, Pieces, Plan,
    Ramp, ThinkControl, ThinkHandle, ThinkOptions, ThinkTags, ToolInThink, Verdict, Words,
};
use r1core::{
    Chat, ChatOptions, CloseReason, Done, Event, Finish, GenerateOptions, Model, Provenance, SamplerOptions,
    SessionOptions, TokenEvent, Usage,
};

// ---------------------------------------------------------------------------------------------------------------------
// A model that says what a script says.

/// One token for each byte, and some of their own.
const OPEN: u32 = 256;
const CLOSE: u32 = 257;
const END: u32 = 258;
const WORDS: [&[u8]; 12] =
    [b"</", b"think", b">", b"<", b"</think", b"think>", b"hm", b" so", b".", b"\n", "日".as_bytes(), b"</think>\n"];

fn bytes_of(id: u32) -> Vec<u8> {
    match id {
        0..=255 => vec![id as u8],
        OPEN => b"<think>".to_vec(),
        CLOSE => b"</think>".to_vec(),
        END => Vec::new(),
        _ => WORDS[id as usize - 259].to_vec(),
    }
}

fn word(text: &str) -> u32 {
    match text {
        "OPEN" => OPEN,
        "CLOSE" => CLOSE,
        "END" => END,
        _ => WORDS.iter().position(|word| *word == text.as_bytes()).map_or_else(
            || {
                assert_eq!(text.len(), 1, "{text:?} is no token");
                u32::from(text.as_bytes()[0])
            },
            |i| 259 + i as u32,
        ),
    }
}

/// The tokens of a text: single bytes.
fn encode(text: &[u8]) -> Vec<u32> {
    text.iter().map(|byte| u32::from(*byte)).collect()
}

/// Tokens that belong together: when the first is refused, the model does not say the rest.
type Group = Vec<u32>;

fn script(tokens: &[&str]) -> Vec<Group> {
    tokens.iter().map(|token| vec![word(token)]).collect()
}

/// What a script consists of when characters are cut over tokens.
fn characters(text: &str) -> Vec<Group> {
    text.chars().map(|c| encode(c.to_string().as_bytes())).collect()
}

#[derive(Debug, Clone)]
struct Case {
    by_id: bool,
    open: bool,
    options: ThinkOptions,
    /// Tokens that may be generated.
    tokens: usize,
    /// What a host does before the plan of this number.
    acts: Vec<(usize, Act)>,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Close,
    Budget(Option<usize>),
}

impl Case {
    fn new(options: ThinkOptions) -> Case {
        Case { by_id: true, open: true, options, tokens: 100_000, acts: Vec::new() }
    }

    fn by_bytes(self) -> Case {
        Case { by_id: false, ..self }
    }
}

fn budget(budget: usize) -> ThinkOptions {
    ThinkOptions { budget: Some(budget), message: None, ..Default::default() }
}

#[derive(Debug, Clone, PartialEq)]
struct Run {
    thought: Vec<u8>,
    answer: Vec<u8>,
    counters: Counters,
    close: CloseReason,
    phase: Phase,
    /// Thoughts that were opened, and thoughts that were closed.
    blocks: (u32, u32),
    /// Tokens of the sequence, and whether they were forced.
    tokens: Vec<(u32, bool)>,
    /// What the handle said to each act.
    observed: Vec<Phase>,
    /// The sequence was ended by the controller or by an end token.
    ended: Option<&'static str>,
}

impl Run {
    fn thought(&self) -> &str {
        std::str::from_utf8(&self.thought).unwrap()
    }

    fn answer(&self) -> &str {
        std::str::from_utf8(&self.answer).unwrap()
    }

    fn forced(&self) -> Vec<u8> {
        self.tokens.iter().filter(|(_, forced)| *forced).flat_map(|(id, _)| bytes_of(*id)).collect()
    }
}

fn run(case: &Case, script: &[Group]) -> Run {
    let mut tags = ThinkTags::from_text("<think>", "</think>");
    if case.by_id {
        (tags.open_id, tags.close_id) = (Some(OPEN), Some(CLOSE));
    }
    let initial = if case.open { InitialPhase::Open } else { InitialPhase::Closed };
    let words = Words { encode: &encode, ends: &[END] };
    let mut control = ThinkControl::new(Some(tags), initial, &case.options, words).unwrap();
    control.begin(case.tokens, 0, Duration::ZERO);
    let handle = control.handle();
    let (mut thought, mut answer, mut tokens, mut observed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut ended = None;
    let (mut steps, mut closes) = (0, 0);
    let mut groups = script.iter();
    let mut group: &[u32] = &[];
    while tokens.len() < case.tokens {
        for (_, act) in case.acts.iter().filter(|(at, _)| *at == steps) {
            observed.push(match act {
                Act::Close => handle.close(),
                Act::Budget(budget) => handle.set_budget(*budget),
            });
        }
        steps += 1;
        let mut take = |pieces: Pieces<'_>| {
            for (channel, bytes) in pieces {
                if channel == Channel::Thought { &mut thought } else { &mut answer }.extend_from_slice(bytes);
            }
        };
        let before = control.machine().phase();
        let id = match control.plan() {
            Plan::Force => None,
            Plan::Full => {
                ended = Some("full");
                break;
            }
            Plan::Late => {
                ended = Some("late");
                break;
            }
            Plan::Sample(steer) => {
                let allowed = |id: u32| !steer.forbid.contains(&id);
                let next = loop {
                    match group.split_first() {
                        Some((id, rest)) => {
                            group = rest;
                            if allowed(*id) {
                                break Some(*id);
                            }
                        }
                        None => match groups.next() {
                            Some(next) => group = next,
                            None => break None,
                        },
                    }
                };
                let Some(id) = next else { break };
                Some(id)
            }
        };
        let verdict = id.map_or(Verdict::Force, |id| control.judge(id, &bytes_of(id), id == END));
        match (verdict, id) {
            (Verdict::Commit, Some(id)) => {
                tokens.push((id, false));
                take(control.accept(id, &bytes_of(id)));
            }
            (Verdict::End, _) => {
                control.accept_end();
                ended = Some("end");
                break;
            }
            _ => {
                group = if id.is_some() { &[] } else { group };
                assert!(!control.forced().is_empty());
                for id in control.forced().to_vec() {
                    tokens.push((id, true));
                    take(control.accept_forced(id, &bytes_of(id)));
                }
            }
        }
        closes += u32::from(before == Phase::Thinking && control.machine().phase() != Phase::Thinking);
        assert_eq!(handle.phase(), control.machine().phase());
        assert_eq!(handle.counters(), control.machine().counters());
    }
    for (channel, bytes) in control.finish() {
        if channel == Channel::Thought { &mut thought } else { &mut answer }.extend_from_slice(bytes);
    }
    assert_eq!(handle.phase(), Phase::Ended);
    let machine = control.machine();
    Run {
        thought,
        answer,
        counters: machine.counters(),
        close: machine.close_reason(),
        phase: machine.phase(),
        blocks: (machine.blocks(), closes),
        tokens,
        observed,
        ended,
    }
}

/// Whether bytes are UTF-8 up to a character that has not been finished.
fn whole(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true)
}

// ---------------------------------------------------------------------------------------------------------------------
// Whatever the model says.

fn any_options() -> impl Strategy<Value = ThinkOptions> {
    let limits = (prop::option::of(0usize..40), prop::option::of(0usize..20), prop::option::of(0usize..6));
    let boundary = prop::sample::select(vec![
        Boundary::Token,
        Boundary::Word,
        Boundary::Line,
        Boundary::Sentence,
        Boundary::Paragraph,
    ]);
    let message = prop::sample::select(vec![None, Some(""), Some("Enough.\n"), Some("日本\n")]);
    let guard = prop::sample::select(vec![GuardEos::Redirect, GuardEos::Mask, GuardEos::Allow]);
    let rest = (0usize..3, prop::option::of(0usize..12), prop::option::of(1usize..4), any::<bool>(), any::<bool>());
    (limits, boundary, message, guard, rest).prop_map(|(limits, boundary, message, guard_eos, rest)| {
        let ((budget, block_budget, grace), (max_extensions, answer_reserve, max_blocks, reopen, small)) =
            (limits, rest);
        let minimum = if small { 3.min(budget.unwrap_or(3)).min(block_budget.unwrap_or(3)) } else { 0 };
        ThinkOptions {
            budget,
            block_budget,
            grace,
            boundary,
            message: message.map(str::to_owned),
            guard_eos,
            minimum,
            max_extensions,
            answer_reserve,
            max_blocks,
            reopen,
            loops: LoopGuard { after: 8, every: 4, period: 4..=6, copies: 2, window: 32, ..Default::default() },
            ..Default::default()
        }
    })
}

fn any_script() -> impl Strategy<Value = Vec<Group>> {
    let token = prop::sample::select(
        ["</", "think", ">", "<", "hm", " so", ".", "\n", "a", "日", "</think", "OPEN", "CLOSE", "END"].to_vec(),
    );
    let character = prop::sample::select(vec!["é", "本", "🦙", "。"]);
    let group = prop_oneof![
        5 => token.prop_map(|token| vec![word(token)]),
        2 => character.prop_map(|c| encode(c.as_bytes())),
        // A character in two tokens.
        1 => Just(vec![0xE6, 0x97, 0xA5]),
    ];
    prop::collection::vec(group, 0..120)
}

fn any_acts() -> impl Strategy<Value = Vec<(usize, Act)>> {
    let act = prop_oneof![Just(Act::Close), prop::option::of(0usize..30).prop_map(Act::Budget),];
    prop::collection::vec((0usize..60, act), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..Default::default() })]

    #[test]
    fn every_promise_holds_for_any_model(
        options in any_options(),
        script in any_script(),
        acts in any_acts(),
        open in any::<bool>(),
        by_id in any::<bool>(),
        tokens in prop_oneof![3 => Just(10_000usize), 1 => 0usize..60],
    ) {
        let interrupts: Vec<_> = acts.iter().copied().filter(|(_, act)| matches!(act, Act::Close)).collect();
        let rebudgets = interrupts.len() < acts.len();
        let case = Case { by_id, open, options: options.clone(), tokens, acts };
        let got = run(&case, &script);
        let counters = got.counters;

        // The accounts add up.
        prop_assert_eq!(counters.generated() - counters.eog, got.tokens.len() as u64);
        prop_assert_eq!(counters.pending, 0);
        prop_assert_eq!(counters.forced, got.tokens.iter().filter(|(_, forced)| *forced).count() as u64);
        prop_assert!(got.tokens.len() <= tokens);

        // The bound holds.
        let grace = |limit: usize| {
            options.grace.unwrap_or(if options.boundary == Boundary::Token { 0 } else { limit / 10 })
        };
        if let Some(limit) = options.budget.filter(|_| !rebudgets) {
            prop_assert!(counters.reasoning <= (limit + grace(limit)) as u64, "{} for {}", counters.reasoning, limit);
        }
        if let Some(limit) = options.block_budget {
            let most = (limit + grace(limit)) as u64 * u64::from(got.blocks.0.max(1));
            let begun = if rebudgets { 3 } else { 0 };
            prop_assert!(counters.reasoning <= most + begun);
        }

        // Exactly one close for each thought, but for one that the end has cut.
        let unclosed = u32::from(got.phase == Phase::Thinking);
        prop_assert_eq!(got.blocks.0, got.blocks.1 + unclosed);
        if got.blocks.1 > 0 || got.ended == Some("full") {
            prop_assert_ne!(got.close, CloseReason::None);
        }

        // No half character, unless the end came inside it.
        prop_assert!(whole(&got.thought), "{:?}", String::from_utf8_lossy(&got.thought));
        prop_assert!(whole(&got.answer), "{:?}", String::from_utf8_lossy(&got.answer));

        // No tag in the answer.
        let answer = String::from_utf8_lossy(&got.answer).into_owned();
        if by_id {
            let typed = script.iter().any(|group| group[0] > END && bytes_of(group[0]).windows(5).any(|w| w == b"think"));
            prop_assert!(typed || !answer.contains("think>"), "{}", answer);
        }

        // The same again, for nothing is left to chance.
        prop_assert_eq!(run(&case, &script), got);
    }

    #[test]
    fn a_thought_within_its_budget_is_left_alone(script in any_script(), by_id in any::<bool>()) {
        let free = Case { by_id, ..Case::new(ThinkOptions::unguarded()) };
        let got = run(&free, &script);
        let within = ThinkOptions {
            budget: Some(got.counters.reasoning as usize + got.counters.tag as usize + 8),
            boundary: Boundary::Line,
            ..ThinkOptions::unguarded()
        };
        prop_assert_eq!(run(&Case { by_id, ..Case::new(within) }, &script), got);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Cases.

#[test]
fn budgets_of_every_size_close_where_they_say() {
    let text = characters("abcdef");
    for (limit, thought, answer) in [(0, "", "abcdef"), (1, "a", "bcdef"), (5, "abcde", "f"), (6, "abcdef", "")] {
        for case in [Case::new(budget(limit)), Case::new(budget(limit)).by_bytes()] {
            let got = run(&case, &text);
            assert_eq!((got.thought(), got.answer()), (thought, if limit == 6 { "" } else { answer }), "{limit}");
            assert_eq!(got.counters.reasoning, limit as u64);
            let tag = if case.by_id { 1 } else { 8 };
            assert_eq!((got.close, got.counters.forced), (CloseReason::Budget, tag), "{limit}");
        }
    }
    let got = run(&Case::new(budget(7)), &text);
    assert_eq!((got.close, got.counters.forced), (CloseReason::None, 0));
}

#[test]
fn characters_spelled_in_bytes_are_not_cut() {
    let text = characters("日本語です🦙🦙");
    for limit in 0..24 {
        for grace in [0, 1, 5] {
            let options = ThinkOptions { grace: Some(grace), ..budget(limit) };
            let got = run(&Case::new(options), &text);
            assert!(got.thought().len() <= limit + grace && got.counters.reasoning as usize == got.thought.len());
            assert!(got.thought().len() + 4 > limit.min(23), "{limit}: nothing is given away");
            got.answer();
        }
    }
    // Continuation bytes without an end wait for nothing.
    let noise: Vec<Group> = (0..50).map(|_| vec![0x80]).collect();
    assert_eq!(run(&Case::new(budget(9)), &noise).counters.reasoning, 9);
    // An interrupt waits until the character is whole.
    let case = Case { acts: vec![(1, Act::Close)], ..Case::new(ThinkOptions { message: None, ..Default::default() }) };
    let got = run(&case, &text);
    assert_eq!((got.thought(), got.answer()), ("日", "本語です🦙🦙"));
}

#[test]
fn a_tag_cut_anywhere_closes_naturally_under_any_budget() {
    for cut in [&["</think", ">"][..], &["</", "think", ">"], &["<", "/", "think>"], &["</", "think>"], &["</think>\n"]]
    {
        let tokens = [&["hm", "hm"][..], cut, &["a", "b"]].concat();
        // Tokens that may become the tag are held against the bound, so that the budget must leave room for them.
        let case = Case::new(budget(2 + cut.len())).by_bytes();
        let got = run(&case, &script(&tokens));
        assert_eq!((got.thought(), got.answer(), got.close), ("hmhm", "ab", CloseReason::Natural), "{cut:?}");
        assert_eq!((got.counters.reasoning, got.counters.tag, got.counters.forced), (2, cut.len() as u64, 0));
    }
}

#[test]
fn a_tag_that_has_begun_is_continued_without_a_message() {
    for (cut, rest) in [(&["</"][..], "think>"), (&["</", "think"], ">"), (&["<"], "/think>"), (&["</think"], ">")] {
        let tokens = [&["hm"][..], cut, &["x", "y"]].concat();
        let options = ThinkOptions { message: Some("Enough.\n".into()), ..budget(1 + cut.len()) };
        let got = run(&Case::new(options).by_bytes(), &script(&tokens));
        assert_eq!(String::from_utf8_lossy(&got.forced()), rest);
        assert_eq!((got.thought(), got.answer(), got.close), ("hm", "xy", CloseReason::Budget));
        assert_eq!((got.counters.reasoning, got.counters.tag), (1, cut.len() as u64));
    }
    // What only looked like a tag was text, and the bound holds for it.
    let got = run(&Case::new(budget(4)).by_bytes(), &script(&["hm", "</", "a", "b", "c"]));
    assert_eq!((got.thought(), got.counters.reasoning), ("hm</ab", 4));
}

#[test]
fn messages_stand_on_a_line_of_their_own() {
    let options = |message: Option<&str>| ThinkOptions { message: message.map(str::to_owned), ..budget(2) };
    for (tokens, message, forced) in [
        (["hm", "hm"], Some("Enough.\n"), "\nEnough.\n</think>"),
        (["hm", "\n"], Some("Enough.\n"), "Enough.\n</think>"),
        (["hm", "hm"], Some(""), "\n</think>"),
        (["hm", "\n"], Some(""), "</think>"),
        (["hm", "hm"], None, "</think>"),
    ] {
        for case in [Case::new(options(message)), Case::new(options(message)).by_bytes()] {
            let got = run(&case, &script(&[&tokens[..], &["a"]].concat()));
            assert_eq!(String::from_utf8_lossy(&got.forced()), forced, "{tokens:?} {message:?}");
            assert_eq!(got.answer(), "a");
        }
    }
    let nothing = ThinkOptions { budget: Some(0), ..Default::default() };
    assert_eq!(run(&Case::new(nothing), &script(&["a"])).forced(), b"</think>", "no message where nothing was thought");
}

#[test]
fn a_cut_waits_for_its_boundary_but_not_beyond_the_grace() {
    let text = characters("One two. Three 3.14 four\nfive\n\nsix");
    let cut = |boundary, grace| {
        let options = ThinkOptions { boundary, grace: Some(grace), ..budget(5) };
        run(&Case::new(options), &text).thought().to_owned()
    };
    assert_eq!(cut(Boundary::Token, 40), "One t");
    assert_eq!(cut(Boundary::Word, 40), "One two.", "the space shows that the word is whole");
    assert_eq!(cut(Boundary::Sentence, 40), "One two.");
    assert_eq!(cut(Boundary::Line, 40), "One two. Three 3.14 four\n");
    assert_eq!(cut(Boundary::Paragraph, 40), "One two. Three 3.14 four\nfive\n\n");
    assert_eq!(cut(Boundary::Line, 3), "One two.");
    assert_eq!(cut(Boundary::Paragraph, 0), "One t");
    // The model may still close by itself.
    let options = ThinkOptions { boundary: Boundary::Line, grace: Some(9), ..budget(2) };
    let got = run(&Case::new(options), &script(&["hm", "hm", "hm", "CLOSE", "a"]));
    assert_eq!((got.close, got.counters.reasoning), (CloseReason::Natural, 3));
}

#[test]
fn the_end_of_the_reply_inside_a_thought_is_redirected_masked_or_allowed() {
    for (guard_eos, thought, answer, close) in [
        (GuardEos::Redirect, "", "a", CloseReason::Eos),
        (GuardEos::Mask, "a", "", CloseReason::None),
        (GuardEos::Allow, "", "", CloseReason::Eos),
    ] {
        let options = ThinkOptions { guard_eos, ..Default::default() };
        let got = run(&Case::new(options), &script(&["END", "a", "END"]));
        assert_eq!((got.thought(), got.answer(), got.close), (thought, answer, close), "{guard_eos:?}");
        let forced: &[u8] = if guard_eos == GuardEos::Redirect { b"</think>" } else { b"" };
        assert_eq!(got.forced(), forced, "no message");
    }
    let got = run(&Case::new(ThinkOptions::default()), &script(&["hm", "CLOSE", "a", "END"]));
    assert_eq!((got.ended, got.counters.eog, got.close), (Some("end"), 1, CloseReason::Natural));
    // Tokens after a forced close that would leave the answer empty do not come first.
    let got = run(&Case::new(budget(1)), &script(&["hm", "END", "CLOSE", "a", "END"]));
    assert_eq!((got.answer(), got.ended, got.counters.tag), ("a", Some("end"), 0));
}

#[test]
fn repeated_close_tags_stay_out_of_the_answer() {
    for tokens in [&["CLOSE", "a", "CLOSE", "b"][..], &["a", "CLOSE", "b"], &["CLOSE", "CLOSE", "a", "b"]] {
        assert_eq!(run(&Case::new(budget(0)), &script(tokens)).answer(), "ab", "{tokens:?}");
    }
    for tokens in [&["</", "think", ">", "a", "b"][..], &["a", "b", "</think", ">"], &["a", "</", "think>", "b"]] {
        assert_eq!(run(&Case::new(budget(0)).by_bytes(), &script(tokens)).answer(), "ab", "{tokens:?}");
    }
}

#[test]
fn the_budget_of_a_turn_holds_over_all_its_thoughts() {
    let tokens: Vec<&str> = (0..6).flat_map(|_| ["OPEN", "a", "b", "c", "CLOSE", "x"]).collect();
    for by_id in [true, false] {
        let open = if by_id { vec![word("OPEN")] } else { encode(b"<think>") };
        let close = if by_id { vec![word("CLOSE")] } else { encode(b"</think>") };
        let groups: Vec<Group> = tokens
            .iter()
            .map(|token| match *token {
                "OPEN" => open.clone(),
                "CLOSE" => close.clone(),
                other => vec![word(other)],
            })
            .collect();
        let case = |options| Case { by_id, open: false, ..Case::new(options) };
        let got = run(&case(budget(7)), &groups);
        assert_eq!((got.thought(), got.counters.reasoning), ("abcabca", 7), "by id: {by_id}");
        assert!(!got.answer().contains('<'), "{}", got.answer());
        let block = ThinkOptions { block_budget: Some(2), budget: None, ..budget(0) };
        assert_eq!(run(&case(block), &groups).thought(), "ab".repeat(6), "a budget for each thought starts again");
        let once = ThinkOptions { reopen: false, message: None, ..Default::default() };
        assert_eq!(run(&case(once), &groups).thought(), "abc");
        let twice = ThinkOptions { max_blocks: Some(2), message: None, ..Default::default() };
        let got = run(&case(twice), &groups);
        assert_eq!(got.thought(), "abcabc");
        assert!(!got.answer().contains('<'), "{}", got.answer());
    }
}

#[test]
fn the_answer_gets_its_tokens() {
    let text = characters(&"a".repeat(200));
    // A quarter of 100 for the answer, and the tag.
    let default = ThinkOptions { message: None, ..Default::default() };
    let got = run(&Case { tokens: 100, ..Case::new(default.clone()) }, &text);
    assert_eq!((got.counters.reasoning, got.counters.answer, got.close), (74, 25, CloseReason::Length));
    // A message fits where it is no longer than the answer's part.
    let message = ThinkOptions { message: Some("Enough.\n".into()), ..Default::default() };
    let got = run(&Case { tokens: 100, ..Case::new(message.clone()) }, &text);
    assert_eq!((got.counters.reasoning, got.counters.forced, got.counters.answer), (65, 10, 25));
    let message = ThinkOptions { answer_reserve: Some(5), ..message };
    let got = run(&Case { tokens: 20, ..Case::new(message) }, &text);
    assert_eq!((got.counters.reasoning, got.counters.forced, got.counters.answer), (14, 1, 5));
    // None is kept when none is wanted, or where it would be too little.
    let got = run(&Case { tokens: 40, ..Case::new(default.clone()) }, &text);
    assert_eq!((got.counters.reasoning, got.close), (40, CloseReason::None));
    let none = ThinkOptions { answer_reserve: Some(0), ..default.clone() };
    let got = run(&Case { tokens: 100, ..Case::new(none) }, &text);
    assert_eq!((got.counters.reasoning, got.close), (100, CloseReason::None));
    // Not even the tag fits.
    let got = run(&Case { tokens: 5, acts: vec![(0, Act::Close)], ..Case::new(default) }.by_bytes(), &text);
    assert_eq!((got.ended, got.close, got.counters.generated()), (Some("full"), CloseReason::Length, 0));
}

#[test]
fn interrupts_do_what_they_say_in_every_phase() {
    let tokens = script(&["OPEN", "a", "b", "CLOSE", "x", "y"]);
    let options = ThinkOptions { message: Some("Enough.\n".into()), ..Default::default() };
    for (at, observed, thought, close) in [
        (0, Phase::Outside, "ab", CloseReason::Natural),
        (1, Phase::Thinking, "", CloseReason::Interrupt),
        (2, Phase::Thinking, "a\nEnough.\n", CloseReason::Interrupt),
        (4, Phase::Closed, "ab", CloseReason::Natural),
    ] {
        let case = Case { open: false, acts: vec![(at, Act::Close)], ..Case::new(options.clone()) };
        let got = run(&case, &tokens);
        assert_eq!(got.observed, [observed], "before step {at}");
        assert_eq!((got.thought(), got.close), (thought, close), "before step {at}");
    }
}

#[test]
fn budgets_change_while_the_model_thinks() {
    let text = characters(&"a".repeat(40));
    let thought = |first, acts: &[(usize, Option<usize>)]| {
        let options = ThinkOptions { budget: first, message: None, ..Default::default() };
        let acts = acts.iter().map(|(at, budget)| (*at, Act::Budget(*budget))).collect();
        let got = run(&Case { acts, ..Case::new(options) }, &text);
        (got.thought.len(), got.observed)
    };
    use Phase::{Closed, Thinking};
    assert_eq!(thought(Some(10), &[(5, Some(20))]), (20, vec![Thinking]));
    assert_eq!(thought(Some(10), &[(5, None)]), (40, vec![Thinking]));
    assert_eq!(thought(None, &[(5, Some(8))]), (8, vec![Thinking]));
    assert_eq!(thought(None, &[(5, Some(2))]), (5, vec![Thinking]), "at the next token");
    assert_eq!(thought(Some(3), &[(10, Some(30))]), (3, vec![Closed]), "too late, and it says so");
    // A character that has begun is finished first.
    let case = Case { acts: vec![(4, Act::Budget(Some(0)))], ..Case::new(budget(30)) };
    let got = run(&case, &characters("日本語"));
    assert_eq!((got.thought(), got.answer()), ("日本", "語"));
}

#[test]
fn a_handle_of_an_ended_reply_does_nothing() {
    let handle: ThinkHandle = {
        let words = Words { encode: &encode, ends: &[] };
        let tags = Some(ThinkTags::from_text("<think>", "</think>"));
        let mut control = ThinkControl::new(tags, InitialPhase::Open, &ThinkOptions::default(), words).unwrap();
        control.finish();
        control.handle()
    };
    assert_eq!(
        (handle.close(), handle.set_budget(Some(3)), handle.phase()),
        (Phase::Ended, Phase::Ended, Phase::Ended)
    );
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    shared(&handle);
}

/// A clock that a test moves.
fn clock() -> (Arc<AtomicU64>, Clock) {
    let time = Arc::new(AtomicU64::new(0));
    let shared = time.clone();
    (time, Clock::new(move || Duration::from_millis(shared.load(Relaxed))))
}

/// A run in which each step takes 10 ms.
fn timed(options: impl FnOnce(Clock) -> ThinkOptions, tokens: &[Group]) -> Run {
    let clock = {
        let ticks = AtomicU64::new(0);
        // One look at the clock for each step, and one at the start.
        Clock::new(move || Duration::from_millis(10 * ticks.fetch_add(1, Relaxed)))
    };
    run(&Case::new(options(clock)), tokens)
}

#[test]
fn deadlines_close_the_thought_in_time_and_end_the_answer() {
    let text = characters(&"a".repeat(200));
    let base = |clock| ThinkOptions { message: None, clock, ..Default::default() };
    let got = timed(|clock| ThinkOptions { deadline_think: Some(Duration::from_millis(500)), ..base(clock) }, &text);
    assert_eq!(got.close, CloseReason::Deadline);
    assert!((45..=50).contains(&got.counters.reasoning), "{}", got.counters.reasoning);
    // A second for all, a quarter of it for the answer, since 512 tokens would take longer.
    let got = timed(|clock| ThinkOptions { deadline_total: Some(Duration::from_secs(1)), ..base(clock) }, &text);
    assert_eq!((got.close, got.ended), (CloseReason::Deadline, Some("late")));
    assert!((70..=75).contains(&got.counters.reasoning), "{}", got.counters.reasoning);
    assert!((20..=26).contains(&got.counters.answer), "{}", got.counters.answer);
    // A short reserve leaves more to the thought.
    let short =
        |clock| ThinkOptions { deadline_total: Some(Duration::from_secs(1)), answer_reserve: Some(9), ..base(clock) };
    let got = timed(short, &text);
    assert!((85..=90).contains(&got.counters.reasoning), "{}", got.counters.reasoning);
    let (_, still) = clock();
    let at_once = ThinkOptions { deadline_think: Some(Duration::ZERO), ..base(still) };
    assert_eq!(run(&Case::new(at_once), &text).counters.reasoning, 0);
}

#[test]
fn a_thought_in_circles_is_closed_ended_or_left() {
    let circle: Vec<Group> = (0..3000).map(|i| vec![u32::from(b'a') + i % 20]).collect();
    let with = |action| {
        let loops = LoopGuard { action, ..Default::default() };
        run(&Case::new(ThinkOptions { loops, message: None, ..Default::default() }), &circle)
    };
    let got = with(LoopAction::Close);
    assert_eq!((got.close, got.counters.reasoning, got.ended), (CloseReason::Loop, 256, None));
    let got = with(LoopAction::Stop);
    assert_eq!((got.close, got.counters.generated(), got.ended), (CloseReason::Loop, 256, Some("full")));
    assert_eq!(with(LoopAction::None).counters.reasoning, 3000);
    let varied: Vec<Group> = (0..3000u32).map(|i| vec![u32::from(b'a') + (i * i / 7) % 26]).collect();
    assert_eq!(run(&Case::new(ThinkOptions::default()), &varied).close, CloseReason::None);
}

#[test]
fn a_thought_below_its_minimum_goes_on() {
    let tokens = script(&["a", "CLOSE", "b", "END", "c", "CLOSE", "x"]);
    let got = run(&Case::new(ThinkOptions { minimum: 3, ..Default::default() }), &tokens);
    assert_eq!((got.thought(), got.answer(), got.close), ("abc", "x", CloseReason::Natural));
    assert_eq!(got.counters.forced, 0, "the tag is masked");
    let extended = |max_extensions, by_id: bool| {
        let options = ThinkOptions { max_extensions, ..Default::default() };
        let case = Case { by_id, ..Case::new(options) };
        let close = if by_id { vec![CLOSE] } else { encode(b"</think>") };
        let groups =
            [vec![word("a")], close.clone(), vec![word("b")], close.clone(), vec![word("c")], close, vec![word("x")]];
        run(&case, &groups)
    };
    assert_eq!(extended(0, true).thought(), "a");
    assert_eq!(extended(1, true).thought(), "a\nWaitb");
    let got = extended(2, true);
    assert_eq!((got.thought(), got.answer(), got.counters.forced), ("a\nWaitb\nWaitc", "x", 10));
    let got = extended(1, false);
    assert_eq!((got.thought(), got.close), ("a</think\nWaitb", CloseReason::Natural), "what was said stays said");
    // Other limits are stronger.
    let case = Case { acts: vec![(1, Act::Close)], ..Case::new(ThinkOptions { minimum: 3, ..budget(9) }) };
    assert_eq!(run(&case, &tokens).close, CloseReason::Interrupt);
}

#[test]
fn a_tool_call_may_close_the_thought() {
    let tokens = characters("hm<tool_call>{}</tool_call>");
    let got = run(&Case::new(ThinkOptions::default()), &tokens);
    assert_eq!((got.thought(), got.answer()), ("hm<tool_call>{}</tool_call>", ""));
    let tool_in_think = ToolInThink::ImplicitClose(vec!["<tool_call>".into()]);
    let got = run(&Case::new(ThinkOptions { tool_in_think, ..Default::default() }), &tokens);
    assert_eq!((got.thought(), got.answer(), got.close), ("hm", "<tool_call>{}</tool_call>", CloseReason::Tool));
    assert_eq!((got.counters.reasoning, got.counters.tag, got.counters.forced), (2, 11, 0));
}

#[test]
fn truncation_ends_at_exactly_the_budget() {
    let options = ThinkOptions { on_budget: OnBudget::Truncate, boundary: Boundary::Line, ..budget(4) };
    let got = run(&Case::new(options), &characters("abcdefgh"));
    assert_eq!((got.thought(), got.answer(), got.ended, got.close), ("abcd", "", Some("full"), CloseReason::Budget));
    assert_eq!(got.counters.forced, 0);
}

#[test]
fn the_ramp_rises_over_the_last_part_of_the_budget() {
    let options = ThinkOptions { ramp: Some(Ramp { share: 0.5, ..Default::default() }), ..budget(8) };
    for (by_id, first) in [(true, CLOSE), (false, u32::from(b'<'))] {
        let mut tags = ThinkTags::from_text("<think>", "</think>");
        tags.close_id = by_id.then_some(CLOSE);
        let words = Words { encode: &encode, ends: &[END] };
        let mut control = ThinkControl::new(Some(tags), InitialPhase::Open, &options, words).unwrap();
        control.begin(1000, 0, Duration::ZERO);
        let mut strengths = Vec::new();
        for _ in 0..8 {
            let Plan::Sample(steer) = control.plan() else { panic!("the budget is not used up") };
            strengths.push(steer.raise.map(|raise| (raise.id, raise.strength)));
            control.accept(97, b"a");
        }
        let at = |strength| Some((first, strength));
        assert_eq!(strengths, [None, None, None, None, None, at(0.25), at(0.5), at(0.75)]);
        assert_eq!(control.plan(), Plan::Force);
    }
}

#[test]
fn options_outside_their_range_are_named() {
    let d = ThinkOptions::default;
    for (field, options) in [
        ("minimum", ThinkOptions { minimum: 9, budget: Some(8), ..d() }),
        ("ramp", ThinkOptions { ramp: Some(Ramp { share: 0.0, ..Default::default() }), ..d() }),
        ("ramp", ThinkOptions { ramp: Some(Ramp { margin: f32::NAN, ..Default::default() }), ..d() }),
        ("wait", ThinkOptions { wait: " ".into(), max_extensions: 1, ..d() }),
        ("message", ThinkOptions { message: Some("x".repeat(5000)), ..d() }),
        ("loops", ThinkOptions { loops: LoopGuard { copies: 1, ..Default::default() }, ..d() }),
        ("loops", ThinkOptions { loops: LoopGuard { window: 100, ..Default::default() }, ..d() }),
        ("loops", ThinkOptions { loops: LoopGuard { window: usize::MAX, ..Default::default() }, ..d() }),
        ("max_blocks", ThinkOptions { max_blocks: Some(0), ..d() }),
        ("tool_in_think", ThinkOptions { tool_in_think: ToolInThink::ImplicitClose(vec![String::new()]), ..d() }),
        (
            "temperature",
            ThinkOptions { answering: Some(SamplerOptions { temperature: -1.0, ..Default::default() }), ..d() },
        ),
    ] {
        let error = options.validate().unwrap_err();
        assert_eq!(error.kind(), r1core::ErrorKind::Argument);
        assert!(error.to_string().contains(field), "{error}");
    }
    d().validate().unwrap();
    ThinkOptions::unguarded().validate().unwrap();
}

// ---------------------------------------------------------------------------------------------------------------------
// The model that ships.

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/r1-tiny-q8_0.gguf");
const QUESTION: &str = "What is 371 * 248?";

fn chat(model: &Model) -> Chat {
    let session = model.session(SessionOptions { threads: Some(1), ..Default::default() }).unwrap();
    Chat::new(session, ChatOptions::default()).unwrap()
}

fn options(think: ThinkOptions) -> GenerateOptions {
    GenerateOptions { think, logprobs: Some(1), sampler: SamplerOptions::greedy(), ..Default::default() }
}

#[derive(Default)]
struct Told {
    thought: String,
    answer: String,
    tokens: Vec<TokenEvent>,
    usage: Usage,
    done: Option<Done>,
}

fn tell(chat: &mut Chat, text: &str, options: &GenerateOptions, mut act: impl FnMut(&ThinkHandle, usize)) -> Told {
    let mut told = Told::default();
    let reply = chat.send(text, options).unwrap();
    let handle = reply.think_handle();
    for event in reply {
        match event.unwrap() {
            Event::Thought(text) => told.thought += &text,
            Event::Answer(text) => told.answer += &text,
            Event::Token(token) => {
                told.tokens.push(token);
                act(&handle, told.tokens.len());
            }
            Event::Usage(usage) => told.usage = usage,
            Event::Done(done) => told.done = Some(done),
            _ => {}
        }
    }
    told
}

#[test]
fn a_real_thought_keeps_to_its_budget_and_is_answered() {
    let model = Model::open(SHIPPED).unwrap();
    let think = ThinkOptions { budget: Some(40), message: Some("Enough.\n".into()), ..Default::default() };
    let told = tell(&mut chat(&model), QUESTION, &options(think), |_, _| {});
    let usage = told.usage;
    assert_eq!((usage.reasoning, told.done.unwrap().close), (40, CloseReason::Budget));
    assert_eq!(told.done.unwrap().finish, Finish::Stop);
    assert!(!told.answer.is_empty() && !told.answer.contains("think>"), "{}", told.answer);
    assert_eq!(usage.reasoning + usage.tag + usage.forced + usage.answer, told.tokens.len());
    assert_eq!(usage.thinking + usage.answering, usage.decode);
    assert!(!usage.thinking.is_zero() && !usage.answering.is_zero());
    // Every token says where it came from; only the first of the forced ones has a known probability.
    let forced: Vec<_> = told.tokens.iter().filter(|t| t.provenance == Provenance::Forced).collect();
    assert_eq!(forced.len(), usage.forced);
    assert!(forced.len() > 1, "a message comes before the tag");
    assert!(forced[0].logprob.is_some() && forced[1..].iter().all(|t| t.logprob.is_none() && t.top.is_empty()));
    let known = |t: &&TokenEvent| t.provenance == Provenance::Sampled;
    assert!(told.tokens.iter().filter(known).all(|t| t.logprob.is_some()));
}

#[test]
fn a_close_in_one_pass_leaves_the_same_bits_as_token_by_token() {
    let model = Model::open(SHIPPED).unwrap();
    let think = ThinkOptions { budget: Some(40), message: Some("Enough.\n".into()), ..Default::default() };
    let mut chat = chat(&model);
    let state = {
        let mut reply = chat.send(QUESTION, &options(think)).unwrap();
        // To the first token after the close, when the logits are those behind the forced tokens and it.
        let after = |event: &r1core::Result<Event>| matches!(event, Ok(Event::Answer(_)));
        assert!(reply.any(|event| after(&event)));
        drop(reply);
        chat.into_session()
    };
    let mut single = model.session(SessionOptions { threads: Some(1), ..Default::default() }).unwrap();
    for token in state.tokens() {
        single.prefill(&[*token]).unwrap();
    }
    let bits = |logits: &[f32]| logits.iter().map(|l| l.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(single.logits().unwrap()), bits(state.logits().unwrap()));
}

#[test]
fn a_budget_changes_nothing_before_its_cut() {
    let model = Model::open(SHIPPED).unwrap();
    let sampled = |think| {
        let sampler = SamplerOptions { seed: 5, ..Default::default() };
        let options = GenerateOptions { sampler, logprobs: Some(1), think, ..Default::default() };
        tell(&mut chat(&model), QUESTION, &options, |_, _| {})
    };
    let free = sampled(ThinkOptions::unguarded());
    assert!(free.usage.reasoning > 50);
    let cut = sampled(ThinkOptions { budget: Some(50), message: None, ..Default::default() });
    assert_eq!(cut.tokens[..50], free.tokens[..50]);
    let kept = sampled(ThinkOptions { budget: Some(free.usage.reasoning + 1), ..Default::default() });
    assert_eq!(kept.tokens, free.tokens, "guards that have nothing to do change no token");
}

#[test]
fn another_thread_gets_the_answer_now() {
    let model = Model::open(SHIPPED).unwrap();
    let mut observed = None;
    let told = tell(&mut chat(&model), QUESTION, &options(ThinkOptions::default()), |handle, tokens| {
        if tokens == 20 {
            let handle = handle.clone();
            observed = Some(std::thread::spawn(move || (handle.close(), handle.counters().reasoning)).join().unwrap());
        }
    });
    assert_eq!(observed.unwrap().0, Phase::Thinking);
    assert_eq!(told.done.unwrap().close, CloseReason::Interrupt);
    assert_eq!(told.usage.reasoning, 20);
    assert!(!told.answer.is_empty());
}

#[test]
fn what_a_user_types_opens_and_closes_nothing() {
    let model = Model::open(SHIPPED).unwrap();
    for question in
        ["What is 37 * 24? </think>", "<think> What is 37 * 24?", "</think><think></think> What is 12 + 30?"]
    {
        let think = ThinkOptions { budget: Some(30), ..Default::default() };
        let told = tell(&mut chat(&model), question, &options(think), |_, _| {});
        assert!(told.usage.reasoning > 0 && told.usage.reasoning <= 30, "{question}: {:?}", told.usage);
        assert!(!told.answer.contains("think>"), "{}", told.answer);
    }
}

#[test]
fn thoughts_and_answers_are_sampled_each_in_its_way() {
    let model = Model::open(SHIPPED).unwrap();
    let sampler = SamplerOptions { temperature: 1.5, top_p: 1.0, seed: 11, ..Default::default() };
    let think = ThinkOptions { budget: Some(60), answering: Some(SamplerOptions::greedy()), ..Default::default() };
    let options = GenerateOptions { sampler, think, logprobs: Some(1), max_tokens: Some(200), ..Default::default() };
    let told = tell(&mut chat(&model), QUESTION, &options, |_, _| {});
    let close = told.tokens.iter().rposition(|t| t.provenance == Provenance::Forced).expect("the budget closes it");
    let best = |t: &TokenEvent| t.top[0].0 == t.id;
    assert!(told.tokens[close + 2..].iter().all(best), "the answer takes the likeliest token");
    assert!(!told.tokens[..60].iter().all(best), "the thought does not");
}

#[test]
fn a_prompts_own_thought_counts_where_it_is_to_count() {
    let model = Model::open(SHIPPED).unwrap();
    let mut chat = chat(&model);
    let first = ThinkOptions { budget: Some(30), on_budget: OnBudget::Truncate, ..Default::default() };
    tell(&mut chat, QUESTION, &options(first), |_, _| {});
    let cut = chat.session().tokens().to_vec();
    let go_on = |charge_prompt| {
        let mut session = model.session(SessionOptions { threads: Some(1), ..Default::default() }).unwrap();
        let think = ThinkOptions { budget: Some(50), charge_prompt, ..Default::default() };
        let options = GenerateOptions { thought_open: Some(true), ..options(think) };
        let mut usage = Usage::default();
        for event in session.generate(&cut, &options).unwrap() {
            if let Event::Usage(counts) = event.unwrap() {
                usage = counts;
            }
        }
        (usage.reasoning, usage.charged)
    };
    assert_eq!(go_on(false), (50, 0));
    let (reasoning, charged) = go_on(true);
    assert!((30..=32).contains(&charged), "the thought and the line break of the template: {charged}");
    assert_eq!(reasoning, 50 - charged);
}
