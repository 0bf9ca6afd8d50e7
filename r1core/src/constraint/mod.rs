//! What a reply may be made of: scripts that its characters keep to, a grammar that its answer follows.
//!
//! Both work on tokens before they are drawn, so that a reply never has to be thrown away: a lock on scripts and a
//! grammar's parser say which tokens may come, and the sampler draws among those. They fail closed: where nothing may
//! come, the generation ends with an error.
//!
//! Grammars need the crate's feature `grammar`; without it, asking for one is [`ErrorKind::Unsupported`].

#[cfg(feature = "grammar")]
mod engine;
#[cfg(not(feature = "grammar"))]
#[path = "no_engine.rs"]
mod engine;
mod grammar;
mod script_lock;
mod scripts;

pub use grammar::Grammar;
pub use scripts::Scripts;

pub(crate) use engine::Parser;
pub(crate) use script_lock::{Begun, ScriptLock};

#[cfg(doc)]
use crate::ErrorKind;
use crate::Result;
use crate::tokenizer::Tokenizer;
use engine::Engine;
use std::sync::{Arc, Mutex, PoisonError};

/// Locks that a model remembers at most.
const LOCKS: usize = 16;

/// What a model's constraints share: made when first asked for, once for each.
#[derive(Debug, Default)]
pub(crate) struct Constraints {
    locks: Mutex<Vec<(Scripts, Arc<ScriptLock>)>>,
    engine: Engine,
}

impl Constraints {
    /// The lock for these scripts, for a model of `vocabulary` logits.
    pub(crate) fn lock(&self, tokenizer: &Tokenizer, vocabulary: usize, scripts: &Scripts) -> Arc<ScriptLock> {
        // What a panic left behind is whole: an entry is pushed when it is made.
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, lock)) = locks.iter().find(|(of, _)| of == scripts) {
            return lock.clone();
        }
        let lock = Arc::new(ScriptLock::new(tokenizer, vocabulary, scripts));
        if locks.len() == LOCKS {
            locks.remove(0);
        }
        locks.push((scripts.clone(), lock.clone()));
        lock
    }

    /// A parser at the beginning of a text.
    ///
    /// # Errors
    /// `Unsupported` without the feature `grammar`; `Argument` for a grammar that is none; `Limit` for one that is too
    /// long, and for vocabularies beyond what the grammar engine takes.
    pub(crate) fn parser(&self, tokenizer: &Tokenizer, grammar: &Grammar) -> Result<Parser> {
        self.engine.parser(tokenizer, grammar)
    }
}
