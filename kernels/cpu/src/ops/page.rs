//! Pages of the key-value cache, as attention reads them.
//!
//! A page holds [`PAGE`] consecutive positions of one layer and one key-value head: the keys transposed, `[head_dim]`
//! rows of 64, so that a vector holds one dimension of sixteen keys and scores need no sum across lanes; the values
//! natural, 64 rows of `[head_dim]`.

use super::lanes::{Lanes, Op, dispatch};
use crate::isa::Isa;

/// Positions in a page.
pub const PAGE: usize = 64;

/// Values of a row of a page that share a scale, where codes are of 8 bits.
pub const Q8_BLOCK: usize = 32;

/// One page of one key-value head. Slots that no position has reached yet may hold anything, NaN included.
#[derive(Debug, Clone, Copy)]
pub enum KvSlice<'a> {
    /// IEEE half precision, as bits.
    F16 {
        /// Keys, `[head_dim_k][64]`.
        k: &'a [u16],
        /// Values, `[64][head_dim_v]`.
        v: &'a [u16],
    },
    /// Single precision.
    F32 {
        /// Keys, `[head_dim_k][64]`.
        k: &'a [f32],
        /// Values, `[64][head_dim_v]`.
        v: &'a [f32],
    },
    /// Codes of 8 bits; [`Q8_BLOCK`] neighbouring dimensions of a position share a scale.
    Q8_0 {
        /// Keys: codes `[head_dim_k][64]`, scales `[head_dim_k / 32, rounded up][64]`.
        k: Q8Rows<'a>,
        /// Values: codes `[64][head_dim_v]`, scales `[64][head_dim_v / 32, rounded up]`.
        v: Q8Rows<'a>,
    },
}

/// Numbers of 8.5 bits: the product of a code and its block's scale, which single precision holds exactly.
#[derive(Debug, Clone, Copy)]
pub struct Q8Rows<'a> {
    /// -127..=127.
    pub codes: &'a [i8],
    /// IEEE halves, as bits.
    pub scales: &'a [u16],
}

impl KvSlice<'_> {
    /// Where the keys begin.
    pub(super) fn keys(&self) -> *const u8 {
        match self {
            KvSlice::F16 { k, .. } => k.as_ptr().cast(),
            KvSlice::F32 { k, .. } => k.as_ptr().cast(),
            KvSlice::Q8_0 { k, .. } => k.codes.as_ptr().cast(),
        }
    }

    /// Where the values begin.
    pub(super) fn values(&self) -> *const u8 {
        match self {
            KvSlice::F16 { v, .. } => v.as_ptr().cast(),
            KvSlice::F32 { v, .. } => v.as_ptr().cast(),
            KvSlice::Q8_0 { v, .. } => v.codes.as_ptr().cast(),
        }
    }

    /// Whether both are the same memory: a page that sequences share.
    pub(super) fn is(&self, other: &KvSlice<'_>) -> bool {
        self.keys() == other.keys() && self.values() == other.values()
    }
}

/// What a cache may hold: `f32`, or `u16` for the bits of an IEEE half.
pub trait KvElement: Copy + Default + Send + Sync + sealed::Element {
    /// The number as the cache holds it: a half rounds to nearest, ties to even.
    fn from_f32(x: f32) -> Self;

    /// The number.
    fn to_f32(self) -> f32;
}

mod sealed {
    use super::super::lanes::Lanes;

    /// Sixteen at a time.
    pub trait Element: Sized {
        fn load<L: Lanes>(lanes: L, from: &[Self; 16]) -> L::V;
        fn store<L: Lanes>(lanes: L, v: L::V, to: &mut [Self; 16]);
    }
}

impl sealed::Element for u16 {
    #[inline(always)]
    fn load<L: Lanes>(lanes: L, from: &[u16; 16]) -> L::V {
        lanes.load_f16(from)
    }

    #[inline(always)]
    fn store<L: Lanes>(lanes: L, v: L::V, to: &mut [u16; 16]) {
        lanes.store_f16(v, to);
    }
}

impl sealed::Element for f32 {
    #[inline(always)]
    fn load<L: Lanes>(lanes: L, from: &[f32; 16]) -> L::V {
        lanes.load(from)
    }

    #[inline(always)]
    fn store<L: Lanes>(lanes: L, v: L::V, to: &mut [f32; 16]) {
        lanes.store(v, to);
    }
}

