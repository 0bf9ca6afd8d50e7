//! Activations in the form that a product reads: quantised once, used by every row of a matrix.
//!
//! The scalar code in this file defines the result; the AVX2, AVX-512 and NEON versions equal it bit for bit.
//! A block that holds a NaN or an infinity gets a NaN scale and zero codes, so that every product with it is NaN on
//! every instruction set and the fault can be seen downstream instead of vanishing in a cast.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(test)]
mod tests;

use crate::isa::{Isa, Level};
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
    /// Sums of 32 consecutive codes in the order in which packed minimums lie: groups 0 and 2, 1 and 3, 4 and 6, 5 and 7.
    pub pairs: [[i16; 2]; 4],
}

const _: () = assert!(size_of::<Q8x32>() == 40 && size_of::<Q8x256>() == 308);

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
            #[cfg(target_arch = "aarch64")]
            Level::Neon | Level::NeonDot | Level::NeonI8mm => neon::q8x32(blocks),
            _ => blocks.for_each(|(x, out)| *out = Q8x32::quantize(x)),
        }
    }
}

// SAFETY: `repr(C)`, 256 + 4 + 32 + 16 = 308 bytes of plain numbers.
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
            #[cfg(target_arch = "aarch64")]
            Level::Neon | Level::NeonDot | Level::NeonI8mm => neon::q8x256(blocks),
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
        Q8x256 { qs: [0; 256], d, sums: [0; 16], pairs: [[0; 2]; 4] }
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
                Q8x256 { qs, d: 1.0 / scale, sums, pairs: pairs(&sums) }
            }
        }
    }
}

/// The sums of 32 codes from those of 16; see [`Q8x256::pairs`].
#[inline]
fn pairs(sums: &[i16; 16]) -> [[i16; 2]; 4] {
    let group = |g: usize| sums[2 * g] + sums[2 * g + 1];
    [[0, 2], [1, 3], [4, 6], [5, 7]].map(|pair| pair.map(group))
}
