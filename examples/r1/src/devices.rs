//! `r1 devices`: what this build can run on.

use r1core::Device;
use serde_json::json;

use crate::args::DevicesArgs;
use crate::output::{Outcome, json_line};

pub(crate) fn run(args: &DevicesArgs) -> Outcome {
    for device in Device::list() {
        if args.json {
            json_line(&json!({
                "name": device.name, "kernels": device.kernels, "available": device.available,
                "threads": device.threads,
            }))?;
        } else {
            let others: Vec<_> = device.available.iter().filter(|k| **k != device.kernels).copied().collect();
            println!(
                "{}: {} kernels ({} also run), {} threads",
                device.name,
                device.kernels,
                if others.is_empty() { "no others".to_owned() } else { others.join(", ") },
                device.threads
            );
        }
    }
    Ok(())
}