impl KvElement for u16 {
    fn from_f32(x: f32) -> u16 {
        half::f16::from_f32(x).to_bits()
    }

    fn to_f32(self) -> f32 {
        half::f16::from_bits(self).to_f32()
    }
}

impl KvElement for f32 {
    fn from_f32(x: f32) -> f32 {
        x
    }

    fn to_f32(self) -> f32 {
        self
    }
}

/// Writes the key `row`, `[head_dim]`, into `slot` (position modulo [`PAGE`]) of the keys of a page.
///
/// # Panics
///
/// When `page` is not `row.len() * 64` long or `slot` is not below 64.
pub fn store_k<E: KvElement>(isa: Isa, page: &mut [E], slot: usize, row: &[f32]) {
    struct Store<'a, E>(&'a mut [E], usize, &'a [f32]);
    impl<E: KvElement> Op for Store<'_, E> {
        type Output = ();

        #[inline(always)]
        fn call<L: Lanes>(self, lanes: L) {
            let Store(page, slot, row) = self;
            let dims = page.as_chunks_mut::<PAGE>().0;
            for (dims, row) in dims.chunks_mut(16).zip(row.chunks(16)) {
                let mut elements = [E::default(); 16];
                E::store(lanes, lanes.load_part(row, 0.0), &mut elements);
                for (dim, element) in dims.iter_mut().zip(elements) {
                    dim[slot] = element;
                }
            }
        }
    }
    assert_eq!(page.len(), row.len() * PAGE, "the page is for another head size");
    assert!(slot < PAGE, "a page has no slot {slot}");
    dispatch(isa, Store(page, slot, row));
}

/// Writes the value `row`, `[head_dim]`, into `slot` (position modulo [`PAGE`]) of the values of a page.
///
/// # Panics
///
/// When `page` is not `row.len() * 64` long or `slot` is not below 64.
pub fn store_v<E: KvElement>(isa: Isa, page: &mut [E], slot: usize, row: &[f32]) {
    struct Store<'a, E>(&'a mut [E], &'a [f32]);
    impl<E: KvElement> Op for Store<'_, E> {
        type Output = ();

        #[inline(always)]
        fn call<L: Lanes>(self, lanes: L) {
            for (to, row) in self.0.chunks_mut(16).zip(self.1.chunks(16)) {
                let mut elements = [E::default(); 16];
                E::store(lanes, lanes.load_part(row, 0.0), &mut elements);
                to.copy_from_slice(&elements[..to.len()]);
            }
        }
    }
    assert_eq!(page.len(), row.len() * PAGE, "the page is for another head size");
    assert!(slot < PAGE, "a page has no slot {slot}");
    dispatch(isa, Store(&mut page[slot * row.len()..][..row.len()], row));
}

/// Writes the key `row`, `[head_dim]`, into `slot` of the keys of a page of codes: see [`KvSlice::Q8_0`].
///
/// A block of 32 values has the scale `d = f16(amax / 127)` and the codes `round_ties_even(x / d)`, as ggml's Q8_0 but
/// for the rounding of ties and for codes made with the scale that is stored. A block with a NaN, an infinity or
/// magnitudes beyond 8e6 has the scale NaN and codes 0, so that the fault shows.
///
/// # Panics
///
/// When `codes` or `scales` does not fit the row or `slot` is not below 64.
pub fn store_k_q8(isa: Isa, codes: &mut [i8], scales: &mut [u16], slot: usize, row: &[f32]) {
    check_q8(codes, scales, slot, row);
    // The elements of a row lie a page apart.
    dispatch(isa, StoreQ8 { codes: &mut codes[slot..], scales: &mut scales[slot..], stride: PAGE, row });
}

/// Writes the value `row`, `[head_dim]`, into `slot` of the values of a page of codes, in the way of [`store_k_q8`].
///
/// # Panics
///
/// When `codes` or `scales` does not fit the row or `slot` is not below 64.
pub fn store_v_q8(isa: Isa, codes: &mut [i8], scales: &mut [u16], slot: usize, row: &[f32]) {
    check_q8(codes, scales, slot, row);
    let (codes, scales) = (&mut codes[slot * row.len()..], &mut scales[slot * row.len().div_ceil(Q8_BLOCK)..]);
    dispatch(isa, StoreQ8 { codes, scales, stride: 1, row });
}

