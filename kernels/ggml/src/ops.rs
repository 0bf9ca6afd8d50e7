//! The operations, each with the checks that ggml would abort on.

use std::ffi::c_int;

use crate::error::shape;
use crate::graph::GraphBuilder;
use crate::table::RawTensor;
use crate::tensor::strides;
use crate::{Result, Tensor, Type};

/// The gate of a gated unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glu {
    /// `silu(gate) * up`.
    Swiglu,
    /// `gelu(gate) * up`, the tanh form.
    Geglu,
}

/// Which values of a head rotate together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeMode {
    /// Neighbours.
    Norm,
    /// One of each half.
    Neox,
}

/// The numbers of a rotation, as ggml names them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeParameters {
    /// Values of a head that rotate; even.
    pub n_dims: i32,
    /// Which rotate together.
    pub mode: RopeMode,
    /// YaRN: the context of the training before the extension.
    pub n_ctx_orig: i32,
    /// Base of the frequencies.
    pub freq_base: f32,
    /// Factor on positions.
    pub freq_scale: f32,
    /// How much of YaRN to mix in.
    pub ext_factor: f32,
    /// Factor on sines and cosines.
    pub attn_factor: f32,
    /// YaRN's upper bound.
    pub beta_fast: f32,
    /// YaRN's lower bound.
    pub beta_slow: f32,
}

/// ggml's number for single-precision sums.
const PRECISION_F32: c_int = 10;

pub(crate) fn op<T>(name: &str, a: &Tensor, b: &Tensor) -> Result<T> {
    shape(format!("{name}: {:?} and {:?} do not fit", a.ne, b.ne))
}

pub(crate) fn float(tensor: &Tensor) -> bool {
    tensor.ty == Type::F32
}

/// Whether `b` repeats to the shape of `a`.
fn repeats(a: &Tensor, b: &Tensor) -> bool {
    (0..4).all(|i| a.ne[i] % b.ne[i] == 0)
}

impl GraphBuilder {
    pub(crate) fn contiguous(&self, raw: *mut RawTensor, ty: Type, ne: [i64; 4]) -> Result<Tensor> {
        let nb = strides(&self.home.library, ty, ne)?;
        self.made(raw, ty, ne, nb)
    }

    /// Values from byte `offset` of `a` on, with `nb` bytes between neighbours of dimensions 1 to 3.
    ///
    /// # Errors
    /// `Shape` where a value would lie outside `a`.
    pub fn view(&mut self, a: &Tensor, ne: [i64; 4], nb: [usize; 3], offset: usize) -> Result<Tensor> {
        let own = strides(&self.home.library, a.ty, [ne[0], 1, 1, 1])?;
        if ne.iter().any(|n| *n < 1) {
            return shape(format!("view: {ne:?}"));
        }
        let last = (1..4).try_fold(offset.checked_add(own[1]), |end, i| {
            let steps = usize::try_from(ne[i] - 1).ok()?;
            Some(end.and_then(|end| end.checked_add(steps.checked_mul(nb[i - 1])?)))
        });
        if last.flatten().is_none_or(|end| end > a.bytes()) || a.ty != Type::F32 && !offset.is_multiple_of(own[0]) {
            return shape(format!("view: {ne:?} from byte {offset} does not lie in {:?}", a.ne));
        }
        let raw = self.operand(a)?;
        self.take_room()?;
        // SAFETY: live operands; the view lies inside `a`.
        let view = unsafe {
            (self.home.library.0.table.ggml_view_4d)(
                self.home.ctx,
                raw,
                ne[0],
                ne[1],
                ne[2],
                ne[3],
                nb[0],
                nb[1],
                nb[2],
                offset,
            )
        };
        self.made(view, a.ty, ne, [own[0], nb[0], nb[1], nb[2]])
    }

    /// The same values in other dimensions.
    ///
    /// # Errors
    /// `Shape` where there are not as many values, or `a` has gaps.
    pub fn reshape(&mut self, a: &Tensor, ne: [i64; 4]) -> Result<Tensor> {
        let nb = strides(&self.home.library, a.ty, ne)?;
        if !a.is_contiguous() || ne.iter().product::<i64>() != a.elements() {
            return shape(format!("reshape: {:?} to {ne:?}", a.ne));
        }
        let raw = self.operand(a)?;
        self.take_room()?;
        // SAFETY: live operands of as many values.
        let made =
            unsafe { (self.home.library.0.table.ggml_reshape_4d)(self.home.ctx, raw, ne[0], ne[1], ne[2], ne[3]) };
        self.made(made, a.ty, ne, nb)
    }

