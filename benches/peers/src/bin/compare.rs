//! How far engines are from the truth and from each other: KL divergence and top-1 agreement, position by position.

use std::path::PathBuf;

use r1_peers::Result;
use r1_peers::args::Args;
use r1_peers::dump::Reader;
use r1_peers::figures::{Agreement, Distance, Pair};

const USAGE: &str = "\
compare --truth DUMP --other NAME=DUMP [--other NAME=DUMP ...] [--margin 0.05] [--json]
Dumps of the same ids, as `peer_logits --all-positions --dump` and `reference.py` write them.
Divergences are KL(truth || other) in nats, with their ratio to the first engine's. Agreement with the truth leaves out
positions whose two likeliest tokens lie closer than the margin (in nats) in the truth. Every other engine is also
compared with the first one: agreement where the first (both, the truth) has a clear winner, and who is right where
they differ.";

struct Engine<'a> {
    name: &'a str,
    dump: Reader,
    row: Vec<f32>,
    distance: Distance,
    /// With the first engine.
    pair: Pair,
}

fn main() -> Result<()> {
    let mut args = Args::of_process(USAGE);
    let truth: PathBuf = args.required("--truth")?;
    let others = args.values("--other")?;
    let margin = args.value("--margin")?.unwrap_or(0.05);
    let json = args.flag("--json");
    args.finish()?;

    let mut truth = Reader::open(&truth)?;
    let mut engines = Vec::new();
    for other in &others {
        let (name, path) = other.split_once('=').ok_or("--other takes NAME=DUMP")?;
        let dump = Reader::open(path.as_ref())?;
        if (dump.positions(), dump.vocabulary()) != (truth.positions(), truth.vocabulary()) {
            return Err(format!("{path}: not the positions and the vocabulary of the truth").into());
        }
        engines.push(Engine { name, dump, row: Vec::new(), distance: Distance::new(margin), pair: Pair::new(margin) });
    }
    let (first, rest) = engines.split_first_mut().ok_or("--other is required")?;
    let mut true_row = Vec::new();
    for _ in 0..truth.positions() {
        truth.row(&mut true_row)?;
        first.dump.row(&mut first.row)?;
        first.distance.add(&true_row, &first.row);
        for engine in rest.iter_mut() {
            engine.dump.row(&mut engine.row)?;
            engine.distance.add(&true_row, &engine.row);
            engine.pair.add(&true_row, &first.row, &engine.row);
        }
    }

    let (first_name, first_mean) = (first.name, first.distance.mean());
    for (i, Engine { name, distance, pair, .. }) in engines.iter().enumerate() {
        let (mean, median, p99) = (distance.mean(), distance.quantile(0.5), distance.quantile(0.99));
        let ratio = mean / first_mean;
        if json {
            let mut figures = serde_json::json!({
                "engine": name, "positions": truth.positions(), "kl_mean": mean, "kl_median": median, "kl_p99": p99,
                "kl_max": distance.quantile(1.0), "kl_ratio": ratio, "truth": object(distance.agreement),
            });
            if i > 0 {
                figures["with"] = first_name.into();
                figures["first_clear"] = object(pair.first_clear);
                figures["both_clear"] = object(pair.both_clear);
                figures["truth_clear"] = object(pair.truth_clear);
                figures["first_right"] = pair.first_right.into();
                figures["second_right"] = pair.second_right.into();
            }
            println!("{figures}");
            continue;
        }
        let agreement = text(distance.agreement);
        println!(
            "{name:24} KL mean {mean:.3e} (x{ratio:.3}) median {median:.3e} p99 {p99:.3e}   top-1 of the truth {agreement}"
        );
        if i > 0 {
            let neither = pair.first_clear.missed - pair.first_right - pair.second_right;
            println!(
                "    with {first_name}: {} where it is clear, {} where both are, {} where the truth is",
                text(pair.first_clear),
                text(pair.both_clear),
                text(pair.truth_clear)
            );
            println!(
                "    of the first {}: {first_name} has the truth's winner in {}, {name} in {}, neither in {neither}",
                pair.first_clear.missed, pair.first_right, pair.second_right
            );
        }
    }
    Ok(())
}

fn text(agreement: Agreement) -> String {
    format!("{:.2} % ({} of {} missed)", 100.0 * agreement.share(), agreement.missed, agreement.clear)
}

fn object(agreement: Agreement) -> serde_json::Value {
    serde_json::json!({ "clear": agreement.clear, "missed": agreement.missed, "agreement": agreement.share() })
}