fn check_q8(codes: &[i8], scales: &[u16], slot: usize, row: &[f32]) {
    assert_eq!(codes.len(), row.len() * PAGE, "the page is for another head size");
    assert_eq!(scales.len(), row.len().div_ceil(Q8_BLOCK) * PAGE, "the scales are for another head size");
    assert!(slot < PAGE, "a page has no slot {slot}");
}

/// Quantises a row; its codes and scales lie `stride` apart.
struct StoreQ8<'a> {
    codes: &'a mut [i8],
    scales: &'a mut [u16],
    stride: usize,
    row: &'a [f32],
}

impl Op for StoreQ8<'_> {
    type Output = ();

    #[inline(always)]
    fn call<L: Lanes>(self, lanes: L) {
        /// The bits of a half that is not a number.
        const NAN: u16 = 0x7e00;
        let StoreQ8 { codes, scales, stride, row } = self;
        for (block, x) in row.chunks(Q8_BLOCK).enumerate() {
            let mut values = [0.0; Q8_BLOCK];
            values[..x.len()].copy_from_slice(x);
            // As integers, the bits of magnitudes are in the order of the magnitudes, NaNs on top.
            let mut greatest = 0;
            for x in values {
                greatest = greatest.max(x.to_bits() & 0x7fff_ffff);
            }
            let mut halves = [0; 16];
            lanes.store_f16(lanes.splat(f32::from_bits(greatest) / 127.0), &mut halves);
            let mut scale = [0.0; 16];
            lanes.store(lanes.splat_f16(halves[0]), &mut scale);
            let mut quants = [0; Q8_BLOCK];
            if !scale[0].is_finite() {
                halves[0] = NAN;
            } else if scale[0] > 0.0 {
                let inverse = lanes.splat(1.0 / scale[0]);
                let (most, least) = (lanes.splat(127.0), lanes.splat(-127.0));
                for (x, quants) in values.as_chunks::<16>().0.iter().zip(quants.as_chunks_mut::<16>().0) {
                    let q = lanes.mul(lanes.load(x), inverse);
                    let q = lanes.select_le(q, most, q, most);
                    lanes.store_i8(lanes.select_le(least, q, q, least), quants);
                }
            }
            scales[block * stride] = halves[0];
            for (code, quant) in codes[block * Q8_BLOCK * stride..].iter_mut().step_by(stride).zip(&quants[..x.len()]) {
                *code = *quant;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_those_of_the_half_crate_at_every_level() {
        let mut numbers: Vec<f32> = (0..=u16::MAX).map(|bits| bits.to_f32()).collect();
        // Ties, neighbours of ties, subnormal halves, overflow.
        numbers.extend((0..0x8000_0000u32).step_by(30_011).map(f32::from_bits));
        numbers
            .extend((0x3300_0000..0x4780_0000u32).step_by(0x1000).flat_map(|b| [b - 1, b, b + 1]).map(f32::from_bits));
        numbers.truncate(numbers.len() / 16 * 16);
        for isa in Isa::available() {
            let mut page = vec![0u16; numbers.len() * PAGE / PAGE];
            for (numbers, page) in numbers.chunks(16).zip(page.chunks_mut(16)) {
                // A page of heads of one dimension is a row of halves: its values lie side by side.
                let mut values = [0u16; 16 * PAGE];
                store_v(isa, &mut values, 5, numbers);
                page.copy_from_slice(&values[5 * 16..6 * 16]);
            }
            for (&x, &bits) in numbers.iter().zip(&page) {
                if x.is_nan() {
                    assert!(half::f16::from_bits(bits).is_nan());
                } else {
                    assert_eq!(bits, half::f16::from_f32_const(x).to_bits(), "{x:e} at {}", isa.name());
                }
            }
        }
    }

    #[test]
    fn rows_land_in_their_slot_and_nowhere_else() {
        for head_dim in [1, 15, 16, 17, 80] {
            let row: Vec<f32> = (0..head_dim).map(|d| d as f32 + 0.5).collect();
            for slot in [0, 31, 63] {
                let mut k = vec![-1.0f32; head_dim * PAGE];
                let mut v = vec![0xbc00u16; head_dim * PAGE];
                store_k(Isa::detect(), &mut k, slot, &row);
                store_v(Isa::detect(), &mut v, slot, &row);
                for s in 0..PAGE {
                    for d in 0..head_dim {
                        let expected = if s == slot { row[d] } else { -1.0 };
                        assert_eq!(k[d * PAGE + s], expected);
                        assert_eq!(v[s * head_dim + d].to_f32(), expected);
                    }
                }
            }
        }
    }
}
