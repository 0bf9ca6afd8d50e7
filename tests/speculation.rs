//! Guessing ahead changes the time that a reply takes and nothing else.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::time::Duration;

use r1core::answer::AnswerKind;
use r1core::reasoning::{Boundary, Ramp, ThinkOptions};
use r1core::voting::EarlyStop;
use r1core::{
    EncodeOptions, Event, GenerateOptions, Guesses, Model, Provenance, SamplerOptions, Session, SessionOptions,
    Speculation, Usage, VoteEvent, VoteHandle, VoteOptions, VoteResult, VoteSample,
};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/r1-tiny-q8_0.gguf");

const PROMPTS: [&str; 3] = [
    "one two three one two three one two three one two",
    "What is 37 * 24? 37 * 24 = 37 * 20 + 37 * 4. What is 37 * 24? 37 * 24 =",
    "x",
];

fn session(model: &Model, speculation: Speculation) -> Session {
    model.session(SessionOptions { threads: Some(1), speculation, ..Default::default() }).unwrap()
}

fn ids(model: &Model, text: &str) -> Vec<u32> {
    model.tokenizer().encode(text, EncodeOptions::default())
}

/// Every token of a reply with the bits of its log-probability, and the text.
type Reply = (Vec<(u32, Option<u32>, Provenance)>, String);

fn reply(session: &mut Session, prompt: &[u32], options: &GenerateOptions) -> Reply {
    let (mut tokens, mut text) = (Vec::new(), String::new());
    for event in session.generate(prompt, options).unwrap() {
        match event.unwrap() {
            Event::Token(token) => tokens.push((token.id, token.logprob.map(f32::to_bits), token.provenance)),
            Event::Thought(more) | Event::Answer(more) => text += &more,
            _ => {}
        }
    }
    (tokens, text)
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|logit| logit.to_bits()).collect()
}

#[test]
fn no_bit_of_a_reply_depends_on_guesses() {
    let model = Model::open(SHIPPED).unwrap();
    let sampled = |temperature, seed| SamplerOptions { temperature, seed, ..Default::default() };
    let (mut made, mut taken) = (0, 0);
    for prompt in PROMPTS {
        let prompt = ids(&model, prompt);
        let cases = [
            GenerateOptions { sampler: SamplerOptions::greedy(), ..Default::default() },
            GenerateOptions { sampler: sampled(0.6, 1), ..Default::default() },
            GenerateOptions { sampler: sampled(1.0, 2), stop: vec!["1".into()], ..Default::default() },
            // Forced tokens interrupt guesses in the middle.
            GenerateOptions {
                sampler: SamplerOptions::greedy(),
                think: ThinkOptions { budget: Some(20), ..Default::default() },
                thought_open: Some(true),
                ..Default::default()
            },
        ];
        for case in cases {
            let options = GenerateOptions { max_tokens: Some(120), logprobs: Some(1), ignore_end: true, ..case };
            let mut plain = session(&model, Speculation::Off);
            let expected = reply(&mut plain, &prompt, &options);
            for speculation in
                [Speculation::Always(1), Speculation::Always(4), Speculation::Always(7), Speculation::Auto]
            {
                let mut guessing = session(&model, speculation);
                assert_eq!(reply(&mut guessing, &prompt, &options), expected, "{speculation:?}");
                assert_eq!(guessing.tokens(), plain.tokens());
                assert_eq!(bits(guessing.logits().unwrap()), bits(plain.logits().unwrap()));
                made += guessing.guesses().made;
                taken += guessing.guesses().taken;
            }
            assert_eq!(plain.guesses(), Guesses::default());
        }
    }
    assert!(taken > 100 && made > taken, "guesses were made ({made}), taken ({taken}) and refused");
}

#[test]
fn a_session_left_in_the_middle_of_guesses_goes_on_as_if_there_were_none() {
    let model = Model::open(SHIPPED).unwrap();
    let prompt = ids(&model, PROMPTS[0]);
    let more = ids(&model, " and then");
    let options = |max_tokens| GenerateOptions {
        sampler: SamplerOptions::greedy(),
        max_tokens: Some(max_tokens),
        ..Default::default()
    };
    for length in 1..24 {
        let mut sessions = [Speculation::Off, Speculation::Always(7)].map(|how| session(&model, how));
        let [plain, guessing] = sessions.each_mut().map(|session| {
            reply(session, &prompt, &options(length));
            let mut fork = session.fork();
            fork.prefill(&more).unwrap();
            session.prefill(&more).unwrap();
            let after = bits(session.logits().unwrap());
            assert_eq!(after, bits(fork.logits().unwrap()));
            let voted = VoteOptions { samples: 2, generate: options(6), ..Default::default() };
            let vote = session.vote(&[], &voted).unwrap().result().unwrap();
            session.truncate(prompt.len());
            session.prefill(&more).unwrap();
            (after, vote.samples[0].tokens.clone(), bits(session.logits().unwrap()), session.tokens().to_vec())
        });
        assert_eq!(plain, guessing, "after {length} tokens");
    }
}