    /// The same values with dimension `i` of `a` as dimension `axes[i]`.
    ///
    /// # Errors
    /// `Shape` where `axes` is no permutation.
    pub fn permute(&mut self, a: &Tensor, axes: [usize; 4]) -> Result<Tensor> {
        let (mut ne, mut nb, mut seen) = ([0; 4], [0; 4], [false; 4]);
        for (from, to) in axes.into_iter().enumerate() {
            if to > 3 || std::mem::replace(&mut seen[to], true) {
                return shape(format!("permute: {axes:?}"));
            }
            ne[to] = a.ne[from];
            nb[to] = a.nb[from];
        }
        let raw = self.operand(a)?;
        self.take_room()?;
        let [x, y, z, w] = axes.map(|axis| axis as c_int);
        // SAFETY: live operands; a permutation.
        let made = unsafe { (self.home.library.0.table.ggml_permute)(self.home.ctx, raw, x, y, z, w) };
        self.made(made, a.ty, ne, nb)
    }

    /// A copy without gaps.
    ///
    /// # Errors
    /// `Shape` for block formats.
    pub fn cont(&mut self, a: &Tensor) -> Result<Tensor> {
        if !matches!(a.ty, Type::F32 | Type::F16) {
            return shape("cont: of floats only");
        }
        let raw = self.operand(a)?;
        self.take_room()?;
        // SAFETY: live operands.
        let made = unsafe { (self.home.library.0.table.ggml_cont)(self.home.ctx, raw) };
        self.contiguous(made, a.ty, a.ne)
    }

    /// Copies `a` into `b`, and returns `b`.
    ///
    /// # Errors
    /// `Shape` where they differ in shape or type, or have gaps within a row.
    pub fn copy(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        if a.ne != b.ne || a.ty != b.ty || !a.has_whole_rows() || !b.has_whole_rows() {
            return op("copy", a, b);
        }
        if b.home.owner.is_none() {
            return shape("copy: the target is shared");
        }
        let (from, to) = (self.operand(a)?, self.operand(b)?);
        self.take_room()?;
        // SAFETY: live operands of one shape; the target belongs to this backend.
        let made = unsafe { (self.home.library.0.table.ggml_cpy)(self.home.ctx, from, to) };
        self.made(made, b.ty, b.ne, b.nb)
    }

    /// Rows of `a` that `rows` names, as F32: `[columns, count, matrices, ..]` for `rows` of `[count, matrices, ..]`.
    ///
    /// # Errors
    /// `Shape` where `rows` are not I32 indices below the rows of `a`, or not of as many matrices.
    pub fn get_rows(&mut self, a: &Tensor, rows: &Tensor) -> Result<Tensor> {
        let fits = rows.ty == Type::I32 && rows.bound.is_some_and(|bound| bound <= a.ne[1]);
        let batches = a.ne[2] == rows.ne[1] && a.ne[3] == rows.ne[2] && rows.ne[3] == 1;
        if !fits || !batches || !a.has_whole_rows() || !rows.has_whole_rows() {
            return op("get_rows", a, rows);
        }
        let (from, indices) = (self.operand(a)?, self.operand(rows)?);
        self.take_room()?;
        // SAFETY: live operands; indices are checked against their bound before every run.
        let made = unsafe { (self.home.library.0.table.ggml_get_rows)(self.home.ctx, from, indices) };
        self.contiguous(made, Type::F32, [a.ne[0], rows.ne[0], rows.ne[1], rows.ne[2]])
    }

