//! What a vote promises: the same bits as lone sessions, one copy of the prompt, rules that end it early without leaving
//! anything behind.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use r1core::answer::AnswerKind;
use r1core::reasoning::{Boundary, Ramp};
use r1core::voting::{EarlyStop, StopReason};
use r1core::{
    CancelToken, Chat, ChatOptions, CloseReason, ErrorKind, Event, ExtractFn, Finish, GenerateOptions, Model,
    ProgressFn, SamplerOptions, Session, SessionOptions, Stage, ThinkOptions, Usage, VoteEvent, VoteHandle,
    VoteOptions, VoteResult, VoteSample, WeighFn,
};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/r1-tiny-q8_0.gguf");
const EASY: &str = "Find the product of 37 and 24.";

fn model() -> Model {
    Model::open(SHIPPED).unwrap()
}

fn session(model: &Model, threads: usize) -> Session {
    model.session(SessionOptions { threads: Some(threads), ..Default::default() }).unwrap()
}

fn chat(model: &Model) -> Chat {
    Chat::new(session(model, 2), ChatOptions::default()).unwrap()
}

/// Integer answers, at a temperature that makes samples differ.
fn options(samples: usize, early_stop: EarlyStop) -> VoteOptions {
    let sampler = SamplerOptions { temperature: 1.0, top_p: 1.0, seed: 5, ..Default::default() };
    VoteOptions {
        samples,
        early_stop,
        kind: AnswerKind::Integer,
        generate: GenerateOptions { sampler, max_tokens: Some(300), ..Default::default() },
        ..Default::default()
    }
}

fn vote(model: &Model, text: &str, options: &VoteOptions) -> VoteResult {
    chat(model).vote(text, options).unwrap().result().unwrap()
}

/// A result without the times, which differ from run to run.
fn timeless(mut result: VoteResult) -> VoteResult {
    for usage in result.samples.iter_mut().map(|sample| &mut sample.usage).chain([&mut result.usage]) {
        let none = std::time::Duration::ZERO;
        *usage = Usage { prefill: none, decode: none, thinking: none, answering: none, ..*usage };
    }
    result
}

/// Thought, text, tokens and end of the reply that a session on its own gives.
fn alone(model: &Model, text: &str, options: &GenerateOptions) -> (String, String, Vec<u32>, Finish) {
    let mut chat = chat(model);
    let (mut thought, mut answer, mut prompt, mut finish) = (String::new(), String::new(), 0, None);
    for event in chat.send(text, options).unwrap() {
        match event.unwrap() {
            Event::Thought(text) => thought += &text,
            Event::Answer(text) => answer += &text,
            Event::Usage(usage) => prompt = usage.prompt,
            Event::Done(done) => finish = Some(done.finish),
            _ => {}
        }
    }
    (thought, answer, chat.session().tokens()[prompt..].to_vec(), finish.unwrap())
}

fn parts(sample: &VoteSample) -> (String, String, Vec<u32>, Finish) {
    (sample.thought.clone(), sample.text.clone(), sample.tokens.clone(), sample.finish)
}

