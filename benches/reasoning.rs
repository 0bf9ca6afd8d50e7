//! Cost of reasoning control for a token, and what it allocates: a vocabulary of 152,000, every guard at work.
//!
//! `cargo bench -p r1core --bench reasoning`. A thought of 20,000 tokens; the median over stretches of 400.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use r1core::reasoning::{Boundary, InitialPhase, Plan, Ramp, ThinkControl, ThinkOptions, ThinkTags, Verdict, Words};
use r1core::sampler::{Sampler, SamplerOptions, Steer, TokenMask};

const VOCABULARY: u32 = 152_000;
const CLOSE: u32 = 151_668;
const END: u32 = 151_645;
const TOKENS: u32 = 20_000;
const STRETCH: u32 = 400;

/// Counts what is allocated.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on to the system's allocator unchanged; the counter touches no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; `pointer` came from `alloc`, thus from the system.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn main() {
    let week = Duration::from_secs(604_800);
    let limits = ThinkOptions {
        budget: Some(1 << 30),
        block_budget: Some(1 << 30),
        boundary: Boundary::Sentence,
        ramp: Some(Ramp::default()),
        deadline_think: Some(week),
        deadline_total: Some(week),
        ..Default::default()
    };
    println!("| tags | options | ns a token | allocations a token |");
    println!("|---|---|---|---|");
    for by_id in [true, false] {
        for (name, options) in [("default", ThinkOptions::default()), ("every limit", limits.clone())] {
            let (time, allocations) = control(by_id, &options);
            println!("| {} | {name} | {time:.0} | {allocations} |", if by_id { "by id" } else { "by bytes" });
        }
    }
    sampling();
}

/// Nanoseconds and allocations for a token of a long thought.
fn control(by_id: bool, options: &ThinkOptions) -> (f64, f64) {
    let mut tags = ThinkTags::from_text("<think>", "</think>");
    if by_id {
        tags.tokens = vec![("<think>".into(), CLOSE - 1), ("</think>".into(), CLOSE)];
    }
    let encode = |text: &[u8]| text.iter().map(|byte| u32::from(*byte)).collect();
    let words = Words { encode: &encode, ends: &[END], special: &|_| None };
    let mut control = ThinkControl::new(Some(tags), InitialPhase::Open, options, words).expect("valid options");
    control.begin(usize::MAX, 0, Duration::ZERO);
    let mut step = |i: u32| {
        // No token comes back, so that the loop guard has to look each time.
        let id = i.wrapping_mul(7919) % (VOCABULARY - 1000);
        let bytes: &[u8] = if i.is_multiple_of(7) { b" <word" } else { b" word." };
        match control.plan() {
            Plan::Sample(steer) => black_box(steer.forbid.len()),
            _ => unreachable!("no limit is reached"),
        };
        assert_eq!(control.judge(id, bytes, false), Verdict::Commit);
        black_box(control.accept(id, bytes).count());
    };
    // The buffers grow with the first tokens.
    (0..STRETCH).for_each(&mut step);
    let mut times = Vec::with_capacity((TOKENS / STRETCH) as usize);
    let before = ALLOCATIONS.load(Relaxed);
    for stretch in 1..=TOKENS / STRETCH {
        let start = Instant::now();
        (stretch * STRETCH..(stretch + 1) * STRETCH).for_each(&mut step);
        times.push(start.elapsed().as_nanos() as f64 / f64::from(STRETCH));
    }
    let allocations = ALLOCATIONS.load(Relaxed) - before;
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], allocations as f64 / f64::from(TOKENS))
}

/// What forbidding tokens adds to sampling.
fn sampling() {
    // Few tokens are likely, as after a real prompt.
    let uniform = |i: u32| (f64::from(i.wrapping_mul(2_654_435_761)) + 0.5) / f64::from(u32::MAX);
    let logits: Vec<f32> = (0..VOCABULARY).map(|i| (-2.0 * uniform(i).ln()) as f32).collect();
    let mut sampler = Sampler::new(SamplerOptions::default()).expect("valid options");
    let mut greedy = Sampler::new(SamplerOptions::greedy()).expect("valid options");
    let forbid = [CLOSE, END];
    let median = |sampler: &mut Sampler, steer: Steer<'_>| {
        let mut times: Vec<f64> = (0..201)
            .map(|position| {
                let start = Instant::now();
                black_box(sampler.sample_steered(&logits, position, steer).expect("a token"));
                start.elapsed().as_nanos() as f64
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times[100] / 1e3
    };
    let plain = median(&mut sampler, Steer::default());
    let forbidding = median(&mut sampler, Steer { forbid: &forbid, ..Default::default() });
    let best = median(&mut greedy, Steer::default());
    let masked: Vec<f64> = [2, 50, 98]
        .map(|percent| {
            let mut mask = TokenMask::all(VOCABULARY as usize);
            // The likeliest may come, so that what remains is as hard to choose from.
            let other = |i: &u32| uniform(*i) > 0.001 && uniform(i + 1) * 100.0 > f64::from(percent);
            (0..VOCABULARY).filter(other).for_each(|id| mask.forbid(id));
            median(&mut sampler, Steer { mask: Some(&mask), ..Default::default() })
        })
        .to_vec();
    println!(
        "\nsampling under a mask that allows 2 % of the tokens: {:.1} µs; 50 %: {:.1} µs; 98 %: {:.1} µs",
        masked[0], masked[1], masked[2]
    );
    println!("\nsampling: {plain:.1} µs; with two forbidden tokens {forbidding:.1} µs; the likeliest {best:.1} µs");
}
