//! Activations in the form that a product reads: quantised once, used by every row of a matrix.
//!
//! The scalar code in this file defines the result; the AVX2 and AVX-512 versions equal it bit for bit.
//! A block that holds a NaN or an infinity gets a NaN scale and zero codes, so that every product with it is NaN on
//! every instruction set and the fault can be seen downstream instead of vanishing in a cast.

use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::Level;
use crate::team::Team;

/// The form of activations that a weight format multiplies with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActivationKind {
    /// Plain f32, for F32, F16 and BF16 weights.
    F32,
    /// [`Q8x32`], for formats with blocks of 32 values.
    Q8x32,
    /// [`Q8x256`], for formats with blocks of 256 values.
    Q8x256,
}

impl ActivationKind {
    /// Values in a block: 1, 32 or 256.
    pub const fn block_len(self) -> usize {
        match self {
            ActivationKind::F32 => 1,
            ActivationKind::Q8x32 => 32,
            ActivationKind::Q8x256 => 256,
        }
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        match self {
            ActivationKind::F32 => size_of::<f32>(),
            ActivationKind::Q8x32 => size_of::<Q8x32>(),
            ActivationKind::Q8x256 => size_of::<Q8x256>(),
        }
    }
}

/// 32 activations as 8-bit codes: `x ≈ d * q`.
///
/// With `amax` the largest magnitude: `d = amax / 127`, `q = round_ties_even(x * (127 / amax))`, all in f32. As
/// ggml's Q8_0 and Q8_1, but `d` is not rounded to f16. Magnitudes so small that `127 / amax` is infinite
/// (below about 3.7e-37) count as zero.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Q8x32 {
    /// Codes, -127..=127.
    pub qs: [i8; 32],
    /// Scale; 0 for a block of zeros, NaN for a block with a NaN or an infinity.
    pub d: f32,
    /// Sum of the codes.
    pub sum: i32,
}

/// 256 activations as 8-bit codes: `x ≈ d * q`.
///
/// As ggml's Q8_K: with `max` the first value of largest magnitude, `iscale = -127 / max`,
/// `q = round_ties_even(iscale * x)`, `d = 1 / iscale`, all in f32. Magnitudes so small that `iscale` is infinite
/// (below about 3.7e-37) count as zero.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Q8x256 {
    /// Codes, -127..=127.
    pub qs: [i8; 256],
    /// Scale, of the sign opposite to `max`; 0 for a block of zeros, NaN for a block with a NaN or an infinity.
    pub d: f32,
    /// Sums of 16 consecutive codes.
    pub sums: [i16; 16],
}

const _: () = assert!(size_of::<Q8x32>() == 40 && size_of::<Q8x256>() == 292);

/// A reusable buffer of activations: `columns` columns (tokens) of `len` values.
///
/// Stored as `[block][column]`, the column fastest: block `b` of column `c` is element `b * columns + c` of the slice
/// that [`q8x32`](Self::q8x32) or [`q8x256`](Self::q8x256) returns. A tile of neighbouring columns is thus contiguous in
/// each block, and a product walks one pointer with constant steps. Plain f32 is the same with blocks of one value:
/// value `k` of column `c` is element `k * columns + c` of [`f32s`](Self::f32s). The storage starts at a multiple of
/// 64 bytes and only grows.
///
/// ```
/// use r1_kernels::{ActivationKind, Activations, Isa, Team};
/// let mut x = Activations::new();
/// let columns = [vec![1.0; 64], vec![-2.0; 64]].concat();
/// x.quantize(Isa::detect(), &Team::new(1), ActivationKind::Q8x32, 64, &columns);
/// assert_eq!((x.columns(), x.blocks()), (2, 2));
/// assert_eq!(x.q8x32()[1].sum, -127 * 32);
/// ```
#[derive(Debug)]
pub struct Activations {
    kind: ActivationKind,
    len: usize,
    columns: usize,
    storage: Vec<Line>,
}

/// One cache line; what makes the storage aligned.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
struct Line([u8; 64]);

/// Fewest values that are worth waking a team for: two microseconds of work.
const PARALLEL_VALUES: usize = 8192;

/// Values in a task of a team, where a block of every column is not more than that.
const TASK_VALUES: usize = 4096;

impl Activations {
    /// An empty buffer; allocates nothing.
    pub const fn new() -> Activations {
        Activations { kind: ActivationKind::F32, len: 0, columns: 0, storage: Vec::new() }
    }

    /// Makes room for `columns` columns of `len` values, so that calls up to that size allocate nothing.
    ///
    /// # Errors
    /// Where the memory is refused; the buffer is then as before.
    pub fn try_reserve(
        &mut self,
        kind: ActivationKind,
        len: usize,
        columns: usize,
    ) -> Result<(), std::collections::TryReserveError> {
        // An overflow asks for more than there can be, which `try_reserve` refuses.
        let lines = lines(kind, len, columns).unwrap_or(usize::MAX);
        self.storage.try_reserve_exact(lines.saturating_sub(self.storage.len()))
    }