#[test]
fn guesses_never_outgrow_the_context() {
    let model = Model::open(SHIPPED).unwrap();
    let prompt = ids(&model, PROMPTS[0]);
    let options = GenerateOptions { sampler: SamplerOptions::greedy(), ignore_end: true, ..Default::default() };
    let run = |speculation, context| {
        let options_of = SessionOptions { threads: Some(1), context: Some(context), speculation, ..Default::default() };
        let mut session = model.session(options_of).unwrap();
        reply(&mut session, &prompt, &options);
        session.tokens().to_vec()
    };
    for context in prompt.len() + 1..prompt.len() + 20 {
        let tokens = run(Speculation::Always(7), context);
        assert_eq!(tokens.len(), context);
        assert_eq!(tokens, run(Speculation::Off, context));
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Votes.

const HOW: [Speculation; 3] = [Speculation::Always(2), Speculation::Always(7), Speculation::Auto];

/// A vote's prompt as the model's template has it, with a thought that is open.
const QUESTION: &str = "<｜User｜>Find the product of 37 and 24.<｜Assistant｜><think>\n";

fn question(model: &Model) -> Vec<u32> {
    model.tokenizer().encode(QUESTION, EncodeOptions { add_bos: true, parse_special: true })
}

fn without_times(usage: &mut Usage) {
    let none = Duration::ZERO;
    *usage = Usage { prefill: none, decode: none, thinking: none, answering: none, ..*usage };
}

fn timeless(mut result: VoteResult) -> VoteResult {
    result.samples.iter_mut().map(|sample| &mut sample.usage).chain([&mut result.usage]).for_each(without_times);
    result
}

/// All events of a vote, without times. `act` is called after each of them with the number of those before.
fn events(session: &mut Session, options: &VoteOptions, act: impl Fn(usize, &VoteHandle)) -> Vec<VoteEvent> {
    let prompt = question(session.model());
    let (mut events, mut freed) = (Vec::new(), 0);
    let mut vote = session.vote(&prompt, options).unwrap();
    let handle = vote.handle();
    while let Some(event) = vote.next() {
        events.push(match event.unwrap() {
            VoteEvent::Sample(mut sample) => {
                without_times(&mut sample.usage);
                VoteEvent::Sample(sample)
            }
            VoteEvent::Done(result) => {
                freed = vote.cache_bytes();
                VoteEvent::Done(timeless(result))
            }
            progress => progress,
        });
        act(events.len(), &handle);
    }
    assert_eq!((freed, session.tokens()), (session.cache_bytes(), &*prompt), "pages are left behind");
    events
}

/// Integer answers of at most `max_tokens`, as they are sampled by default or less alike.
fn voting(samples: usize, early_stop: EarlyStop, temperature: f32, max_tokens: usize) -> VoteOptions {
    let sampler = SamplerOptions { temperature, seed: 5, ..Default::default() };
    let generate = GenerateOptions { sampler, max_tokens: Some(max_tokens), logprobs: Some(2), ..Default::default() };
    VoteOptions { samples, early_stop, kind: AnswerKind::Integer, generate, ..Default::default() }
}

/// Checks that a vote has the same events whatever is guessed, and returns the guesses.
fn same(model: &Model, options: &VoteOptions, act: impl Fn(usize, &VoteHandle)) -> Guesses {
    let expected = events(&mut session(model, Speculation::Off), options, &act);
    let mut all = Guesses::default();
    for how in HOW {
        let mut session = session(model, how);
        let got = events(&mut session, options, &act);
        let first = got.iter().zip(&expected).position(|(a, b)| a != b);
        let differs = first.map(|at| (at, &got[at], &expected[at]));
        assert!(got == expected, "{how:?} {options:?}: {} and {} events, {differs:?}", got.len(), expected.len());
        all.made += session.guesses().made;
        all.taken += session.guesses().taken;
    }
    all
}

#[test]
fn no_vote_depends_on_guesses_whatever_its_size() {
    let model = Model::open(SHIPPED).unwrap();
    let (mut made, mut taken) = (0, 0);
    for samples in 1..=16 {
        let rules = [EarlyStop::Never, EarlyStop::Certain, EarlyStop::First(3), EarlyStop::Window(2)];
        let mut options = voting(samples, rules[samples % 4], if samples % 3 == 0 { 1.0 } else { 0.6 }, 80);
        options.eager = samples % 5 == 0;
        options.batch = (samples % 7 == 0).then_some(3);
        let guesses = same(&model, &options, |_, _| {});
        made += guesses.made;
        taken += guesses.taken;
    }
    assert!(taken > 500 && made > taken, "guesses were made ({made}), taken ({taken}) and refused");
}

#[test]
fn no_vote_depends_on_guesses_whatever_interrupts_them() {
    let model = Model::open(SHIPPED).unwrap();
    let base = voting(5, EarlyStop::Never, 0.6, 90);
    let with = |change: &dyn Fn(&mut GenerateOptions)| {
        let mut options = base.clone();
        change(&mut options.generate);
        options
    };
    let cases = [
        with(&|g| g.think.budget = Some(30)),
        with(&|g| {
            g.think = ThinkOptions {
                budget: Some(25),
                boundary: Boundary::Line,
                message: Some("Enough.\n".into()),
                ramp: Some(Ramp::default()),
                max_extensions: 1,
                ..Default::default()
            };
        }),
        with(&|g| g.stop = vec!["8".into(), "is".into()]),
        with(&|g| g.sampler.frequency_penalty = 0.5),
        with(&|g| g.think.answering = Some(SamplerOptions::greedy())),
        with(&|g| g.ignore_end = true),
        #[cfg(feature = "grammar")]
        with(&|g| g.grammar = Some(r1core::constraint::Grammar::Regex("The answer is [0-9]{1,5}\\.".into()))),
    ];
    for (i, case) in cases.iter().enumerate() {
        let Guesses { made, taken } = same(&model, case, |_, _| {});
        assert!(taken > 0 && made > taken, "case {i}: {taken} of {made}");
    }
}

#[test]
fn a_vote_steered_in_the_middle_of_guesses_goes_on_as_if_there_were_none() {
    let model = Model::open(SHIPPED).unwrap();
    let options = voting(4, EarlyStop::Never, 0.6, 70);
    for at in (1..60).step_by(11) {
        same(&model, &options, |events, handle| {
            if events == at {
                handle.cancel_sample(at % 4);
            }
        });
        same(&model, &options, |events, handle| {
            if events == at {
                handle.answer_now();
            }
        });
        same(&model, &options, |events, handle| {
            if events == at {
                handle.set_budget(Some(at));
            }
        });
    }
}

#[test]
fn a_vote_that_is_cancelled_or_dropped_among_guesses_leaves_the_session_as_it_was() {
    let model = Model::open(SHIPPED).unwrap();
    let options = voting(6, EarlyStop::Never, 0.6, 200);
    for stop in [2, 9, 23, 40] {
        let [plain, guessing] = [Speculation::Off, Speculation::Always(7)].map(|how| {
            let mut session = session(&model, how);
            let cancel = session.cancel_token().clone();
            let cancelled = events(&mut session, &options, |events, _| {
                if events == stop {
                    cancel.cancel();
                }
            });
            assert!(matches!(cancelled.last(), Some(VoteEvent::Done(result)) if result.reason.is_none()));
            cancel.reset();
            session.truncate(0);
            let prompt = question(&model);
            session.vote(&prompt, &options).unwrap().by_ref().take(stop).for_each(drop);
            let pages = session.cache_bytes();
            let again = events_of_next(&mut session, &options);
            (cancelled, again, pages, bits(session.logits().unwrap()))
        });
        assert!(plain == guessing, "after {stop} events");
    }
}

/// The result of a second vote right behind what the session holds.
fn events_of_next(session: &mut Session, options: &VoteOptions) -> Vec<VoteSample> {
    timeless(session.vote(&[], options).unwrap().result().unwrap()).samples
}

#[test]
fn samples_never_outgrow_the_context_with_their_guesses() {
    let model = Model::open(SHIPPED).unwrap();
    let length = question(&model).len();
    for context in [1, 2, 3, 9, 17].map(|more| length + more) {
        let mut options = voting(3, EarlyStop::Never, 0.6, 100);
        options.generate.ignore_end = true;
        let run = |speculation| {
            let all = SessionOptions { threads: Some(1), context: Some(context), speculation, ..Default::default() };
            events(&mut model.session(all).unwrap(), &options, |_, _| {})
        };
        assert!(run(Speculation::Always(7)) == run(Speculation::Off), "{context}");
    }
}
