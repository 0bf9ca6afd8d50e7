//! Step 1: the host's wishes for single tokens.

use crate::{Error, ErrorKind, Result};

/// Adds each bias to its logit; several for one token add up.
pub(super) fn apply(logits: &mut [f32], bias: &[(u32, f32)]) -> Result<()> {
    let vocabulary = logits.len();
    for &(id, value) in bias {
        let Some(logit) = logits.get_mut(id as usize) else {
            let what = format!("logit_bias names token {id}, but the vocabulary has {vocabulary} tokens");
            return Err(Error::new(ErrorKind::Argument, what));
        };
        *logit += value;
    }
    Ok(())
}