    /// Writes the rows of `b` (F32) to the rows of `a` that `rows` (`[count, matrices]`) names, and returns `a`.
    ///
    /// # Errors
    /// `Shape` where rows differ in length, or `rows` are not I32 or I64 indices below the rows of `a`.
    pub fn set_rows(&mut self, a: &Tensor, b: &Tensor, rows: &Tensor) -> Result<Tensor> {
        let fits = matches!(rows.ty, Type::I32 | Type::I64) && rows.bound.is_some_and(|bound| bound <= a.ne[1]);
        let same = a.ne[0] == b.ne[0] && b.ne[1] == rows.ne[0] && a.ne[2] == b.ne[2] && b.ne[2] == rows.ne[1];
        let flat = a.ne[3] == 1 && b.ne[3] == 1 && rows.ne[2] == 1 && rows.ne[3] == 1;
        let types = matches!(a.ty, Type::F32 | Type::F16 | Type::Q8_0) && float(b);
        if !(fits && same && flat && types && a.has_whole_rows() && b.has_whole_rows() && rows.has_whole_rows()) {
            return op("set_rows", a, b);
        }
        if a.home.owner.is_none() {
            return shape("set_rows: the target is shared");
        }
        let (to, from, indices) = (self.operand(a)?, self.operand(b)?, self.operand(rows)?);
        self.take_room()?;
        // SAFETY: live operands; indices are checked against their bound before every run.
        let made = unsafe { (self.home.library.0.table.ggml_set_rows)(self.home.ctx, to, from, indices) };
        self.made(made, a.ty, a.ne, a.nb)
    }

    pub(crate) fn unary(
        &mut self,
        name: &str,
        a: &Tensor,
        run: impl FnOnce(&Self, *mut RawTensor) -> *mut RawTensor,
    ) -> Result<Tensor> {
        if !float(a) || !a.has_whole_rows() {
            return shape(format!("{name}: whole rows of F32 only"));
        }
        let raw = self.operand(a)?;
        self.take_room()?;
        let made = run(self, raw);
        self.contiguous(made, Type::F32, a.ne)
    }

    /// Every row divided by its root mean square, with `eps` added to the mean square.
    ///
    /// # Errors
    /// `Shape` for anything but whole rows of F32.
    pub fn rms_norm(&mut self, a: &Tensor, eps: f32) -> Result<Tensor> {
        if !(eps.is_finite() && eps >= 0.0) {
            return shape("rms_norm: eps must not be negative");
        }
        // SAFETY: a live operand.
        self.unary("rms_norm", a, |g, raw| unsafe { (g.home.library.0.table.ggml_rms_norm)(g.home.ctx, raw, eps) })
    }

    /// Every value times `factor`.
    ///
    /// # Errors
    /// As [`GraphBuilder::rms_norm`]; `Shape` where `a` has gaps.
    pub fn scale(&mut self, a: &Tensor, factor: f32) -> Result<Tensor> {
        if !a.is_contiguous() {
            return shape("scale: a tensor with gaps");
        }
        // SAFETY: a live operand.
        self.unary("scale", a, |g, raw| unsafe { (g.home.library.0.table.ggml_scale)(g.home.ctx, raw, factor) })
    }

    /// The hyperbolic tangent of every value.
    ///
    /// # Errors
    /// As [`GraphBuilder::scale`].
    pub fn tanh(&mut self, a: &Tensor) -> Result<Tensor> {
        if !a.is_contiguous() {
            return shape("tanh: a tensor with gaps");
        }
        // SAFETY: a live operand.
        self.unary("tanh", a, |g, raw| unsafe { (g.home.library.0.table.ggml_tanh)(g.home.ctx, raw) })
    }

    pub(crate) fn binary(
        &mut self,
        name: &str,
        a: &Tensor,
        b: &Tensor,
        run: impl FnOnce(&Self, *mut RawTensor, *mut RawTensor) -> *mut RawTensor,
    ) -> Result<Tensor> {
        if !float(a) || !float(b) || !repeats(a, b) || !a.has_whole_rows() || !b.has_whole_rows() {
            return op(name, a, b);
        }
        let (x, y) = (self.operand(a)?, self.operand(b)?);
        self.take_room()?;
        let made = run(self, x, y);
        self.contiguous(made, Type::F32, a.ne)
    }

    /// `a + b`, with `b` repeated to the shape of `a`.
    ///
    /// # Errors
    /// `Shape` where `b` does not repeat to it, or for anything but whole rows of F32.
    pub fn add(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        // SAFETY: live operands that repeat.
        self.binary("add", a, b, |g, x, y| unsafe { (g.home.library.0.table.ggml_add)(g.home.ctx, x, y) })
    }

    /// `a * b`, value by value, with `b` repeated to the shape of `a`.
    ///
    /// # Errors
    /// As [`GraphBuilder::add`].
    pub fn mul(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        // SAFETY: live operands that repeat.
        self.binary("mul", a, b, |g, x, y| unsafe { (g.home.library.0.table.ggml_mul)(g.home.ctx, x, y) })
    }

