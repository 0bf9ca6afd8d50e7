//! RMS normalisation (Zhang and Sennrich, 2019).

use super::lanes::{Lanes, Op, dispatch, zip_lanes};
use super::reduce::{dot, dot_of};
use crate::isa::Isa;

/// out = x / sqrt(mean(x^2) + eps) * w, rounded after each product.
///
/// # Panics
///
/// When the lengths differ.
pub fn rms_norm(isa: Isa, x: &[f32], w: &[f32], eps: f32, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "input and output differ in length");
    out.copy_from_slice(x);
    rms_norm_heads(isa, out, w, eps, x.len());
}

/// [`rms_norm`] in place on each `head_dim` consecutive elements, with the same weights: the query and key norms of
/// Qwen 3 and Gemma 3.
///
/// # Panics
///
/// When `x` is not whole heads or `w` is not one head long.
pub fn rms_norm_heads(isa: Isa, x: &mut [f32], w: &[f32], eps: f32, head_dim: usize) {
    struct RmsNorm<'a>(&'a mut [f32], &'a [f32], f32);
    impl Op for RmsNorm<'_> {
        type Output = ();

        #[inline(always)]
        fn call<L: Lanes>(self, lanes: L) {
            let RmsNorm(x, w, eps) = self;
            for head in x.chunks_exact_mut(w.len()) {
                let mean = dot_of(lanes, head, head) / head.len() as f32;
                let scale = lanes.splat(1.0 / (mean + eps).sqrt());
                zip_lanes!(lanes, head, w, |x, w| lanes.mul(lanes.mul(x, scale), w));
            }
        }
    }
    assert_eq!(w.len(), head_dim, "the weights are not one head long");
    if x.is_empty() {
        return;
    }
    assert!(x.len().is_multiple_of(head_dim), "the row is not whole heads");
    dispatch(isa, RmsNorm(x, w, eps));
}

/// What [`rms_norm`] multiplies a row with, before the weights.
pub(crate) fn rms_scale(isa: Isa, x: &[f32], eps: f32) -> f32 {
    1.0 / (dot(isa, x, x) / x.len() as f32 + eps).sqrt()
}

/// The rest of [`rms_norm`], of a part of a row: out = x * scale * w, rounded after each product.
pub(crate) fn scale_by(isa: Isa, x: &[f32], scale: f32, w: &[f32], out: &mut [f32]) {
    struct ScaleBy<'a>(&'a [f32], f32, &'a [f32], &'a mut [f32]);
    impl Op for ScaleBy<'_> {
        type Output = ();

        #[inline(always)]
        fn call<L: Lanes>(self, lanes: L) {
            let ScaleBy(x, scale, w, out) = self;
            let scale = lanes.splat(scale);
            let ((xs, x), (ws, w), (outs, out)) = (x.as_chunks(), w.as_chunks(), out.as_chunks_mut());
            for ((x, w), out) in xs.iter().zip(ws).zip(outs) {
                lanes.store(lanes.mul(lanes.mul(lanes.load(x), scale), lanes.load(w)), out);
            }
            if !out.is_empty() {
                let (x, w) = (lanes.load_part(x, 0.0), lanes.load_part(w, 0.0));
                lanes.store_part(lanes.mul(lanes.mul(x, scale), w), out);
            }
        }
    }
    assert!(x.len() == out.len() && w.len() == out.len(), "input, weights and output differ in length");
    dispatch(isa, ScaleBy(x, scale, w, out));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_norm_has_unit_mean_square_and_its_weights() {
        let x: Vec<f32> = (0..100).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
        let w: Vec<f32> = (0..100).map(|i| 0.5 + i as f32 * 0.01).collect();
        let mut out = vec![0.0; 100];
        rms_norm(Isa::detect(), &x, &w, 1e-6, &mut out);
        let mean = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 100.0;
        for i in 0..100 {
            let exact = f64::from(x[i]) / (mean + 1e-6).sqrt() * f64::from(w[i]);
            assert!((f64::from(out[i]) - exact).abs() < 1e-6 * exact.abs() + 1e-9);
        }
    }

    #[test]
    fn heads_are_normalised_one_by_one() {
        let w = [1.0, 2.0, 3.0];
        let mut row: Vec<f32> = (1..=9).map(|i| i as f32).collect();
        let mut expected = vec![0.0; 9];
        for head in 0..3 {
            rms_norm(Isa::SCALAR, &row[head * 3..][..3], &w, 1e-5, &mut expected[head * 3..][..3]);
        }
        rms_norm_heads(Isa::SCALAR, &mut row, &w, 1e-5, 3);
        assert_eq!(row, expected);
    }

    #[test]
    fn a_zero_row_stays_zero() {
        let mut out = [1.0; 5];
        rms_norm(Isa::detect(), &[0.0; 5], &[1.0; 5], 1e-6, &mut out);
        assert_eq!(out, [0.0; 5]);
    }
}
