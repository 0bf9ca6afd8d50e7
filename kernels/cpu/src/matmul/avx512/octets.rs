//! Blocks of 256 values whose codes are looked up, spread out once for all columns of a tile. That is done by AVX2: nothing in
//! it is wide, and what the compiler makes of it with 512 bits is slower.

use std::arch::x86_64::*;

use super::large::{signed_byte, starts};
use super::{Kernel, four, load, prefetch, resume, store, unroll};
use crate::activation::Q8x256;
use crate::format::{BIASED_ZERO, Octets};
use crate::matmul::avx2::spread;
use crate::matmul::layout::*;
use crate::matmul::tile::{Columns, Tile};

const BIAS: u32 = BIASED_ZERO.ilog2();

impl<B: Octets> Kernel for Stacked<B> {
    type Activation = Q8x256;

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn tile(w: &[Self], x: Columns<'_, Q8x256>, n: usize, out: &mut Tile<'_>) {
        let mut block = Spread::ZERO;
        let next = x.block_distance();
        for (w, x) in x.zip_n(n, w) {
            spread(w, &mut block);
            match n {
                1 => add::<1>(&block, x, next, out),
                2 => add::<2>(&block, x, next, out),
                3 => add::<3>(&block, x, next, out),
                4 => add::<4>(&block, x, next, out),
                5 => add::<5>(&block, x, next, out),
                6 => add::<6>(&block, x, next, out),
                7 => add::<7>(&block, x, next, out),
                _ => add::<8>(&block, x, next, out),
            }
        }
    }
}

/// Adds the products of a block and `N` columns; their next blocks are `next` bytes further.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn add<const N: usize>(w: &Spread, x: &[Q8x256], next: usize, out: &mut Tile<'_>) {
    let Some(x) = x.first_chunk::<N>() else { return };
    let starts = starts::<BIAS, N>(x);
    let mut integer = [_mm512_setzero_si512(); N];
    for c in 0..4 {
        prefetch::<_, N>(x, next, c, 4);
        let scales = load(&w.scales[c]);
        let codes: &[Plane; 16] = &w.codes.as_chunks().0[c];
        unroll!(G in [0 1 2 3] {
            let mut dot = [_mm512_setzero_si512(); N];
            for n in 0..N {
                dot[n] = _mm512_set1_epi32(starts[n][4 * c + G]);
            }
            unroll!(I in [0 1 2 3] {
                let codes = load(&codes[4 * G + I]);
                for n in 0..N {
                    dot[n] = _mm512_dpbusd_epi32(dot[n], codes, four(&x[n].qs, 64 * c + 16 * G + 4 * I));
                }
            });
            let scale = signed_byte::<{ 24 - 8 * G as u32 }>(scales);
            for n in 0..N {
                integer[n] = _mm512_add_epi32(integer[n], _mm512_mullo_epi32(dot[n], scale));
            }
        });
    }
    let mut total = resume::<N>(out);
    // SAFETY: 16 floats; the load needs no alignment.
    let d = unsafe { _mm512_loadu_ps(w.d.as_ptr()) };
    for n in 0..N {
        let value = _mm512_mul_ps(d, _mm512_cvtepi32_ps(integer[n]));
        total[n] = _mm512_fmadd_ps(_mm512_set1_ps(x[n].d), value, total[n]);
    }
    store(&total, out);
}
