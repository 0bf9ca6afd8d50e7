//! How far engines are from the truth: KL divergence and top-1 agreement, position by position.

use std::path::PathBuf;

use r1_peers::Result;
use r1_peers::args::Args;
use r1_peers::dump::Reader;
use r1_peers::figures::Distance;

const USAGE: &str = "\
compare --truth DUMP --other NAME=DUMP [--other NAME=DUMP ...] [--json]
Dumps of the same ids, as `peer_logits --all-positions --dump` writes them; the truth is an f32 pass.
Divergences are KL(truth || other) in nats; agreement leaves out positions whose two likeliest tokens
lie closer than 0.05 nats in the truth.";

fn main() -> Result<()> {
    let mut args = Args::of_process(USAGE);
    let truth: PathBuf = args.required("--truth")?;
    let others = args.values("--other")?;
    let json = args.flag("--json");
    args.finish()?;

    let mut truth = Reader::open(&truth)?;
    let mut engines = Vec::new();
    for other in &others {
        let (name, path) = other.split_once('=').ok_or("--other takes NAME=DUMP")?;
        let reader = Reader::open(path.as_ref())?;
        if (reader.positions(), reader.vocabulary()) != (truth.positions(), truth.vocabulary()) {
            return Err(format!("{path}: not the positions and the vocabulary of the truth").into());
        }
        engines.push((name, reader, Distance::default()));
    }
    let (mut true_row, mut row) = (Vec::new(), Vec::new());
    for _ in 0..truth.positions() {
        truth.row(&mut true_row)?;
        for (_, reader, distance) in &mut engines {
            reader.row(&mut row)?;
            distance.add(&true_row, &row);
        }
    }
    for (name, _, distance) in &engines {
        let (clear, missed) = distance.clear();
        let (mean, median, p99) = (distance.mean(), distance.quantile(0.5), distance.quantile(0.99));
        if json {
            let figures = serde_json::json!({
                "engine": name, "positions": truth.positions(), "kl_mean": mean, "kl_median": median, "kl_p99": p99,
                "kl_max": distance.quantile(1.0), "clear": clear, "missed": missed, "agreement": distance.agreement(),
            });
            println!("{figures}");
        } else {
            let share = 100.0 * distance.agreement();
            println!(
                "{name:24} KL mean {mean:.3e} median {median:.3e} p99 {p99:.3e}  top-1 {share:.2} % ({missed} of {clear} missed)"
            );
        }
    }
    Ok(())
}
