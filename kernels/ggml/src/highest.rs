//! The best of every row, chosen on the device, with the proof that nothing else is as good.

use crate::error::shape;
use crate::graph::GraphBuilder;
use crate::ops::float;
use crate::{Result, Tensor};

/// The best of every row of a matrix.
#[derive(Debug)]
pub struct Highest {
    /// Its index, I32: `[rows]`.
    pub ids: Tensor,
    /// Its value, F32: `[rows]`.
    pub values: Tensor,
    /// How many values of the row are lower, F32: `[rows]`. One less than the row is long where the index is the only
    /// best one; fewer where others are as good, or something in the row is not a number: then the row has to be looked at,
    /// since devices do not agree on which of several they choose.
    pub below: Tensor,
}

/// Far from what a logit may be, and from where a sum overflows.
const FAR: f32 = 1e30;

impl GraphBuilder {
    /// The best of every row.
    ///
    /// # Errors
    /// `Shape` for anything but a matrix of F32 without gaps, and rows of 2^24 values and more, which F32 cannot count.
    pub fn highest(&mut self, a: &Tensor) -> Result<Highest> {
        let [len, rows, ..] = a.dims();
        if !float(a) || !a.is_contiguous() || a.elements() != len * rows || len >= 1 << 24 {
            return shape("highest: a matrix of F32 only");
        }
        // Where nothing is above the lowest number, argmax gives the index -1, and reading that row is out of bounds.
        let copy = self.scale(a, 1.0)?; // Older versions clamp in place.
        let finite = self.clamp(&copy, -FAR, FAR)?;
        let ids = self.argmax(&finite)?;
        let ids = Tensor { bound: Some(len), ..self.reshape(&ids, [1, rows, 1, 1])? };
        let columns = self.reshape(a, [1, len, rows, 1])?;
        let values = self.get_rows(&columns, &ids)?;
        let values = self.reshape(&values, [1, rows, 1, 1])?;
        // A difference that is not a number is not above zero, and one that is rounded to zero neither.
        let negative = self.scale(&values, -1.0)?;
        let above = self.add(a, &negative)?;
        let below = self.scale(&above, -1.0)?;
        let below = self.step(&below)?;
        let below = self.sum_rows(&below)?;
        Ok(Highest { ids, values, below })
    }

    /// 1 for every value above 0, 0 for the others.
    ///
    /// # Errors
    /// `Shape` for anything but F32 without gaps.
    pub fn step(&mut self, a: &Tensor) -> Result<Tensor> {
        if !a.is_contiguous() {
            return shape("step: a tensor with gaps");
        }
        // SAFETY: a live operand.
        self.unary("step", a, |g, raw| unsafe { (g.home.library.0.table.ggml_step)(g.home.ctx, raw) })
    }
}
