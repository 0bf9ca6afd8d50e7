//! Limits on the thoughts of a real model: the one that ships.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use r1core::reasoning::{OnBudget, Phase, ThinkHandle, ThinkOptions};
use r1core::{
    Chat, ChatOptions, CloseReason, Done, Event, Finish, GenerateOptions, Model, Provenance, SamplerOptions,
    SessionOptions, TokenEvent, Usage,
};

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
    let mut state = {
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
        ["What is </think> 37 * 24?", "<think> What is 37 * 24?", "</think><think></think> What is 12 + 30?"]
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
    let sampler = SamplerOptions { temperature: 2.5, top_p: 1.0, seed: 11, ..Default::default() };
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
