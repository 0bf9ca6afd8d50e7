//! `r1 devices`: what this build can run on; `r1 rpc-server`: the same for other machines.

use r1core::Device;
use serde_json::json;

use crate::args::{DevicesArgs, RpcServerArgs};
use crate::output::{Outcome, json_line, size};

pub(crate) fn run(args: &DevicesArgs) -> Outcome {
    let devices = match Device::list_with(args.ggml.ggml.as_deref(), &args.ggml.rpc) {
        Ok(devices) => devices,
        // Without a folder or a server, a missing ggml is no failure.
        Err(e) if args.ggml.ggml.is_none() && args.ggml.rpc.is_empty() => {
            eprintln!("r1: no GPUs: {e}");
            Device::list()
        }
        Err(e) => return Err(e.into()),
    };
    for device in devices {
        if args.json {
            json_line(&json!({
                "name": device.name, "kernels": device.kernels, "available": device.available,
                "threads": device.threads, "description": device.description, "backend": device.backend,
                "memory_free": device.memory_free, "memory_total": device.memory_total,
            }))?;
        } else if device.backend != "cpu" {
            let memory = match (device.memory_free, device.memory_total) {
                (Some(free), Some(total)) => format!(", {} of {} free", size(free), size(total)),
                _ => String::new(),
            };
            println!("{}: {} through ggml's {} backend{memory}", device.name, device.description, device.backend);
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

pub(crate) fn serve(args: &RpcServerArgs) -> Outcome {
    eprintln!("r1: offering '{}' at {}: whoever reaches that address can use it", args.backend, args.listen);
    Ok(Device::serve(&args.listen, &args.backend, args.ggml.as_deref(), args.threads.map(usize::from))?)
}