    /// Sets the shape. Existing contents lose their meaning; every column is to be written anew with
    /// [`quantize_column`](Self::quantize_column).
    ///
    /// # Panics
    /// Where `len` is not a whole number of blocks, or the memory is refused
    /// (see [`try_reserve`](Self::try_reserve)).
    pub fn prepare(&mut self, kind: ActivationKind, len: usize, columns: usize) {
        assert!(len.is_multiple_of(kind.block_len()), "{len} activations are not a whole number of {kind:?} blocks");
        let Some(lines) = lines(kind, len, columns) else { panic!("{columns} columns of {len} activations overflow") };
        (self.kind, self.len, self.columns) = (kind, len, columns);
        if self.storage.len() < lines {
            self.storage.resize(lines, Line([0; 64]));
        }
    }

    /// Quantises `x`, the `len` values of one column, on the calling thread.
    ///
    /// # Panics
    /// Where `column` or the length of `x` does not fit the shape.
    pub fn quantize_column(&mut self, isa: Isa, column: usize, x: &[f32]) {
        assert!(column < self.columns, "column {column} of {}", self.columns);
        assert_eq!(x.len(), self.len, "activations of a column");
        let columns = self.columns;
        if self.len > 0 {
            match self.kind {
                ActivationKind::F32 => f32::write(isa, x, &mut self.view_mut()[column..], columns),
                ActivationKind::Q8x32 => Q8x32::write(isa, x, &mut self.view_mut()[column..], columns),
                ActivationKind::Q8x256 => Q8x256::write(isa, x, &mut self.view_mut()[column..], columns),
            }
        }
    }

    /// Sets the shape and quantises all columns: `xs` is `[column][len]`. The team shares out the work, except where
    /// there is one column or so little to do that waking it would cost more; the result is the same.
    ///
    /// # Panics
    /// As [`prepare`](Self::prepare), and where `xs` is not a whole number of columns.
    pub fn quantize(&mut self, isa: Isa, team: &Team, kind: ActivationKind, len: usize, xs: &[f32]) {
        assert!(len > 0 && xs.len().is_multiple_of(len), "{} activations in columns of {len}", xs.len());
        self.prepare(kind, len, xs.len() / len);
        match kind {
            ActivationKind::F32 => self.quantize_as::<f32>(isa, team, xs),
            ActivationKind::Q8x32 => self.quantize_as::<Q8x32>(isa, team, xs),
            ActivationKind::Q8x256 => self.quantize_as::<Q8x256>(isa, team, xs),
        }
    }

    /// A task is a range of blocks of all columns: what it writes is contiguous.
    fn quantize_as<T: Element>(&mut self, isa: Isa, team: &Team, xs: &[f32]) {
        let Activations { len, columns, .. } = *self;
        let blocks = if columns <= 1 || xs.len() < PARALLEL_VALUES {
            self.blocks()
        } else {
            // At least a cache line of every column.
            (TASK_VALUES / columns).max(16).div_ceil(T::LEN)
        };
        let write = |task: usize, out: &mut [T]| {
            let start = task * blocks * T::LEN;
            let end = start + out.len() / columns * T::LEN;
            for (column, x) in xs.chunks_exact(len).enumerate() {
                T::write(isa, &x[start..end], &mut out[column..], columns);
            }
        };
        let out = self.view_mut::<T>();
        if out.is_empty() {
            return;
        }
        if blocks * columns >= out.len() {
            write(0, out);
        } else {
            team.for_each_chunk(out, blocks * columns, write);
        }
    }

    /// The form of the contents.
    pub fn kind(&self) -> ActivationKind {
        self.kind
    }

    /// Values in a column.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0 || self.columns == 0
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Blocks in a column.
    pub fn blocks(&self) -> usize {
        self.len / self.kind.block_len()
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        self.storage.capacity() * size_of::<Line>()
    }

    /// The values as `[k][column]`.
    ///
    /// # Panics
    /// Where the kind is not [`ActivationKind::F32`].
    pub fn f32s(&self) -> &[f32] {
        self.view()
    }

    /// The blocks as `[block][column]`.
    ///
    /// # Panics
    /// Where the kind is not [`ActivationKind::Q8x32`].
    pub fn q8x32(&self) -> &[Q8x32] {
        self.view()
    }

    /// The blocks as `[block][column]`.
    ///
    /// # Panics
    /// Where the kind is not [`ActivationKind::Q8x256`].
    pub fn q8x256(&self) -> &[Q8x256] {
        self.view()
    }

