//! What else ends a thought, or keeps it going: other threads, clocks, circles, minimums, tool calls.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

#[path = "support/script.rs"]
mod script;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use r1core::answer::AnswerKind;
use r1core::reasoning::{
    Boundary, Clock, InitialPhase, LoopAction, LoopGuard, Phase, Ramp, Sign, ThinkControl, ThinkHandle, ThinkOptions,
    ThinkTags, ToolInThink, Until, Words,
};
use r1core::{CloseReason, SamplerOptions};
use script::{Act, CLOSE, Case, Group, Run, budget, characters, encode, run, script, special, word};

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
fn who_asked_for_the_answer_gets_no_further_thought() {
    let tokens = script(&["a", "b", "CLOSE", "x", "OPEN", "c", "CLOSE", "y"]);
    let options = ThinkOptions { message: None, ..Default::default() };
    let untouched = run(&Case::new(options.clone()), &tokens);
    assert_eq!(untouched.thought(), "abc");
    let asked = run(&Case { acts: vec![(1, Act::Close)], ..Case::new(options) }, &tokens);
    assert_eq!((asked.thought(), asked.close), ("a", CloseReason::Interrupt));
    assert!(asked.answer().contains('y'), "{:?}", asked.answer());
}

#[test]
fn a_cut_that_waits_for_its_boundary_can_be_hurried_and_called_off() {
    let text = characters("One two three\nfour five\nsix");
    let drain = ThinkOptions { boundary: Boundary::Line, grace: Some(60), ..budget(4) };
    let with = |acts: Vec<(usize, Act)>| run(&Case { acts, ..Case::new(drain.clone()) }, &text);
    assert_eq!((with(vec![]).thought(), with(vec![]).close), ("One two three\n", CloseReason::Budget));
    let got = with(vec![(7, Act::Close)]);
    assert_eq!((got.thought(), got.close), ("One two", CloseReason::Interrupt));
    let got = with(vec![(7, Act::Budget(Some(15)))]);
    assert_eq!((got.thought(), &got.observed[..]), ("One two three\nfour five\n", &[Phase::Thinking][..]));
    assert_eq!(with(vec![(7, Act::Budget(None))]).close, CloseReason::None);
    // A lower budget moves the end of the grace as well.
    let tight = ThinkOptions { grace: Some(5), ..drain };
    let got = run(&Case { acts: vec![(6, Act::Budget(Some(1)))], ..Case::new(tight) }, &text);
    assert_eq!((got.thought(), got.close), ("One tw", CloseReason::Budget));
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
        let words = Words { encode: &encode, ends: &[], special: &special };
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
fn a_thought_that_has_come_to_its_point_is_closed() {
    let text = characters("It is 4.\nThe answer is 4.\nWait, is it?\nSo the answer is 4.\nHm.");
    let with = |sign, times| {
        let until = vec![Until { sign, times }];
        run(&Case::new(ThinkOptions { until, message: None, ..Default::default() }), &text)
    };
    for (sign, times, thought, close) in [
        (Sign::Text("Wait".into()), 1, "It is 4.\nThe answer is 4.\nWait", CloseReason::Pattern),
        (Sign::Text("is".into()), 3, "It is 4.\nThe answer is 4.\nWait, is", CloseReason::Pattern),
        (Sign::Answer(AnswerKind::Integer), 1, "It is 4.\nThe answer is 4.\n", CloseReason::Settled),
        (
            Sign::Answer(AnswerKind::Integer),
            2,
            "It is 4.\nThe answer is 4.\nWait, is it?\nSo the answer is 4.\n",
            CloseReason::Settled,
        ),
    ] {
        let got = with(sign.clone(), times);
        assert_eq!((got.thought(), got.close), (thought, close), "{sign:?} {times}");
        assert_eq!(got.forced(), b"</think>");
    }
    assert_eq!(with(Sign::Text("Wait".into()), 2).close, CloseReason::None);
    // Whole characters only.
    let until = vec![Until { sign: Sign::Text("日".into()), times: 1 }];
    let got = run(&Case::new(ThinkOptions { until, message: None, ..Default::default() }), &characters("a日本"));
    assert_eq!(got.thought(), "a日");
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
        ("until", ThinkOptions { until: vec![Until { sign: Sign::Text("a".into()), times: 0 }], ..d() }),
        ("until", ThinkOptions { until: vec![Until { sign: Sign::Text(String::new()), times: 1 }], ..d() }),
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
