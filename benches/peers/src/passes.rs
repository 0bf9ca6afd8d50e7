//! Forward passes over a text, by whichever engine.

use crate::Result;
use crate::llama::{BATCH, Context, Want};

/// Computes `ids` from an empty sequence and hands the logits of every position to `take`.
pub fn every_position(
    context: &mut Context<'_>,
    ids: &[i32],
    mut take: impl FnMut(usize, &[f32]) -> Result<()>,
) -> Result<()> {
    context.clear();
    let mut position = 0;
    for chunk in ids.chunks(BATCH) {
        context.decode(chunk, Want::All)?;
        for i in 0..chunk.len() {
            take(position, context.logits(i)?)?;
            position += 1;
        }
    }
    Ok(())
}

/// Computes `ids` from an empty sequence and hands the logits of the last position to `take`.
pub fn last_position(context: &mut Context<'_>, ids: &[i32], take: impl FnOnce(&[f32]) -> Result<()>) -> Result<()> {
    context.clear();
    let mut last = 0;
    for chunk in ids.chunks(BATCH) {
        context.decode(chunk, Want::Last)?;
        last = chunk.len() - 1;
    }
    take(context.logits(last)?)
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