#[test]
fn a_sample_is_what_a_lone_session_gives_whatever_runs_beside_it() {
    let model = model();
    let all = options(6, EarlyStop::Never);
    let together = vote(&model, EASY, &all);
    assert_eq!(together.samples.iter().map(|s| s.index).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    for sample in &together.samples {
        assert_eq!(parts(sample), alone(&model, EASY, &all.sample_options(sample.index)), "sample {}", sample.index);
    }
    let texts: std::collections::HashSet<_> = together.samples.iter().map(|s| &s.tokens).collect();
    assert!(texts.len() > 3, "seeds make a difference");
    // Sample 0 is the reply without a vote.
    assert_eq!(all.sample_options(0).sampler.seed, all.generate.sampler.seed);
    // Fewer samples, and batches that others join later.
    for (samples, batch) in [(3, None), (6, Some(2)), (6, Some(1))] {
        let other = vote(&model, EASY, &VoteOptions { batch, ..options(samples, EarlyStop::Never) });
        for (a, b) in other.samples.iter().zip(&together.samples) {
            assert_eq!(parts(a), parts(b), "{samples} samples by {batch:?}");
        }
    }
}

#[test]
fn samples_whose_thoughts_are_cut_are_those_of_lone_sessions_too() {
    let model = model();
    let mut cut = options(5, EarlyStop::Never);
    // Closing a thought takes several tokens in one pass, while other samples take one.
    cut.generate.think.budget = Some(60);
    let together = vote(&model, EASY, &cut);
    assert!(together.samples.iter().any(|s| s.usage.forced > 1));
    for sample in &together.samples {
        assert_eq!(parts(sample), alone(&model, EASY, &cut.sample_options(sample.index)), "sample {}", sample.index);
        assert!(sample.usage.reasoning <= 60);
    }
    assert_eq!(together.tokens, together.samples.iter().map(|s| s.tokens.len()).sum::<usize>());
}

#[test]
fn a_vote_is_reproducible() {
    let model = model();
    let options = options(5, EarlyStop::Beta { threshold: 0.9 });
    let run = |threads| {
        let mut chat = Chat::new(session(&model, threads), ChatOptions::default()).unwrap();
        let events: Vec<_> = chat.vote(EASY, &options).unwrap().map(Result::unwrap).collect();
        assert!(matches!(events.last(), Some(VoteEvent::Done(_))));
        let order: Vec<_> =
            events.iter().filter_map(|e| if let VoteEvent::Sample(s) = e { Some(s.index) } else { None }).collect();
        let Some(VoteEvent::Done(result)) = events.into_iter().last() else { unreachable!() };
        (order, timeless(result))
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn a_certain_vote_has_the_winner_of_all_samples() {
    let model = model();
    for question in [EASY, "What is 37 * 24?"] {
        let all = vote(&model, question, &options(7, EarlyStop::Never));
        let certain = vote(&model, question, &options(7, EarlyStop::Certain));
        assert_eq!((&certain.answer, all.reason), (&all.answer, Some(StopReason::Exhausted)));
        assert!(certain.finished <= all.finished && certain.tokens <= all.tokens);
        assert_eq!((all.finished, all.saved, all.limit), (7, 0, 7));
        let sum: usize = all.samples.iter().map(|s| s.usage.generated()).sum();
        assert_eq!((all.tokens, all.usage.generated()), (sum, sum));
        assert_eq!(
            all.counts.iter().map(|c| c.votes).sum::<usize>(),
            7 - all.samples.iter().filter(not_voting).count()
        );
    }
}

/// Whether a sample's answer does not count where others do.
fn not_voting(sample: &&VoteSample) -> bool {
    sample.answer.is_none() || sample.finish != Finish::Stop || sample.close.as_str() != "natural"
}

#[test]
fn agreement_ends_a_vote_after_the_fewest_samples() {
    let model = model();
    let sure = |early_stop| {
        let mut options = options(16, early_stop);
        options.generate.sampler = SamplerOptions { seed: 1, ..Default::default() };
        vote(&model, EASY, &options)
    };
    let all = sure(EarlyStop::Never);
    assert_eq!((all.answer.as_deref(), all.votes), (Some("888"), 16));
    let rules = [
        (EarlyStop::Beta { threshold: 0.95 }, 4, StopReason::Beta),
        (EarlyStop::Window(3), 3, StopReason::Window),
        (EarlyStop::Certain, 9, StopReason::Certain),
    ];
    for (rule, samples, reason) in rules {
        let result = sure(rule);
        assert_eq!((result.answer.as_deref(), result.confidence), (Some("888"), 1.0), "{rule}");
        assert_eq!((result.votes, result.finished, result.samples.len()), (samples, samples, samples), "{rule}");
        assert_eq!(result.reason, Some(reason));
        // All thoughts have about the same length here, so the estimate is close.
        let saved = all.tokens - result.tokens;
        assert!(result.saved.abs_diff(saved) * 5 < all.tokens, "{rule}: {} for {saved}", result.saved);
    }
}

#[test]
fn losers_of_a_race_are_cancelled_where_they_stand() {
    let model = model();
    let race = vote(&model, EASY, &options(8, EarlyStop::First(2)));
    let all = vote(&model, EASY, &options(8, EarlyStop::Never));
    assert_eq!((race.samples.len(), race.reason), (8, Some(StopReason::First)));
    let ended = race.samples.iter().filter(|s| s.finish != Finish::Cancelled).count();
    assert!(ended == race.finished && ended < 8);
    for (lost, whole) in race.samples.iter().zip(&all.samples) {
        if lost.finish == Finish::Cancelled {
            assert!(whole.tokens.starts_with(&lost.tokens) && lost.answer.is_none());
            assert_eq!(lost.usage.generated(), lost.tokens.len(), "its tokens are counted");
        } else {
            assert_eq!(parts(lost), parts(whole));
        }
    }
    assert!(race.tokens < all.tokens);
    let eager = VoteOptions { eager: true, ..options(8, EarlyStop::Window(2)) };
    assert_eq!(vote(&model, EASY, &eager).samples.len(), 8, "an eager vote starts all at once");
}

#[test]
fn cancelling_ends_a_vote_with_the_result_so_far() {
    let model = model();
    let cancel = CancelToken::new();
    let session = SessionOptions { cancel: cancel.clone(), ..Default::default() };
    let mut chat = Chat::new(model.session(session).unwrap(), ChatOptions::default()).unwrap();
    let mut result = None;
    let mut last = Default::default();
    for event in chat.vote(EASY, &options(8, EarlyStop::Never)).unwrap() {
        match event.unwrap() {
            VoteEvent::Progress(progress) => last = progress,
            VoteEvent::Sample(_) => {
                let cancel = cancel.clone();
                std::thread::spawn(move || cancel.cancel()).join().unwrap();
            }
            VoteEvent::Done(done) => result = Some(done),
            _ => {}
        }
    }
    let result = result.unwrap();
    assert_eq!((result.reason, result.saved), (None, 0));
    assert!(result.finished >= 1 && result.finished < 8 && result.samples.len() == 8);
    assert!(result.tokens <= last.tokens + 8, "it stopped at once");
    // The session goes on as if nothing had been.
    cancel.reset();
    let prompt = chat.session().tokens().to_vec();
    assert_eq!(prompt.len(), result.usage.prompt);
    let mut resumed = chat.into_session();
    let expected: Vec<u32> = result.samples[0].tokens.clone();
    let generate = options(1, EarlyStop::Never).sample_options(0);
    resumed.generate(&[], &generate).unwrap().for_each(drop);
    assert!(resumed.tokens()[prompt.len()..].starts_with(&expected));
}

#[test]
fn samples_share_the_prompt_and_leave_no_pages_behind() {
    const K: usize = 16;
    let model = model();
    let prompt: Vec<u32> = (0..1000).map(|i| i * 7 % 700).collect();
    let read = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&read);
    let progress = ProgressFn::new(move |p| {
        assert_eq!(p.stage, Stage::Prefill);
        counter.fetch_max(p.done, Ordering::Relaxed);
    });
    let session_options = SessionOptions { progress: Some(progress), ..Default::default() };
    let generate = GenerateOptions { max_tokens: Some(12), ignore_end: true, ..Default::default() };

    let mut lone = model.session(session_options.clone()).unwrap();
    lone.generate(&prompt, &generate).unwrap().for_each(drop);
    let separate = K * lone.cache_bytes();
    read.store(0, Ordering::Relaxed);

    let mut shared = model.session(session_options).unwrap();
    let options = VoteOptions { samples: K, generate, early_stop: EarlyStop::Never, ..Default::default() };
    let mut vote = shared.vote(&prompt, &options).unwrap();
    let mut peak = 0;
    let mut result = None;
    while let Some(event) = vote.next() {
        match event.unwrap() {
            VoteEvent::Progress(p) => assert!(p.running == K || p.finished > 0),
            VoteEvent::Done(done) => result = Some(done),
            _ => {}
        }
        peak = peak.max(vote.cache_bytes());
    }
    let result = result.unwrap();
    assert_eq!(result.tokens, K * 12);
    assert_eq!((result.usage.prompt, read.load(Ordering::Relaxed)), (1000, 1000), "the prompt is read once");
    assert!(result.samples.iter().all(|s| s.usage.cached == 1000));
    // On the CPU 16 pages for the prompt, and one for each sample where it parts from it, against 16 for each lone
    // session. On devices samples have copies of the prompt; the last token of each is not read.
    let on_devices = !model.placement().is_empty();
    let position = lone.cache_bytes() / lone.tokens().len();
    let page = lone.cache_bytes() / 16;
    let bytes = |positions: usize| if on_devices { positions * position } else { positions.div_ceil(64) * page };
    let most = if on_devices { bytes(1000) + K * bytes(1011) } else { bytes(1000) + K * page };
    assert_eq!((peak, separate), (most, K * bytes(1012)));
    assert_eq!(shared.cache_bytes(), bytes(1000), "nothing is left but the prompt");
    // A page of the prompt that is still shared would be copied on the next write; these are the session's own again.
    let before = shared.tokens().len();
    assert_eq!(before, 1000);
    shared.prefill(&result.samples[3].tokens).unwrap();
    assert_eq!(shared.tokens().len(), before + 12);
    assert_eq!(shared.cache_bytes(), bytes(1012));
}

#[test]
fn pages_are_freed_as_samples_end() {
    let model = model();
    let mut session = session(&model, 2);
    let prompt = model.tokenizer().encode(
        "<｜User｜>Find the product of 37 and 24.<｜Assistant｜><think>\n",
        r1core::EncodeOptions { add_bos: true, parse_special: true },
    );
    let mut vote = session.vote(&prompt, &options(6, EarlyStop::Never)).unwrap();
    let (mut peak, mut last) = (0, 0);
    while let Some(event) = vote.next() {
        if let VoteEvent::Done(result) = event.unwrap() {
            assert_eq!(result.finished, 6);
        }
        last = vote.cache_bytes();
        peak = peak.max(last);
    }
    assert_eq!(last, session.cache_bytes(), "nothing is left but the prompt's pages");
    assert!(peak > 5 * last);
}

#[test]
fn a_host_may_find_answers_itself() {
    let model = model();
    let parity = ExtractFn::new(|reply| {
        let digit = reply.chars().rev().find(char::is_ascii_digit)?;
        Some(if digit.to_digit(10)? % 2 == 0 { "even".into() } else { "odd".into() })
    });
    let result = vote(&model, EASY, &VoteOptions { extract: Some(parity), ..options(3, EarlyStop::Never) });
    assert_eq!(result.answer.as_deref(), Some("even"));
    let nothing = ExtractFn::new(|_| None);
    let result = vote(&model, EASY, &VoteOptions { extract: Some(nothing), ..options(2, EarlyStop::Certain) });
    assert_eq!((result.answer.clone(), result.votes, result.winner), (None, 0, None));
    assert_eq!(result.reply().map(|sample| sample.index), Some(0), "some reply stands for the result");
}

#[test]
fn the_winning_reply_joins_the_conversation() {
    let model = model();
    let mut chat = chat(&model);
    let result = chat.vote(EASY, &options(3, EarlyStop::Certain)).unwrap().result().unwrap();
    let winner = result.reply().unwrap();
    assert_eq!(winner.answer, result.answer);
    let [user, assistant] = chat.messages() else { panic!("one turn") };
    assert_eq!(user.content, EASY);
    assert!(assistant.content.contains(&winner.text) && assistant.content.contains(&winner.thought));
    // A vote that is dropped leaves no trace.
    chat.vote("What is 2 + 2?", &options(2, EarlyStop::Never)).unwrap().next().unwrap().unwrap();
    assert_eq!(chat.messages().len(), 2);
    assert!(!chat.send("What is 2 + 2?", &options(1, EarlyStop::Never).generate).unwrap().any(|e| e.is_err()));
}

#[test]
fn limits_are_kept_and_bad_arguments_refused() {
    let model = model();
    let mut session = model.session(SessionOptions { context: Some(24), ..Default::default() }).unwrap();
    let prompt: Vec<u32> = (1..=20).collect();
    let mut endless = options(3, EarlyStop::Never);
    endless.generate.ignore_end = true;
    let result = session.vote(&prompt, &endless).unwrap().result().unwrap();
    assert!(result.samples.iter().all(|s| s.finish == Finish::Context && s.tokens.len() == 4), "{result:?}");

    // The session holds the prompt only, so there is room for four tokens more and not for another prompt.
    assert_eq!(session.tokens().len(), 20);
    assert_eq!(session.vote(&prompt, &endless).map(|_| ()).unwrap_err().kind(), ErrorKind::ContextFull);
    for bad in [
        VoteOptions { samples: 0, ..VoteOptions::default() },
        VoteOptions { samples: usize::MAX, ..VoteOptions::default() },
        VoteOptions { batch: Some(0), ..VoteOptions::default() },
    ] {
        let mut session = self::session(&model, 1);
        assert_eq!(session.vote(&prompt, &bad).map(|_| ()).unwrap_err().kind(), ErrorKind::Argument);
    }
    let mut none = options(3, EarlyStop::Certain);
    none.generate.max_tokens = Some(0);
    let result = vote(&model, EASY, &none);
    assert_eq!((result.tokens, result.answer, result.reason), (0, None, Some(StopReason::Exhausted)));
}

/// Pulls a vote's events and does something at the first progress at which `when` holds.
fn steered(
    model: &Model,
    options: &VoteOptions,
    when: impl Fn(&VoteHandle) -> bool,
    act: impl Fn(&VoteHandle),
) -> VoteResult {
    let mut chat = chat(model);
    let mut vote = chat.vote(EASY, options).unwrap();
    let handle = vote.handle();
    let mut done = false;
    loop {
        match vote.next().unwrap().unwrap() {
            VoteEvent::Progress(progress) => {
                assert_eq!(handle.progress(), progress);
                assert_eq!(handle.samples().len(), progress.running);
                if !done && when(&handle) {
                    done = true;
                    act(&handle);
                }
            }
            VoteEvent::Done(result) => {
                assert!(vote.next().is_none());
                assert_eq!((handle.progress().running, handle.answer_now()), (0, 0), "a vote that is over");
                return result;
            }
            _ => {}
        }
    }
}

#[test]
fn a_host_gets_the_result_of_a_running_vote_now() {
    let model = model();
    let options = VoteOptions { batch: Some(3), ..options(16, EarlyStop::Never) };
    let result = steered(&model, &options, |h| h.progress().tokens >= 60, |h| assert_eq!(h.answer_now(), 3));
    assert_eq!((result.finished, result.samples.len(), result.limit), (3, 3, 16), "no further sample starts");
    for sample in &result.samples {
        assert_eq!((sample.close, sample.usage.reasoning), (CloseReason::Interrupt, 20));
        assert!(!sample.text.is_empty());
    }
    assert_eq!(result.reason, Some(StopReason::Exhausted));
    // Another thread, before anything has run: one sample, without a thought.
    let mut chat = chat(&model);
    let vote = chat.vote(EASY, &options).unwrap();
    let handle = vote.handle();
    std::thread::spawn(move || handle.answer_now()).join().unwrap();
    let result = vote.result().unwrap();
    assert_eq!((result.samples.len(), result.usage.reasoning), (1, 0));
}

#[test]
fn the_budget_of_a_running_vote_changes_for_all_its_samples() {
    let model = model();
    let generate = GenerateOptions { max_tokens: Some(40), ..greedy };
    let options = VoteOptions { batch: Some(2), generate, ..options(5, EarlyStop::Never) };
    let result = steered(&model, &options, |h| h.progress().tokens >= 20, |h| assert_eq!(h.set_budget(Some(30)), 2));
    assert_eq!(result.finished, 5);
    assert!(result.samples.iter().all(|sample| sample.usage.reasoning <= 30));
    assert!(result.samples.iter().any(|sample| sample.close == CloseReason::Budget));
}

#[test]
fn one_sample_of_a_running_vote_can_be_ended_and_changes_no_other() {
    let model = model();
    let options = options(5, EarlyStop::Never);
    let whole = vote(&model, EASY, &options);
    let end = |h: &VoteHandle| {
        assert!(h.sample(2).is_some_and(|thought| thought.counters().reasoning > 0));
        assert!(h.cancel_sample(2) && !h.cancel_sample(7));
    };
    let result = steered(&model, &options, |h| h.progress().tokens >= 50, end);
    assert_eq!((result.finished, result.samples[2].finish), (4, Finish::Cancelled));
    for (got, expected) in result.samples.iter().zip(&whole.samples).filter(|(sample, _)| sample.index != 2) {
        assert_eq!(parts(got), parts(expected));
    }
    // The last ones, too.
    let all = |h: &VoteHandle| assert!((0..5).all(|index| h.cancel_sample(index)));
    let result = steered(&model, &options, |h| h.progress().tokens >= 50, all);
    assert_eq!((result.finished, result.answer, result.reason), (0, None, Some(StopReason::Exhausted)));
}

#[test]
fn a_hosts_weights_decide() {
    let model = model();
    // Each sample votes for itself, so that the weight alone decides.
    let extract = Some(ExtractFn::new(|text| Some(text.trim().to_owned())));
    let weighed = |weigh: fn(&VoteSample) -> f64| {
        let weigh = Some(WeighFn::new(weigh));
        let options = VoteOptions { extract: extract.clone(), weigh, ..options(4, EarlyStop::Never) };
        chat(&model).vote(EASY, &options).unwrap().result()
    };
    let result = weighed(|sample| if sample.index == 3 { 1.0 } else { 0.01 }).unwrap();
    assert_eq!(result.answer, result.samples[3].answer);
    assert!(result.samples[3].answer.is_some() && result.confidence > 0.9);
    for bad in [|_: &VoteSample| 0.0, |_: &VoteSample| f64::NAN, |_: &VoteSample| 2.0] {
        assert_eq!(weighed(bad).unwrap_err().kind(), ErrorKind::Argument);
    }
}

#[test]
fn what_runs_beside_a_steered_sequence_changes_no_bit_of_it() {
    let model = model();
    let mut base = options(6, EarlyStop::Never);
    base.generate.think = ThinkOptions {
        budget: Some(45),
        boundary: Boundary::Line,
        message: Some("Enough.\n".into()),
        ramp: Some(Ramp::default()),
        max_extensions: 1,
        ..Default::default()
    };
    base.generate.max_tokens = Some(90);
    let lone: Vec<_> = (0..6).map(|i| alone(&model, EASY, &base.sample_options(i))).collect();
    for (batch, samples) in [(None, 6), (Some(2), 6), (Some(5), 6), (None, 3)] {
        let together = vote(&model, EASY, &VoteOptions { batch, samples, ..base.clone() });
        assert_eq!(together.samples.len(), samples);
        assert!(together.samples.iter().any(|sample| sample.usage.forced > 0));
        for sample in &together.samples {
            assert_eq!(parts(sample), lone[sample.index], "sample {} of {samples} by {batch:?}", sample.index);
        }
    }
}

#[test]
fn logits_after_a_vote_that_goes_on_from_a_greedy_reply_are_the_sessions_own() {
    let model = model();
    let prompt = model.tokenizer().encode(EASY, Default::default());
    let greedy = GenerateOptions { sampler: SamplerOptions::greedy(), max_tokens: Some(12), ..Default::default() };
    let mut session = session(&model, 2);
    session.generate(&prompt, &greedy).unwrap().for_each(|event| drop(event.unwrap()));
    let tokens = session.tokens().to_vec();
    // Two at a time, so that later samples begin when the runner has run others.
    let generate = GenerateOptions { max_tokens: Some(40), ..greedy };
    let options = VoteOptions { batch: Some(2), generate, ..options(5, EarlyStop::Never) };
    let result = session.vote(&[], &options).unwrap().result().unwrap();
    assert_eq!(session.tokens(), tokens);
    let logits = session.logits().unwrap().to_vec();

    let mut fresh = self::session(&model, 2);
    fresh.prefill(&tokens).unwrap();
    assert_eq!(logits, fresh.logits().unwrap());
    let again = fresh.vote(&[], &options).unwrap().result().unwrap();
    assert_eq!(
        result.samples.iter().map(parts).collect::<Vec<_>>(),
        again.samples.iter().map(parts).collect::<Vec<_>>()
    );
}
