//! What every engine can do, and the door through which a program chooses one.

use std::path::Path;

use crate::Result;
use crate::llama::{Context, Loading, Model};
use crate::ours::R1Core;

/// Positions in one call of [`Engine::decode`] at most: llama.cpp's default for the physical batch, and the chunk of an
/// r1core session.
pub const BATCH: usize = 512;

/// Which positions of a batch give logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// The last position alone.
    Last,
    /// Every position.
    All,
}

/// How to run a model.
#[derive(Debug, Clone, Copy)]
pub struct Running {
    /// Positions that the cache holds, those of all branches together.
    pub context: usize,
    /// Most branches.
    pub branches: usize,
    /// Threads.
    pub threads: usize,
    /// Keep keys and values as f32 and leave llama.cpp's flash attention out: no operand but the activations of
    /// quantised weights is rounded.
    pub exact: bool,
}

/// Something that computes a sequence.
pub trait Engine {
    /// Logits in a row.
    fn vocabulary(&self) -> usize;

    /// Forgets every position.
    fn clear(&mut self) -> Result<()>;

    /// Appends `ids` ([`BATCH`] at most) and computes them; the wanted rows of logits, one after the other.
    fn decode(&mut self, ids: &[i32], want: Want) -> Result<&[f32]>;

    /// Goes back to the first `len` positions; branches are gone.
    fn truncate(&mut self, len: usize) -> Result<()>;

    /// Has `count` sequences continue what there is, which they share.
    fn branch(&mut self, count: usize) -> Result<()>;

    /// Appends a token to every branch, as one batch, and computes the logits of all.
    fn decode_branches(&mut self, ids: &[i32]) -> Result<()>;

    /// Does what an engine puts off until it has been in use for a while.
    fn settle(&mut self) -> Result<()> {
        Ok(())
    }

    /// Leaves the processor to others until the next call: threads sleep instead of spinning.
    fn rest(&mut self);
}

/// The engine called `name`: `r1core`, `llama` or `llama-no-repack`.
pub fn open(name: &str, path: &Path, running: Running) -> Result<Box<dyn Engine>> {
    let llama = |repack| -> Result<Box<dyn Engine>> {
        // The model lives as long as the process, so the context may borrow it for ever.
        let model: &'static Model = Box::leak(Box::new(Model::load(path, Loading { repack, ..Loading::default() })?));
        Ok(Box::new(Context::new(model, running)?))
    };
    match name {
        "r1core" => Ok(Box::new(R1Core::open(path, running)?)),
        "llama" => llama(true),
        "llama-no-repack" => llama(false),
        _ => Err(format!("no engine is called '{name}'").into()),
    }
}
