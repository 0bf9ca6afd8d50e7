//! Guessing ahead changes the time that a reply takes and nothing else.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use r1core::reasoning::ThinkOptions;
use r1core::{
    EncodeOptions, Event, GenerateOptions, Guesses, Model, Provenance, SamplerOptions, Session, SessionOptions,
    Speculation, VoteOptions,
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
