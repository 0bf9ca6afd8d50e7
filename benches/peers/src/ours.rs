//! r1core as an engine beside the others.

use std::path::Path;

use r1core::{CacheType, CancelToken, EncodeOptions, Gguf, KvCache, LoadMode, Model, Runner, Step, Tokenizer, Wanted};

use crate::Result;
use crate::engine::{Engine, Running, Want};

/// A model with one sequence.
#[derive(Debug)]
pub struct R1Core {
    runner: Runner,
    cache: KvCache,
    branches: Vec<KvCache>,
    tokens: Vec<u32>,
}

impl R1Core {
    /// Opens a GGUF file as any host would.
    pub fn open(path: &Path, running: Running) -> Result<Self> {
        let model = Model::open(path)?;
        let kind = if running.exact { CacheType::F32 } else { CacheType::default() };
        let cache = KvCache::new(model.config(), kind, running.context);
        let runner = Runner::new(&model, Some(running.threads), CancelToken::default());
        Ok(Self { runner, cache, branches: Vec::new(), tokens: Vec::new() })
    }
}

impl Engine for R1Core {
    fn vocabulary(&self) -> usize {
        self.runner.model().config().vocabulary
    }

    fn clear(&mut self) -> Result<()> {
        self.truncate(0)
    }

    fn truncate(&mut self, len: usize) -> Result<()> {
        self.branches.clear();
        self.cache.truncate(len);
        Ok(())
    }

    fn branch(&mut self, count: usize) -> Result<()> {
        self.branches = (0..count).map(|_| self.cache.fork()).collect();
        Ok(())
    }

    fn decode_branches(&mut self, ids: &[i32]) -> Result<()> {
        let tokens = ids.iter().map(|&id| Ok([u32::try_from(id)?])).collect::<Result<Vec<_>>>()?;
        let steps = self.branches.iter_mut().zip(&tokens);
        let mut steps: Vec<_> = steps.map(|(cache, tokens)| Step { cache, tokens, wanted: Wanted::Last }).collect();
        self.runner.run(&mut steps)?;
        Ok(())
    }

    fn decode(&mut self, ids: &[i32], want: Want) -> Result<&[f32]> {
        self.tokens.clear();
        for &id in ids {
            self.tokens.push(u32::try_from(id)?);
        }
        let wanted = if want == Want::All { Wanted::All } else { Wanted::Last };
        Ok(self.runner.run(&mut [Step { cache: &mut self.cache, tokens: &self.tokens, wanted }])?)
    }

    fn settle(&mut self) -> Result<()> {
        Ok(self.runner.model().finish_repacking(&CancelToken::default(), None)?)
    }

    /// Nothing to do: an idle team sleeps by itself within a fraction of a millisecond.
    fn rest(&mut self) {}
}

/// Ids of `text`; `bos` adds what the model adds, `special` parses control tokens.
pub fn tokenize(path: &Path, text: &[u8], bos: bool, special: bool) -> Result<Vec<i32>> {
    let tokenizer = Tokenizer::from_metadata(Gguf::open(path, LoadMode::default())?.metadata())?;
    let ids = tokenizer.encode_bytes(text, EncodeOptions { add_bos: bos, parse_special: special });
    Ok(ids.into_iter().map(i32::try_from).collect::<Result<_, _>>()?)
}
