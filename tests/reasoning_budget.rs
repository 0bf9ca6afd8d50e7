//! Budgets of thoughts: where they cut, what is written there, and how much they leave to the answer.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

#[path = "support/script.rs"]
mod script;

use std::time::Duration;

use r1core::CloseReason;
use r1core::reasoning::{
    Boundary, GuardEos, InitialPhase, OnBudget, Plan, Ramp, ThinkControl, ThinkOptions, ThinkTags, Words,
};
use script::{Act, CLOSE, Case, END, Group, budget, characters, encode, run, script, special, word};

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
        let tags = ThinkTags::from_text("<think>", "</think>");
        let tags = if by_id { tags.bound(&special) } else { tags };
        let words = Words { encode: &encode, ends: &[END], special: &special };
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
