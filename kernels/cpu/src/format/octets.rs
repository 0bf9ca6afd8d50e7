//! What the IQ formats with grids and the ternary formats have in common: their codes come by eights.

use super::Block;

/// A block of 256 values that unfolds to eight signed codes at a time: value `i` is `d * scales[i / 16] * code`, which
/// is exact in f32.
pub trait Octets: Block {
    /// Scale of the scales, an f16 times a power of two.
    fn d(&self) -> f32;

    /// Scales of groups of 16 values, 1..=31.
    fn scales(&self) -> [u8; 16];

    /// Codes in the order of the values, -62..=62, plus [`BIASED_ZERO`].
    fn octets(&self, out: &mut [[u8; 8]; 32]);
}

/// What codes of [`Octets`] are too large by, so that they multiply as unsigned bytes and no operation on eight of them
/// carries from one to the next.
pub const BIASED_ZERO: u8 = 64;

/// One in every byte.
pub(super) const ONES: u64 = u64::from_le_bytes([1; 8]);

/// Turns over the codes whose bits are set in `signs`.
#[inline(always)]
pub(super) fn negate(codes: u64, signs: u8) -> u64 {
    negate_under(codes, MASKS[usize::from(signs)])
}

/// As [`negate`], for the low seven bits of `signs` and an eighth that makes the number of set bits even.
#[inline(always)]
pub(super) fn negate_evenly(codes: u64, signs: u32) -> u64 {
    negate_under(codes, EVEN_MASKS[(signs & 127) as usize])
}

/// `128 - code` is what `code` is with the other sign; its bits are those of `code` turned over, plus one.
#[inline(always)]
fn negate_under(codes: u64, mask: u64) -> u64 {
    (codes ^ mask) + (mask & ONES)
}

/// The low seven bits of byte `j` where bit `j` of the index is set.
static MASKS: [u64; 256] = masks(false);

/// As [`MASKS`], with the eighth bit that makes their number even.
static EVEN_MASKS: [u64; 128] = masks(true);

const fn masks<const N: usize>(even: bool) -> [u64; N] {
    let mut masks = [0; N];
    let mut i = 0;
    while i < N {
        let signs = if even { i as u32 | (i.count_ones() % 2) << 7 } else { i as u32 };
        let mut j = 0;
        while j < 8 {
            masks[i] |= ((signs >> j) as u64 & 1) * (0x7f << (8 * j));
            j += 1;
        }
        i += 1;
    }
    masks
}

/// Scales `2 n + 1` of groups of 32 values.
pub(super) fn odd_scales(n: impl Fn(usize) -> u8) -> [u8; 16] {
    std::array::from_fn(|group| 2 * n(group / 2) + 1)
}

/// Nibble `n`, the low one of a byte first.
pub(super) fn nibble(bytes: &[u8], n: usize) -> u8 {
    (bytes[n / 2] >> (4 * (n % 2))) & 15
}

/// [`Block::dequantize`] of such a block.
pub(super) fn dequantize<B: Octets>(block: &B, out: &mut [f32]) {
    let (d, scales) = (block.d(), block.scales());
    let mut codes = [[0; 8]; 32];
    block.octets(&mut codes);
    for ((out, codes), scale) in out.chunks_exact_mut(16).zip(codes.as_flattened().chunks_exact(16)).zip(scales) {
        let scale = d * f32::from(scale);
        for (out, &code) in out.iter_mut().zip(codes) {
            *out = scale * (f32::from(code) - f32::from(BIASED_ZERO));
        }
    }
}
