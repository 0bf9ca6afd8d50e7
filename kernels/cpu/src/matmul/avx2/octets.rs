//! Blocks of 256 values whose codes are looked up, spread out once for all columns of a tile.

use std::arch::x86_64::*;

use super::large::every_word;
use super::{Kernel, four, load, products, resume, spread, store, unroll};
use crate::activation::Q8x256;
use crate::format::{BIASED_ZERO, Octets};
use crate::matmul::layout::*;
use crate::matmul::tile::{Columns, Tile};

impl<B: Octets> Kernel for Stacked<B> {
    type Activation = Q8x256;

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn tile(w: &[Self], x: Columns<'_, Q8x256>, n: usize, out: &mut Tile<'_>) {
        let mut block = Spread::ZERO;
        for (w, x) in x.zip_n(n, w) {
            spread(w, &mut block);
            match n {
                1 => add::<1>(&block, x, out),
                2 => add::<2>(&block, x, out),
                3 => add::<3>(&block, x, out),
                _ => add::<4>(&block, x, out),
            }
        }
    }
}

/// Adds the products of a block and `N` columns. Two steps of signed codes up to 62 fit in 16 bits: 4·62·127.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn add<const N: usize>(w: &Spread, x: &[Q8x256], out: &mut Tile<'_>) {
    let Some(x) = x.first_chunk::<N>() else { return };
    let mut total = resume::<N>(out);
    let zero = _mm256_set1_epi8(BIASED_ZERO as i8);
    for (half, total) in total.iter_mut().enumerate() {
        let mut integer = [_mm256_setzero_si256(); N];
        for c in 0..4 {
            let scales = load(&w.scales[c], half);
            let codes: &[Plane; 16] = &w.codes.as_chunks().0[c];
            unroll!(G: usize in [0 1 2 3] {
                // The scale of every row as two i16: bytes that a shuffle does not name are zero.
                let scale = _mm256_shuffle_epi8(scales, every_word(G as i8, -128, G as i8, -128));
                let mut sum = [_mm256_setzero_si256(); N];
                unroll!(I: usize in [0 1 2 3] {
                    let codes = _mm256_sub_epi8(load(&codes[4 * G + I], half), zero);
                    for n in 0..N {
                        let step = products::<true>(codes, four(&x[n].qs, 64 * c + 16 * G + 4 * I));
                        sum[n] = if I.is_multiple_of(2) { step } else { _mm256_add_epi16(sum[n], step) };
                        if !I.is_multiple_of(2) {
                            integer[n] = _mm256_add_epi32(integer[n], _mm256_madd_epi16(sum[n], scale));
                        }
                    }
                });
            });
        }
        let d: &[f32; 8] = &w.d.as_chunks().0[half];
        // SAFETY: 8 floats; the load needs no alignment.
        let d = unsafe { _mm256_loadu_ps(d.as_ptr()) };
        for n in 0..N {
            let value = _mm256_mul_ps(d, _mm256_cvtepi32_ps(integer[n]));
            total[n] = _mm256_fmadd_ps(_mm256_set1_ps(x[n].d), value, total[n]);
        }
    }
    store(&total, out);
}
