//! Writes a model with random weights: every kind of model in every format, small or in the shape of a real one.

use std::fs;

use r1_peers::Result;
use r1_peers::args::Args;
use deepseek_r1::{Mix, header};
use tiny_models::{KINDS, Shape};

#[path = "../../../../tests/support/deepseek_r1.rs"]
mod deepseek_r1;
#[path = "../../../../tests/support/gguf_writer.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests' own writer; each user needs a part")]
mod gguf_writer;
#[path = "../../../../tests/support/tiny_models.rs"]
mod tiny_models;

const USAGE: &str = "\
make_model KIND FORMAT OUT.gguf [--layers N] [--width N] [--heads N] [--kv-heads N] [--head-dim N] [--feed-forward N]
    [--vocabulary N] [--seed N] [--experts N] [--used N] [--expert-width N] [--leading-dense N] [--shared N] [--fused]
    [--q-lora-rank N] [--kv-lora-rank N] [--nope N] [--rope N] [--yarn FACTOR]
KIND is an architecture, or one of its forms (llama-moe, deepseek2-lite-moe); FORMAT a type of tensors, such as Q4_K. The
same arguments give the same file.
make_model r1-671b|r1-671b-merged Q8_0|Q4_K_M|Q2_K|IQ1_S OUT.gguf
The header of DeepSeek-R1, without data, for `r1 inspect`; merged as in files made before April 2025.";

fn main() -> Result<()> {
    let mut args = Args::of_process(USAGE);
    let mut words = std::env::args().skip(1);
    let (Some(kind), Some(format), Some(out)) = (words.next(), words.next(), words.next()) else {
        return Err(USAGE.into());
    };
    for word in [&kind, &format, &out] {
        args.flag(word);
    }
    if let "r1-671b" | "r1-671b-merged" = kind.as_str() {
        let mix = Mix::from_name(&format).ok_or_else(|| format!("{format} is none of Q8_0, Q4_K_M, Q2_K and IQ1_S"))?;
        args.finish()?;
        fs::write(&out, header(mix, kind.ends_with("merged")).header())?;
        return Ok(());
    }
    let Some(kind) = KINDS.into_iter().find(|known| *known == kind) else {
        return Err(format!("{kind} is none of {}", KINDS.join(", ")).into());
    };
    if !r1core::Format::all().any(|known| known.name() == format) {
        return Err(format!("{format} is not a format that can be computed with").into());
    }
    let mut shape = Shape::new(kind, format.leak());
    shape.yarn = args.value("--yarn")?.or(shape.yarn);
    fn set(args: &mut Args, name: &str, number: &mut usize) -> Result<()> {
        if let Some(value) = args.value(name)? {
            *number = value;
        }
        Ok(())
    }
    set(&mut args, "--layers", &mut shape.layers)?;
    set(&mut args, "--width", &mut shape.width)?;
    set(&mut args, "--heads", &mut shape.heads)?;
    set(&mut args, "--kv-heads", &mut shape.kv_heads)?;
    set(&mut args, "--head-dim", &mut shape.head_dim)?;
    set(&mut args, "--feed-forward", &mut shape.feed_forward)?;
    set(&mut args, "--vocabulary", &mut shape.vocabulary)?;
    if let Some(seed) = args.value("--seed")? {
        shape.seed = seed;
    }
    if let Some(experts) = &mut shape.experts {
        set(&mut args, "--experts", &mut experts.count)?;
        set(&mut args, "--used", &mut experts.used)?;
        set(&mut args, "--expert-width", &mut experts.width)?;
        set(&mut args, "--leading-dense", &mut experts.leading_dense)?;
        set(&mut args, "--shared", &mut experts.shared)?;
        experts.fused = args.flag("--fused");
    }
    if let Some(latent) = &mut shape.latent {
        set(&mut args, "--q-lora-rank", &mut latent.q_lora_rank)?;
        set(&mut args, "--kv-lora-rank", &mut latent.kv_lora_rank)?;
        set(&mut args, "--nope", &mut latent.nope)?;
        set(&mut args, "--rope", &mut latent.rope)?;
    }
    args.finish()?;
    fs::write(&out, shape.file())?;
    Ok(())
}
