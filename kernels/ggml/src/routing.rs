//! The operations that choose: among experts, among a row's values.

use std::ffi::c_int;

use crate::error::shape;
use crate::graph::GraphBuilder;
use crate::ops::{float, op};
use crate::{Result, Tensor, Type};

impl GraphBuilder {
    /// `1 / (1 + exp(-a))` of every value.
    ///
    /// # Errors
    /// As [`GraphBuilder::scale`].
    pub fn sigmoid(&mut self, a: &Tensor) -> Result<Tensor> {
        if !a.is_contiguous() {
            return shape("sigmoid: a tensor with gaps");
        }
        // SAFETY: a live operand.
        self.unary("sigmoid", a, |g, raw| unsafe { (g.home.library.0.table.ggml_sigmoid)(g.home.ctx, raw) })
    }

    /// Every value, but at least `min`.
    ///
    /// # Errors
    /// As [`GraphBuilder::scale`].
    pub fn at_least(&mut self, a: &Tensor, min: f32) -> Result<Tensor> {
        self.clamp(a, min, f32::INFINITY)
    }

    pub(crate) fn clamp(&mut self, a: &Tensor, min: f32, max: f32) -> Result<Tensor> {
        if !a.is_contiguous() {
            return shape("clamp: a tensor with gaps");
        }
        // SAFETY: a live operand.
        self.unary("clamp", a, |g, raw| unsafe { (g.home.library.0.table.ggml_clamp)(g.home.ctx, raw, min, max) })
    }

    /// A tensor of the shape of `a` whose values are all `value`.
    ///
    /// # Errors
    /// As [`GraphBuilder::scale`].
    pub fn filled(&mut self, a: &Tensor, value: f32) -> Result<Tensor> {
        if !a.is_contiguous() {
            return shape("fill: a tensor with gaps");
        }
        // SAFETY: a live operand.
        self.unary("fill", a, |g, raw| unsafe { (g.home.library.0.table.ggml_fill)(g.home.ctx, raw, value) })
    }

    /// `a / b`, value by value, with `b` repeated to the shape of `a`.
    ///
    /// # Errors
    /// As [`GraphBuilder::add`].
    pub fn div(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        // SAFETY: live operands that repeat.
        self.binary("div", a, b, |g, x, y| unsafe { (g.home.library.0.table.ggml_div)(g.home.ctx, x, y) })
    }

    /// The sum of every row: `[1, rows, ..]`.
    ///
    /// # Errors
    /// `Shape` for anything but F32 without gaps.
    pub fn sum_rows(&mut self, a: &Tensor) -> Result<Tensor> {
        if !float(a) || !a.is_contiguous() {
            return shape("sum_rows: F32 without gaps only");
        }
        let raw = self.operand(a)?;
        self.take_room()?;
        // SAFETY: a live operand.
        let made = unsafe { (self.home.library.0.table.ggml_sum_rows)(self.home.ctx, raw) };
        self.contiguous(made, Type::F32, [1, a.ne[1], a.ne[2], a.ne[3]])
    }

    /// The rows of `a`, each followed by the same row of `b`.
    ///
    /// # Errors
    /// `Shape` where there are not as many rows, or for anything but whole rows of F32.
    pub fn concat(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        if !float(a) || !float(b) || a.ne[1..] != b.ne[1..] || !a.has_whole_rows() || !b.has_whole_rows() {
            return op("concat", a, b);
        }
        let (x, y) = (self.operand(a)?, self.operand(b)?);
        self.take_room()?;
        // SAFETY: live operands of as many rows.
        let made = unsafe { (self.home.library.0.table.ggml_concat)(self.home.ctx, x, y, 0) };
        self.contiguous(made, Type::F32, [a.ne[0] + b.ne[0], a.ne[1], a.ne[2], a.ne[3]])
    }

    /// Indices of the `k` largest values of every row, the largest first, I32: `[k, rows, ..]`.
    ///
    /// # Errors
    /// `Shape` where rows are shorter, or for anything but F32 without gaps.
    pub fn best(&mut self, a: &Tensor, k: usize) -> Result<Tensor> {
        const DESCENDING: c_int = 1;
        let k = i64::try_from(k).unwrap_or(i64::MAX);
        if !float(a) || !a.is_contiguous() || k < 1 || k > a.ne[0] || a.ne[0] > i64::from(i32::MAX) {
            return shape(format!("best: {k} of rows of {}", a.ne[0]));
        }
        let raw = self.operand(a)?;
        self.take_room()?;
        // SAFETY: a live operand.
        let made = unsafe { (self.home.library.0.table.ggml_argsort)(self.home.ctx, raw, DESCENDING) };
        let order = self.contiguous(made, Type::I32, a.ne)?;
        let [_, x, y, z] = order.nb;
        let mut best = self.view(&order, [k, a.ne[1], a.ne[2], a.ne[3]], [x, y, z], 0)?;
        best.bound = Some(a.ne[0]);
        Ok(best)
    }

    /// Rows of `b` (`[inputs, 1 or used, rows]`) times those of the `matrices` (`[inputs, outputs, count]`) that `ids`
    /// (`[used, rows]`) names for each: `[outputs, used, rows]` in F32.
    ///
    /// # Errors
    /// `Shape` where they do not fit, or `ids` are not I32 indices below the number of matrices.
    pub fn mul_mat_id(&mut self, matrices: &Tensor, b: &Tensor, ids: &Tensor) -> Result<Tensor> {
        let named = ids.ty == Type::I32 && ids.bound.is_some_and(|bound| bound <= matrices.ne[2]);
        let lists = ids.ne[2] == 1 && ids.ne[3] == 1 && ids.ne[1] == b.ne[2] && ids.ne[0] % b.ne[1] == 0;
        let fits = matrices.ne[0] == b.ne[0] && matrices.ne[3] == 1 && b.ne[3] == 1;
        let rows = [matrices, b, ids].iter().all(|t| t.has_whole_rows());
        if !(named && lists && fits && rows) || matrices.is_transposed() || !float(b) {
            return op("mul_mat_id", matrices, b);
        }
        let (x, y, i) = (self.operand(matrices)?, self.operand(b)?, self.operand(ids)?);
        self.take_room()?;
        // SAFETY: live operands that fit; the indices are computed or checked to be below their bound.
        let made = unsafe { (self.home.library.0.table.ggml_mul_mat_id)(self.home.ctx, x, y, i) };
        self.contiguous(made, Type::F32, [matrices.ne[1], ids.ne[0], b.ne[2], 1])
    }
}