    fn view<T: Element>(&self) -> &[T] {
        let elements = self.elements::<T>();
        // SAFETY: `elements` lie in the storage, which is aligned enough; `Element` promises that any bytes are valid.
        unsafe { std::slice::from_raw_parts(self.storage.as_ptr().cast(), elements) }
    }

    fn view_mut<T: Element>(&mut self) -> &mut [T] {
        let elements = self.elements::<T>();
        // SAFETY: as in `view`; the exclusive borrow of `self` covers the storage, and `Element` has no padding that
        // could leave bytes of it uninitialised.
        unsafe { std::slice::from_raw_parts_mut(self.storage.as_mut_ptr().cast(), elements) }
    }

    fn elements<T: Element>(&self) -> usize {
        assert_eq!(self.kind, T::KIND, "activations are of another kind");
        let elements = self.blocks() * self.columns;
        assert!(elements * size_of::<T>() <= self.storage.len() * size_of::<Line>());
        elements
    }
}

impl Default for Activations {
    fn default() -> Activations {
        Activations::new()
    }
}

/// Lines that hold `columns` columns of `len` values; `None` on overflow.
fn lines(kind: ActivationKind, len: usize, columns: usize) -> Option<usize> {
    let bytes = (len / kind.block_len()).checked_mul(columns)?.checked_mul(kind.block_bytes())?;
    Some(bytes.div_ceil(size_of::<Line>()))
}

/// What the storage holds.
///
/// # Safety
/// The type needs an alignment of at most 64, has no padding, and every bit pattern is valid.
unsafe trait Element: Copy + Send {
    const KIND: ActivationKind;
    const LEN: usize = Self::KIND.block_len();

    /// Writes the blocks of `x` to every `stride`-th element of `out`, from the first on.
    fn write(isa: Isa, x: &[f32], out: &mut [Self], stride: usize);
}

// SAFETY: a plain float.
unsafe impl Element for f32 {
    const KIND: ActivationKind = ActivationKind::F32;

    fn write(_: Isa, x: &[f32], out: &mut [f32], stride: usize) {
        if stride == 1 {
            out[..x.len()].copy_from_slice(x);
        } else {
            for (x, out) in x.iter().zip(out.iter_mut().step_by(stride)) {
                *out = *x;
            }
        }
    }
}

// SAFETY: `repr(C)`, 32 + 4 + 4 = 40 bytes of plain numbers.
unsafe impl Element for Q8x32 {
    const KIND: ActivationKind = ActivationKind::Q8x32;

    fn write(isa: Isa, x: &[f32], out: &mut [Q8x32], stride: usize) {
        let blocks = x.as_chunks().0.iter().zip(out.iter_mut().step_by(stride));
        match isa.level() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `isa` proves that the processor has the features.
            Level::Avx512 => unsafe { avx512::q8x32(blocks) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `isa` proves that the processor has the features.
            Level::Avx2 => unsafe { avx2::q8x32(blocks) },
            _ => blocks.for_each(|(x, out)| *out = Q8x32::quantize(x)),
        }
    }
}

// SAFETY: `repr(C)`, 256 + 4 + 32 = 292 bytes of plain numbers.
unsafe impl Element for Q8x256 {
    const KIND: ActivationKind = ActivationKind::Q8x256;

    fn write(isa: Isa, x: &[f32], out: &mut [Q8x256], stride: usize) {
        let blocks = x.as_chunks().0.iter().zip(out.iter_mut().step_by(stride));
        match isa.level() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `isa` proves that the processor has the features.
            Level::Avx512 => unsafe { avx512::q8x256(blocks) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `isa` proves that the processor has the features.
            Level::Avx2 => unsafe { avx2::q8x256(blocks) },
            _ => blocks.for_each(|(x, out)| *out = Q8x256::quantize(x)),
        }
    }
}

/// Every bit of an f32 but the sign. As integers, the bits of magnitudes are in the order of the magnitudes, with
/// infinity and the NaNs on top.
const MAGNITUDE: u32 = 0x7fff_ffff;

/// What a block is multiplied with: `127 / amax`, or the special block to use instead.
enum Step {
    /// All codes are zero and the scale is this: 0 for (nearly) zero values, NaN for NaNs and infinities.
    Special(f32),
    /// `127 / amax`, finite.
    Inverse(f32),
}

#[inline]
fn step(amax_bits: u32) -> Step {
    let inverse = 127.0 / f32::from_bits(amax_bits);
    if amax_bits >= f32::INFINITY.to_bits() {
        Step::Special(f32::NAN)
    } else if inverse == f32::INFINITY {
        Step::Special(0.0)
    } else {
        Step::Inverse(inverse)
    }
}

