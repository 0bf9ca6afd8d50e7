//! What holds for every limit on a thought, whatever the model says: bounds, one close, counts that add up, whole
//! characters, clean streams.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

#[path = "support/script.rs"]
mod script;

use proptest::prelude::*;
use r1core::CloseReason;
use r1core::answer::{AnswerKind, Pattern};
use r1core::reasoning::{Boundary, GuardEos, LoopGuard, Phase, Sign, ThinkOptions, ToolInThink, Until};
use script::{Act, Case, END, Group, bytes_of, encode, run, whole, word};

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
    let tool = prop::sample::select(vec![
        ToolInThink::Text,
        ToolInThink::ImplicitClose(vec!["hm.".into()]),
        ToolInThink::Forbid(vec!["hm.".into(), "<think>".into()]),
    ]);
    let sign = prop::sample::select(vec![
        None,
        Some(Sign::Text("hm hm".into())),
        Some(Sign::Text("</".into())),
        Some(Sign::Line(Pattern::new("hm").unwrap())),
        Some(Sign::Answer(AnswerKind::Exact)),
    ]);
    let rest = (0usize..3, prop::option::of(0usize..12), prop::option::of(1usize..4), any::<bool>(), any::<bool>());
    (limits, boundary, message, guard, rest, tool, sign).prop_map(|options| {
        let (limits, boundary, message, guard_eos, rest, tool_in_think, sign) = options;
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
            tool_in_think,
            until: sign.map(|sign| Until { sign, times: 2 }).into_iter().collect(),
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
        rows in any::<bool>(),
        tokens in prop_oneof![3 => Just(10_000usize), 1 => 0usize..60],
    ) {
        let interrupts: Vec<_> = acts.iter().copied().filter(|(_, act)| matches!(act, Act::Close)).collect();
        let rebudgets = interrupts.len() < acts.len();
        let case = Case { by_id, rows, open, options: options.clone(), tokens, acts };
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
        if by_id && !rows {
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