    /// Rows of `b` times the matrix `a` (`[inputs, outputs]`): `[outputs, rows of b]` in F32.
    ///
    /// # Errors
    /// `Shape` where the rows differ in length, `a` is transposed, or `b` is not F32.
    pub fn mul_mat(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let fits = a.ne[0] == b.ne[0] && b.ne[2] % a.ne[2] == 0 && b.ne[3] % a.ne[3] == 0;
        if !fits || a.is_transposed() || !a.has_whole_rows() || !float(b) || !b.has_whole_rows() {
            return op("mul_mat", a, b);
        }
        let (x, y) = (self.operand(a)?, self.operand(b)?);
        self.take_room()?;
        // SAFETY: live operands that fit.
        let made = unsafe { (self.home.library.0.table.ggml_mul_mat)(self.home.ctx, x, y) };
        self.contiguous(made, Type::F32, [a.ne[1], b.ne[1], b.ne[2], b.ne[3]])
    }

    /// As [`GraphBuilder::mul_mat`], with sums in single precision.
    ///
    /// # Errors
    /// As [`GraphBuilder::mul_mat`].
    pub fn mul_mat_precise(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let made = self.mul_mat(a, b)?;
        // SAFETY: a record of this graph.
        unsafe { (self.home.library.0.table.ggml_prec_set_acc)(made.raw, PRECISION_F32) };
        Ok(made)
    }

    /// Rotates the heads of `a` (`[head, heads, rows]`) by the rows' `positions` (I32).
    ///
    /// # Errors
    /// `Shape` where there is not one position a row, not enough `factors`, or a head is shorter than what rotates.
    pub fn rope(
        &mut self,
        a: &Tensor,
        positions: &Tensor,
        factors: Option<&Tensor>,
        p: &RopeParameters,
    ) -> Result<Tensor> {
        let vector = positions.ty == Type::I32 && positions.ne == [a.ne[2], 1, 1, 1];
        let dims = p.n_dims >= 2 && p.n_dims % 2 == 0 && i64::from(p.n_dims) <= a.ne[0];
        let enough = factors.is_none_or(|f| float(f) && f.ne[0] >= i64::from(p.n_dims / 2) && f.is_contiguous());
        if !vector || !dims || !enough || !float(a) || !a.has_whole_rows() || a.ne[3] != 1 {
            return op("rope", a, positions);
        }
        let (x, at) = (self.operand(a)?, self.operand(positions)?);
        let factors = match factors {
            Some(factors) => self.operand(factors)?,
            None => std::ptr::null_mut(),
        };
        self.take_room()?;
        let mode = match p.mode {
            RopeMode::Norm => 0,
            RopeMode::Neox => 2,
        };
        // SAFETY: live operands that fit.
        let made = unsafe {
            (self.home.library.0.table.ggml_rope_ext)(
                self.home.ctx,
                x,
                at,
                factors,
                p.n_dims,
                mode,
                p.n_ctx_orig,
                p.freq_base,
                p.freq_scale,
                p.ext_factor,
                p.attn_factor,
                p.beta_fast,
                p.beta_slow,
            )
        };
        self.contiguous(made, Type::F32, a.ne)
    }

    /// `activation(gate) * up`.
    ///
    /// # Errors
    /// `Shape` where they differ in shape or have gaps, or for anything but F32.
    pub fn glu(&mut self, gate: &Tensor, up: &Tensor, kind: Glu) -> Result<Tensor> {
        if !float(gate) || !float(up) || gate.ne != up.ne || !gate.is_contiguous() || !up.is_contiguous() {
            return op("glu", gate, up);
        }
        let (x, y) = (self.operand(gate)?, self.operand(up)?);
        self.take_room()?;
        let kind = match kind {
            Glu::Geglu => 1,
            Glu::Swiglu => 2,
        };
        // SAFETY: live operands of one shape.
        let made = unsafe { (self.home.library.0.table.ggml_glu_split)(self.home.ctx, x, y, kind) };
        self.contiguous(made, Type::F32, gate.ne)
    }