impl Q8x32 {
    /// A block of zero codes.
    #[inline]
    fn special(d: f32) -> Q8x32 {
        Q8x32 { qs: [0; 32], d, sum: 0 }
    }

    /// The definition of the block for `x`.
    fn quantize(x: &[f32; 32]) -> Q8x32 {
        let amax_bits = x.iter().fold(0, |max, x| max.max(x.to_bits() & MAGNITUDE));
        match step(amax_bits) {
            Step::Special(d) => Q8x32::special(d),
            Step::Inverse(inverse) => {
                let qs = x.map(|x| (x * inverse).round_ties_even() as i8);
                Q8x32 { qs, d: f32::from_bits(amax_bits) / 127.0, sum: qs.iter().map(|&q| i32::from(q)).sum() }
            }
        }
    }
}

impl Q8x256 {
    /// A block of zero codes.
    #[inline]
    fn special(d: f32) -> Q8x256 {
        Q8x256 { qs: [0; 256], d, sums: [0; 16] }
    }

    /// The definition of the block for `x`.
    fn quantize(x: &[f32; 256]) -> Q8x256 {
        let amax_bits = x.iter().fold(0, |max, x| max.max(x.to_bits() & MAGNITUDE));
        match step(amax_bits) {
            Step::Special(d) => Q8x256::special(d),
            Step::Inverse(inverse) => {
                let first = x.iter().find(|x| x.to_bits() & MAGNITUDE == amax_bits);
                let scale = if first.is_some_and(|x| *x > 0.0) { -inverse } else { inverse };
                let qs = x.map(|x| (x * scale).round_ties_even() as i8);
                let sums = std::array::from_fn(|g| qs[16 * g..16 * g + 16].iter().map(|&q| i16::from(q)).sum());
                Q8x256 { qs, d: 1.0 / scale, sums }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{MAGNITUDE, Q8x32, Q8x256, Step, step};
    use std::arch::x86_64::*;

    /// As [`Q8x32::quantize`], for every pair.
    #[target_feature(enable = "avx2")]
    pub(super) fn q8x32<'a>(blocks: impl Iterator<Item = (&'a [f32; 32], &'a mut Q8x32)>) {
        for (x, out) in blocks {
            let amax_bits = largest(max_bits(x, _mm256_setzero_si256()));
            match step(amax_bits) {
                Step::Special(d) => *out = Q8x32::special(d),
                Step::Inverse(inverse) => {
                    let qs = codes(x, _mm256_set1_ps(inverse));
                    store(&mut out.qs, qs);
                    out.d = f32::from_bits(amax_bits) / 127.0;
                    let sums = sums_of_8(qs);
                    let halves = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
                    out.sum = _mm_cvtsi128_si32(_mm_add_epi64(halves, _mm_unpackhi_epi64(halves, halves))) - 128 * 32;
                }
            }
        }
    }

    /// As [`Q8x256::quantize`], for every pair.
    #[target_feature(enable = "avx2")]
    pub(super) fn q8x256<'a>(blocks: impl Iterator<Item = (&'a [f32; 256], &'a mut Q8x256)>) {
        for (x, out) in blocks {
            let parts = x.as_chunks::<32>().0;
            let mut max = _mm256_setzero_si256();
            for part in parts {
                max = max_bits(part, max);
            }
            let amax_bits = largest(max);
            match step(amax_bits) {
                Step::Special(d) => *out = Q8x256::special(d),
                Step::Inverse(inverse) => {
                    let scale = if first_is_positive(x, amax_bits) { -inverse } else { inverse };
                    let halves = out.qs.as_chunks_mut::<128>().0.iter_mut().zip(out.sums.as_chunks_mut::<8>().0);
                    for (x, (out, out_sums)) in x.as_chunks::<128>().0.iter().zip(halves) {
                        // The four sums fit 16 bits: lay those of a quarter beside each other in a 64-bit lane.
                        let mut sums = _mm256_setzero_si256();
                        let quarters = x.as_chunks().0.iter().zip(out.as_chunks_mut().0);
                        for (x, out) in quarters.rev() {
                            let qs = codes(x, _mm256_set1_ps(scale));
                            store(out, qs);
                            sums = _mm256_or_si256(_mm256_slli_epi64::<16>(sums), sums_of_8(qs));
                        }
                        // Even groups are now words 0-3 of the lower 128-bit lane, odd groups of the upper.
                        let sums = _mm256_add_epi16(sums, _mm256_unpackhi_epi64(sums, sums));
                        let odd = _mm256_extracti128_si256::<1>(sums);
                        let sums = _mm_unpacklo_epi16(_mm256_castsi256_si128(sums), odd);
                        let sums = _mm_sub_epi16(sums, _mm_set1_epi16(128 * 16));
                        // SAFETY: eight words, stored without alignment.
                        unsafe { _mm_storeu_si128(out_sums.as_mut_ptr().cast(), sums) };
                    }
                    out.d = 1.0 / scale;
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(x: &[f32; 8]) -> __m256 {
        // SAFETY: eight floats, loaded without alignment.
        unsafe { _mm256_loadu_ps(x.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn store(out: &mut [i8; 32], qs: __m256i) {
        // SAFETY: 32 bytes, stored without alignment.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), qs) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn magnitudes(x: &[f32; 8]) -> __m256i {
        _mm256_and_si256(_mm256_castps_si256(load(x)), _mm256_set1_epi32(MAGNITUDE as i32))
    }

    /// The larger of `max` and the magnitudes' bits, lane by lane.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn max_bits(x: &[f32; 32], max: __m256i) -> __m256i {
        let x = x.as_chunks::<8>().0;
        let low = _mm256_max_epi32(magnitudes(&x[0]), magnitudes(&x[1]));
        let high = _mm256_max_epi32(magnitudes(&x[2]), magnitudes(&x[3]));
        _mm256_max_epi32(max, _mm256_max_epi32(low, high))
    }

    /// The largest lane.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn largest(x: __m256i) -> u32 {
        let x = _mm_max_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
        let x = _mm_max_epi32(x, _mm_shuffle_epi32::<0b01_00_11_10>(x));
        let x = _mm_max_epi32(x, _mm_shuffle_epi32::<0b10_11_00_01>(x));
        _mm_cvtsi128_si32(x) as u32
    }

    /// Whether the first value with these magnitude bits is positive.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn first_is_positive(x: &[f32; 256], amax_bits: u32) -> bool {
        for x in x.as_chunks().0 {
            let equal = _mm256_cmpeq_epi32(magnitudes(x), _mm256_set1_epi32(amax_bits as i32));
            let equal = _mm256_movemask_ps(_mm256_castsi256_ps(equal));
            if equal != 0 {
                let negative = _mm256_movemask_ps(load(x));
                return (negative >> equal.trailing_zeros()) & 1 == 0;
            }
        }
        false
    }

    /// The 32 codes in order. The conversion rounds half to even; nothing saturates, since no code exceeds 127.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn codes(x: &[f32; 32], scale: __m256) -> __m256i {
        let x = x.as_chunks::<8>().0;
        let [a, b, c, d] = std::array::from_fn(|i| _mm256_cvtps_epi32(_mm256_mul_ps(load(&x[i]), scale)));
        let packed = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        // Packing works within 128-bit lanes; this puts the dwords back in order.
        _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
    }

    /// The sums of 8 consecutive codes, each with 1024 added (128 a code), as four u64.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn sums_of_8(qs: __m256i) -> __m256i {
        _mm256_sad_epu8(_mm256_xor_si256(qs, _mm256_set1_epi8(-128)), _mm256_setzero_si256())
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{MAGNITUDE, Q8x32, Q8x256, Step, step};
    use std::arch::x86_64::*;

    /// As [`Q8x32::quantize`], for every pair.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq")]
    pub(super) fn q8x32<'a>(blocks: impl Iterator<Item = (&'a [f32; 32], &'a mut Q8x32)>) {
        for (x, out) in blocks {
            let x = x.as_chunks().0;
            let amax_bits = _mm512_reduce_max_epu32(_mm512_max_epu32(magnitudes(&x[0]), magnitudes(&x[1])));
            match step(amax_bits) {
                Step::Special(d) => *out = Q8x32::special(d),
                Step::Inverse(inverse) => {
                    let [a, b] = std::array::from_fn(|i| rounded(&x[i], _mm512_set1_ps(inverse)));
                    // SAFETY: 32 bytes, the destination of two unaligned 16-byte stores.
                    unsafe {
                        let qs = out.qs.as_mut_ptr().cast::<__m128i>();
                        _mm_storeu_si128(qs, _mm512_cvtsepi32_epi8(a));
                        _mm_storeu_si128(qs.add(1), _mm512_cvtsepi32_epi8(b));
                    }
                    out.d = f32::from_bits(amax_bits) / 127.0;
                    out.sum = _mm512_reduce_add_epi32(_mm512_add_epi32(a, b));
                }
            }
        }
    }

    /// As [`Q8x256::quantize`], for every pair.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq")]
    pub(super) fn q8x256<'a>(blocks: impl Iterator<Item = (&'a [f32; 256], &'a mut Q8x256)>) {
        for (x, out) in blocks {
            let parts = x.as_chunks::<64>().0;
            let mut max = _mm512_setzero_si512();
            for part in parts {
                let part = part.as_chunks().0;
                let low = _mm512_max_epu32(magnitudes(&part[0]), magnitudes(&part[1]));
                let high = _mm512_max_epu32(magnitudes(&part[2]), magnitudes(&part[3]));
                max = _mm512_max_epu32(max, _mm512_max_epu32(low, high));
            }
            let amax_bits = _mm512_reduce_max_epu32(max);
            match step(amax_bits) {
                Step::Special(d) => *out = Q8x256::special(d),
                Step::Inverse(inverse) => {
                    let scale = if first_is_positive(x, amax_bits) { -inverse } else { inverse };
                    // Sums of 8 codes fit 16 bits: lay those of the four parts beside each other in 64-bit lanes.
                    let mut sums = _mm512_setzero_si512();
                    for (x, out) in parts.iter().zip(out.qs.as_chunks_mut::<64>().0).rev() {
                        let qs = codes(x, _mm512_set1_ps(scale));
                        // SAFETY: 64 bytes, stored without alignment.
                        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), qs) };
                        sums = _mm512_or_si512(_mm512_slli_epi64::<16>(sums), sums_of_8(qs));
                    }
                    // Group `4 a + j` is now word `a` of 128-bit lane `j`.
                    let sums = _mm512_add_epi16(sums, _mm512_unpackhi_epi64(sums, sums));
                    let order = _mm256_setr_epi16(0, 8, 16, 24, 1, 9, 17, 25, 2, 10, 18, 26, 3, 11, 19, 27);
                    let sums = _mm512_permutexvar_epi16(_mm512_castsi256_si512(order), sums);
                    let sums = _mm256_sub_epi16(_mm512_castsi512_si256(sums), _mm256_set1_epi16(128 * 16));
                    // SAFETY: `sums` is 32 bytes, stored without alignment.
                    unsafe { _mm256_storeu_si256(out.sums.as_mut_ptr().cast(), sums) };
                    out.d = 1.0 / scale;
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq")]
    fn load(x: &[f32; 16]) -> __m512 {
        // SAFETY: sixteen floats, loaded without alignment.
        unsafe { _mm512_loadu_ps(x.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq")]
    fn magnitudes(x: &[f32; 16]) -> __m512i {
        _mm512_and_si512(_mm512_castps_si512(load(x)), _mm512_set1_epi32(MAGNITUDE as i32))
    }

    /// Whether the first value with these magnitude bits is positive.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq")]
    fn first_is_positive(x: &[f32; 256], amax_bits: u32) -> bool {
        for x in x.as_chunks().0 {
            let equal = _mm512_cmpeq_epi32_mask(magnitudes(x), _mm512_set1_epi32(amax_bits as i32));
            if equal != 0 {
                let negative = _mm512_movepi32_mask(_mm512_castps_si512(load(x)));
                return (negative >> equal.trailing_zeros()) & 1 == 0;
            }
        }
        false
    }

    /// `x * scale` as integers, half to even.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq")]
    fn rounded(x: &[f32; 16], scale: __m512) -> __m512i {
        _mm512_cvtps_epi32(_mm512_mul_ps(load(x), scale))
    }

    /// The 64 codes in order. Nothing saturates, since no code exceeds 127.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq")]
    fn codes(x: &[f32; 64], scale: __m512) -> __m512i {
        let x = x.as_chunks::<16>().0;
        let [a, b, c, d] = std::array::from_fn(|i| rounded(&x[i], scale));
        let packed = _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
        // Packing works within 128-bit lanes; this puts the dwords back in order.
        let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        _mm512_permutexvar_epi32(order, packed)
    }

    /// The sums of 8 consecutive codes, each with 1024 added (128 a code), as eight u64.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq")]
    fn sums_of_8(qs: __m512i) -> __m512i {
        _mm512_sad_epu8(_mm512_xor_si512(qs, _mm512_set1_epi8(-128)), _mm512_setzero_si512())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KINDS: [ActivationKind; 3] = [ActivationKind::F32, ActivationKind::Q8x32, ActivationKind::Q8x256];

    /// Floats for tests: a fixed stream, uniform in -1..1.
    fn noise(n: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        std::iter::repeat_with(next).take(n).collect()
    }

    fn quantized(isa: Isa, kind: ActivationKind, x: &[f32]) -> Activations {
        let mut out = Activations::new();
        out.prepare(kind, x.len(), 1);
        out.quantize_column(isa, 0, x);
        out
    }

    /// The bytes that the contents occupy.
    fn contents(x: &Activations) -> Vec<u8> {
        let bytes = x.blocks() * x.columns() * x.kind().block_bytes();
        x.storage.iter().flat_map(|line| line.0).take(bytes).collect()
    }

    fn assert_same_on_every_isa(x: &[f32], what: &str) {
        for kind in KINDS {
            let expected = contents(&quantized(Isa::SCALAR, kind, x));
            for isa in Isa::available() {
                assert_eq!(contents(&quantized(isa, kind, x)), expected, "{what}: {kind:?} on {}", isa.name());
            }
        }
    }

    /// The promises of both kinds of block, for finite values.
    fn check_block(x: &[f32], qs: &[i8], d: f32) -> Result<(), TestCaseError> {
        for (&x, &q) in x.iter().zip(qs) {
            prop_assert!(q >= -127);
            // Half a step, and a little for the rounding of the scale; values below 127 / f32::MAX may count as zero.
            let error = (f64::from(x) - f64::from(d) * f64::from(q)).abs();
            prop_assert!(error <= f64::from(d.abs()) * 0.501 + 4e-37, "{x:e} became {q} * {d:e}");
        }
        Ok(())
    }

    fn finite() -> impl Strategy<Value = f32> {
        prop_oneof![
            4 => -8.0f32..8.0,
            1 => any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |x| x.is_finite()),
            1 => (-254i32..=254).prop_map(|half| half as f32 / 2.0),
            1 => Just(0.0f32),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn blocks_of_32_are_within_half_a_step(x in prop::collection::vec(finite(), 64)) {
            let out = quantized(Isa::detect(), ActivationKind::Q8x32, &x);
            for (x, block) in x.chunks_exact(32).zip(out.q8x32()) {
                check_block(x, &block.qs, block.d)?;
                prop_assert_eq!(block.sum, block.qs.iter().map(|&q| i32::from(q)).sum::<i32>());
            }
        }

        #[test]
        fn blocks_of_256_are_within_half_a_step(x in prop::collection::vec(finite(), 256)) {
            let out = quantized(Isa::detect(), ActivationKind::Q8x256, &x);
            let block = &out.q8x256()[0];
            check_block(&x, &block.qs, block.d)?;
            for (qs, &sum) in block.qs.chunks_exact(16).zip(&block.sums) {
                prop_assert_eq!(i32::from(sum), qs.iter().map(|&q| i32::from(q)).sum::<i32>());
            }
        }

        #[test]
        fn any_floats_give_the_same_bytes_on_every_isa(x in prop::collection::vec(
            prop_oneof![20 => finite(), 1 => any::<u32>().prop_map(f32::from_bits)], 256..=256,
        )) {
            assert_same_on_every_isa(&x, "any floats");
        }
    }

    #[test]
    fn every_isa_writes_the_same_bytes() {
        for (seed, scale) in [1e-45, 1e-37, 4e-37, 1e-30, 1e-3, 1.0, 127.0, 1e4, 1e30, 3.4e38].into_iter().enumerate() {
            for round in 0..8 {
                let x: Vec<f32> = noise(1024, (seed * 8 + round) as u64).iter().map(|x| x * scale).collect();
                assert_same_on_every_isa(&x, "noise");
            }
        }
        // Halves: with 127 present the inverse is 1, so that every other value is a tie.
        for at in 0..256 {
            let mut x: Vec<f32> = (0..256).map(|i| ((i * 37) % 253) as f32 / 2.0 - 63.0).collect();
            x[at] = if at % 2 == 0 { 127.0 } else { -127.0 };
            assert_same_on_every_isa(&x, "ties");
        }
    }

    #[test]
    fn ties_round_to_even() {
        let mut x = [0.0; 256];
        x[..8].copy_from_slice(&[-127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5]);
        let small = quantized(Isa::detect(), ActivationKind::Q8x32, &x);
        assert_eq!(small.q8x32()[0].qs[..8], [-127, 0, 2, 2, 0, -2, -2, 126]);
        assert_eq!((small.q8x32()[0].d, small.q8x32()[0].sum), (1.0, -127 + 126));
        let large = quantized(Isa::detect(), ActivationKind::Q8x256, &x);
        assert_eq!(large.q8x256()[0].qs[..8], [-127, 0, 2, 2, 0, -2, -2, 126]);
        assert_eq!((large.q8x256()[0].d, large.q8x256()[0].sums[0]), (1.0, -127 + 126));
    }

    #[test]
    fn the_first_of_the_largest_gets_code_minus_127() {
        for (first, second) in [(3, 200), (17, 18), (0, 255), (31, 32)] {
            for sign in [1.0, -1.0] {
                let mut x = [0.25; 256];
                (x[first], x[second]) = (4.0 * sign, -4.0 * sign);
                for isa in Isa::available() {
                    let out = quantized(isa, ActivationKind::Q8x256, &x);
                    let block = &out.q8x256()[0];
                    assert_eq!((block.qs[first], block.qs[second]), (-127, 127));
                    assert_eq!(block.d, 1.0 / (-127.0 / (4.0 * sign)));
                }
            }
        }
    }

    #[test]
    fn a_block_with_a_nan_or_an_infinity_has_a_nan_scale_and_its_neighbours_do_not() {
        for bad in [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001), f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 7, 31, 100, 255] {
                let mut x = noise(512, 5);
                x[at] = bad;
                assert_same_on_every_isa(&x, "not finite");
                let out = quantized(Isa::detect(), ActivationKind::Q8x256, &x);
                let [block, neighbour] = out.q8x256() else { panic!("two blocks") };
                assert!(block.d.is_nan() && block.qs == [0; 256] && block.sums == [0; 16]);
                assert!(neighbour.d.is_finite());
                let out = quantized(Isa::detect(), ActivationKind::Q8x32, &x);
                for (i, block) in out.q8x32().iter().enumerate() {
                    assert_eq!(block.d.is_nan(), i == at / 32);
                }
            }
        }
    }

    #[test]
    fn zeros_and_values_too_small_for_a_scale_are_zero_blocks() {
        for value in [0.0, -0.0, f32::from_bits(1), 1e-40, -3e-37] {
            let x = [value; 256];
            assert_same_on_every_isa(&x, "tiny");
            let out = quantized(Isa::detect(), ActivationKind::Q8x256, &x);
            assert!(out.q8x256()[0].d.to_bits() == 0 && out.q8x256()[0].qs == [0; 256]);
            let out = quantized(Isa::detect(), ActivationKind::Q8x32, &x);
            assert!(out.q8x32()[7].d.to_bits() == 0 && out.q8x32()[7].qs == [0; 32]);
        }
    }

    #[test]
    fn a_team_and_single_columns_fill_the_buffer_alike() {
        let teams = [1, 3].map(Team::new);
        let (mut together, mut apart) = (Activations::new(), Activations::new());
        for (len, columns) in [(256, 1), (8192, 1), (256, 3), (512, 17), (4096, 5), (256, 300), (18944, 2)] {
            let xs = noise(len * columns, len as u64);
            for kind in KINDS {
                apart.prepare(kind, len, columns);
                for (column, x) in xs.chunks_exact(len).enumerate().rev() {
                    apart.quantize_column(Isa::detect(), column, x);
                }
                for team in &teams {
                    together.quantize(Isa::detect(), team, kind, len, &xs);
                    assert_eq!((together.kind(), together.len(), together.columns()), (kind, len, columns));
                    assert_eq!(contents(&together), contents(&apart), "{kind:?} {len} x {columns}");
                }
            }
        }
    }

    #[test]
    fn columns_lie_side_by_side_in_each_block() {
        let (len, columns) = (512, 3);
        let xs = noise(len * columns, 9);
        let mut all = Activations::new();
        for kind in KINDS {
            all.quantize(Isa::detect(), &Team::new(1), kind, len, &xs);
            assert_eq!(all.storage.as_ptr() as usize % 64, 0);
            for (column, x) in xs.chunks_exact(len).enumerate() {
                let one = quantized(Isa::SCALAR, kind, x);
                for (block, at) in (column..one.blocks() * columns).step_by(columns).enumerate() {
                    match kind {
                        ActivationKind::F32 => assert_eq!(all.f32s()[at], x[block]),
                        ActivationKind::Q8x32 => assert_eq!(all.q8x32()[at].qs, one.q8x32()[block].qs),
                        ActivationKind::Q8x256 => assert_eq!(all.q8x256()[at].qs, one.q8x256()[block].qs),
                    }
                }
            }
        }
    }

    #[test]
    fn a_reserved_buffer_does_not_move_and_absurd_sizes_are_refused() {
        let mut x = Activations::new();
        x.try_reserve(ActivationKind::F32, 1024, 8).unwrap();
        let (place, bytes) = (x.storage.as_ptr(), x.bytes());
        assert!(bytes >= 1024 * 8 * 4);
        for kind in KINDS {
            x.prepare(kind, 1024, 8);
            assert_eq!((x.storage.as_ptr(), x.bytes()), (place, bytes));
        }
        assert!(x.try_reserve(ActivationKind::F32, usize::MAX, 2).is_err());
        assert!(x.try_reserve(ActivationKind::Q8x256, usize::MAX / 512, 1).is_err());
        assert_eq!(x.bytes(), bytes);
    }

    #[test]
    fn an_empty_buffer_has_empty_contents() {
        let mut x = Activations::new();
        assert!(x.is_empty() && x.f32s().is_empty());
        x.quantize(Isa::detect(), &Team::new(1), ActivationKind::Q8x256, 256, &[]);
        assert!(x.is_empty() && x.q8x256().is_empty());
    }

    #[test]
    #[should_panic(expected = "another kind")]
    fn contents_of_another_kind_are_refused() {
        quantized(Isa::SCALAR, ActivationKind::F32, &[0.0; 256]).q8x256();
    }
}
