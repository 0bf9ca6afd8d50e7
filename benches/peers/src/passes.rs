//! Forward passes over a text, by whichever engine.

use crate::Result;
use crate::engine::{Engine, Want};

/// Computes `ids` from an empty sequence, `batch` in a call at most, and hands the logits of every position to `take`.
pub fn every_position(
    engine: &mut dyn Engine,
    ids: &[i32],
    batch: usize,
    mut take: impl FnMut(usize, &[f32]) -> Result<()>,
) -> Result<()> {
    engine.clear()?;
    let vocabulary = engine.vocabulary();
    for (start, chunk) in (0..).step_by(batch).zip(ids.chunks(batch)) {
        let rows = engine.decode(chunk, Want::All)?.chunks_exact(vocabulary);
        (start..).zip(rows).try_for_each(|(position, row)| take(position, row))?;
    }
    Ok(())
}

/// Computes `ids` from an empty sequence, `batch` in a call at most, and hands the logits of the last position to `take`.
pub fn last_position(
    engine: &mut dyn Engine,
    ids: &[i32],
    batch: usize,
    take: impl FnOnce(&[f32]) -> Result<()>,
) -> Result<()> {
    engine.clear()?;
    let last = ids.len().saturating_sub(1) / batch * batch;
    for chunk in ids[..last].chunks(batch) {
        engine.decode(chunk, Want::Last)?;
    }
    take(engine.decode(&ids[last..], Want::Last)?)
}

/// The windows that a text is scored in: `room` positions each, every one begun with `leading` if the model has it.
/// Every token but the first of a window is predicted from those before it.
pub fn windows(ids: &[i32], leading: Option<i32>, room: usize) -> Vec<Vec<i32>> {
    let body = room.saturating_sub(usize::from(leading.is_some())).max(1);
    ids.chunks(body).map(|chunk| leading.into_iter().chain(chunk.iter().copied()).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::windows;

    #[test]
    fn windows_cover_the_text_once_and_fit() {
        assert_eq!(windows(&[1, 2, 3, 4, 5], Some(0), 3), [vec![0, 1, 2], vec![0, 3, 4], vec![0, 5]]);
        assert_eq!(windows(&[1, 2, 3], None, 2), [vec![1, 2], vec![3]]);
    }
}