    /// `softmax(a * scale + mask)` of every row.
    ///
    /// # Errors
    /// `Shape` where the mask (F16 or F32, without gaps) does not repeat to `a`.
    pub fn soft_max(&mut self, a: &Tensor, mask: Option<&Tensor>, scale: f32) -> Result<Tensor> {
        if !float(a) || !a.is_contiguous() {
            return shape("soft_max: F32 without gaps only");
        }
        if let Some(m) = mask {
            let fits = m.ne[0] == a.ne[0] && m.ne[1] >= a.ne[1] && a.ne[2] % m.ne[2] == 0 && a.ne[3] % m.ne[3] == 0;
            if !fits || !matches!(m.ty, Type::F16 | Type::F32) || !m.is_contiguous() {
                return op("soft_max", a, m);
            }
        }
        let raw = self.operand(a)?;
        let mask = match mask {
            Some(mask) => self.operand(mask)?,
            None => std::ptr::null_mut(),
        };
        self.take_room()?;
        // SAFETY: live operands that fit.
        let made = unsafe { (self.home.library.0.table.ggml_soft_max_ext)(self.home.ctx, raw, mask, scale, 0.0) };
        self.contiguous(made, Type::F32, a.ne)
    }

    /// Attention without its intermediate matrix, with sums in single precision: queries `[dim, rows, heads, streams]`,
    /// keys `[dim, cells, kv heads, streams]`, values `[value dim, cells, kv heads, streams]`, mask
    /// `[cells, rows, 1, streams]` in F16; gives `[value dim, heads, rows, streams]`.
    ///
    /// # Errors
    /// `Shape` where they do not fit.
    pub fn flash_attention(&mut self, q: &Tensor, k: &Tensor, v: &Tensor, mask: &Tensor, scale: f32) -> Result<Tensor> {
        let heads = q.ne[2] % k.ne[2] == 0 && k.ne[2] == v.ne[2];
        let streams = q.ne[3] == k.ne[3] && q.ne[3] == v.ne[3] && q.ne[3] % mask.ne[3] == 0;
        let cells = k.ne[1] == v.ne[1] && k.ne[1] == mask.ne[0] && mask.ne[1] == q.ne[1] && mask.ne[2] == 1;
        let types =
            float(q) && mask.ty == Type::F16 && k.ty == v.ty && matches!(k.ty, Type::F16 | Type::F32 | Type::Q8_0);
        let rows = [q, k, v].iter().all(|t| t.has_whole_rows()) && mask.is_contiguous();
        if q.ne[0] != k.ne[0] || !heads || !streams || !cells || !types || !rows || k.is_transposed() {
            return op("flash_attention", q, k);
        }
        let (rq, rk, rv, rm) = (self.operand(q)?, self.operand(k)?, self.operand(v)?, self.operand(mask)?);
        self.take_room()?;
        // SAFETY: live operands that fit; then a record of this graph.
        let made = unsafe {
            let table = &self.home.library.0.table;
            let made = (table.ggml_flash_attn_ext)(self.home.ctx, rq, rk, rv, rm, scale, 0.0, 0.0);
            if !made.is_null() {
                (table.ggml_prec_set_acc)(made, PRECISION_F32);
            }
            made
        };
        self.contiguous(made, Type::F32, [v.ne[0], q.ne[2], q.ne[1], q.ne[3]])
    }

    /// The index of the largest value of every row, I32.
    ///
    /// # Errors
    /// `Shape` for anything but a matrix of F32 without gaps.
    pub fn argmax(&mut self, a: &Tensor) -> Result<Tensor> {
        if !float(a) || !a.is_contiguous() || a.ne[2] != 1 || a.ne[3] != 1 || a.ne[0] > i64::from(i32::MAX) {
            return shape("argmax: a matrix of F32 only");
        }
        let raw = self.operand(a)?;
        self.take_room()?;
        // SAFETY: a live operand.
        let made = unsafe { (self.home.library.0.table.ggml_argmax)(self.home.ctx, raw) };
        self.contiguous(made, Type::I32, [a.ne[1], 1, 1, 1])
    }

    /// Indices of the `k` largest values of every row, in no order, I32: `[k, rows]`.
    ///
    /// # Errors
    /// `Shape` where rows are shorter, or as [`GraphBuilder::argmax`].
    pub fn top_k(&mut self, a: &Tensor, k: i32) -> Result<Tensor> {
        if !float(a) || !a.is_contiguous() || k < 1 || i64::from(k) > a.ne[0] || a.ne[0] > i64::from(i32::MAX) {
            return shape(format!("top_k: {k} of rows of {}", a.ne[0]));
        }
        let raw = self.operand(a)?;
        self.take_room()?;
        // SAFETY: a live operand with enough values.
        let made = unsafe { (self.home.library.0.table.ggml_top_k)(self.home.ctx, raw, k) };
        self.contiguous(made, Type::I32, [i64::from(k), a.ne[1], a.ne[2], a.ne[3]])
    }
}
