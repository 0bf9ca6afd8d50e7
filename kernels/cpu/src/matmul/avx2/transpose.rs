//! From rows to planes.

use std::arch::x86_64::*;

use crate::format::Octets;
use crate::matmul::gather::Gather;
use crate::matmul::layout::{Halves, Plane, ROWS, Spread, Stacked};
use crate::matmul::strip::Strip;
use crate::matmul::words::{Transpose, Words, operators};

/// Gathers a strip with AVX2.
///
/// # Safety
/// The processor has the features of [`Level::Avx2`](crate::Level::Avx2).
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::matmul) unsafe fn gather<P: Gather>(strip: &Strip<'_, P::Source>, out: &mut [P]) {
    P::gather(Avx2(()), strip, out);
}

/// Spreads a block out.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::matmul) fn spread<B: Octets>(w: &Stacked<B>, out: &mut Spread) {
    out.set(Avx2(()), w);
}

/// Made by [`gather`] and [`spread`] alone, whose caller vouches for the processor.
#[derive(Clone, Copy)]
struct Avx2(());

/// Words that [`Avx2`] made: rows 0..8 and 8..16.
#[derive(Clone, Copy)]
struct Registers(__m256i, __m256i);

impl Transpose for Avx2 {
    type Words = Registers;

    #[inline(always)]
    unsafe fn quad(self, first: *const u8, offsets: &[usize; ROWS]) -> [Registers; 4] {
        // Macros, for a closure would not have the instruction set. Rows r and r + 4, one in each half.
        macro_rules! row {
            ($r:expr) => {
                _mm_loadu_si128(first.add(offsets[$r]).cast())
            };
        }
        macro_rules! two {
            ($r:expr) => {
                _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(row!($r)), row!($r + 4))
            };
        }
        macro_rules! eight {
            ($r:literal) => {{
                let (a, b, c, d) = (two!($r), two!($r + 1), two!($r + 2), two!($r + 3));
                let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
                let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
                [
                    _mm256_unpacklo_epi64(ab_low, cd_low),
                    _mm256_unpackhi_epi64(ab_low, cd_low),
                    _mm256_unpacklo_epi64(ab_high, cd_high),
                    _mm256_unpackhi_epi64(ab_high, cd_high),
                ]
            }};
        }
        // SAFETY: the caller promises 16 readable bytes for each row, and `self` the processor; the loads need no
        // alignment.
        unsafe {
            let (low, high) = (eight!(0), eight!(8));
            [
                Registers(low[0], high[0]),
                Registers(low[1], high[1]),
                Registers(low[2], high[2]),
                Registers(low[3], high[3]),
            ]
        }
    }

    #[inline(always)]
    unsafe fn halves(self, first: *const u8, offsets: &[usize; ROWS], out: &mut Halves) {
        // SAFETY: the caller promises 2 readable bytes for each row, and `self` the processor; the reads need no
        // alignment, and the halves of eight rows are 16 bytes.
        unsafe {
            macro_rules! insert {
                ($into:ident, $from:literal, [$($r:literal)*]) => {
                    $(let half = first.add(offsets[$from + $r]).cast::<i16>().read_unaligned();
                    $into = _mm_insert_epi16::<$r>($into, i32::from(half));)*
                };
            }
            let (mut low, mut high) = (_mm_setzero_si128(), _mm_setzero_si128());
            insert!(low, 0, [0 1 2 3 4 5 6 7]);
            insert!(high, 8, [0 1 2 3 4 5 6 7]);
            _mm_storeu_si128(out.as_mut_ptr().cast(), low);
            _mm_storeu_si128(out[8..].as_mut_ptr().cast(), high);
        }
    }

    #[inline(always)]
    fn words(self, words: &Plane) -> Registers {
        let halves = words.as_chunks::<8>().0;
        // SAFETY: half a plane is 32 bytes, the loads need no alignment; `self` vouches for the processor.
        unsafe {
            Registers(_mm256_loadu_si256(halves[0].as_ptr().cast()), _mm256_loadu_si256(halves[1].as_ptr().cast()))
        }
    }
}

impl Words for Registers {
    #[inline(always)]
    fn store(self, out: &mut Plane) {
        let [low, high] = out.as_chunks_mut::<8>().0 else { unreachable!("16 rows") };
        // SAFETY: half a plane is 32 bytes, the stores need no alignment; `self` vouches for the processor.
        unsafe {
            _mm256_storeu_si256(low.as_mut_ptr().cast(), self.0);
            _mm256_storeu_si256(high.as_mut_ptr().cast(), self.1);
        }
    }

    #[inline(always)]
    fn store_halves(self, out: &mut Halves) {
        // SAFETY: 32 bytes, the store needs no alignment; `self` vouches for the processor.
        unsafe {
            let low = _mm256_set1_epi32(0xffff);
            // Packing works in each half of a register: rows 0..4 and 8..12, then 4..8 and 12..16.
            let halves = _mm256_packus_epi32(_mm256_and_si256(self.0, low), _mm256_and_si256(self.1, low));
            _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm256_permute4x64_epi64::<0b11_01_10_00>(halves));
        }
    }
}

/// Implements operators of both registers; they exist only where the processor has the instruction set.
macro_rules! registers {
    ($($operator:ident::$method:ident($right:ty) => |$a:ident, $b:ident| $low:expr, $high:expr;)*) => {
        operators! {
            Registers:
            $($operator::$method($right) => |$a, $b| {
                // SAFETY: registers are values of the instruction set, so the processor has it.
                unsafe { Registers($low, $high) }
            };)*
        }
    };
}

registers! {
    BitAnd::bitand(u32) => |a, mask|
        _mm256_and_si256(a.0, _mm256_set1_epi32(mask as i32)), _mm256_and_si256(a.1, _mm256_set1_epi32(mask as i32));
    BitOr::bitor(Registers) => |a, b| _mm256_or_si256(a.0, b.0), _mm256_or_si256(a.1, b.1);
    BitXor::bitxor(Registers) => |a, b| _mm256_xor_si256(a.0, b.0), _mm256_xor_si256(a.1, b.1);
    BitXor::bitxor(u32) => |a, bits|
        _mm256_xor_si256(a.0, _mm256_set1_epi32(bits as i32)), _mm256_xor_si256(a.1, _mm256_set1_epi32(bits as i32));
    Shl::shl(u32) => |a, by|
        _mm256_sll_epi32(a.0, _mm_cvtsi32_si128(by as i32)), _mm256_sll_epi32(a.1, _mm_cvtsi32_si128(by as i32));
    Shr::shr(u32) => |a, by|
        _mm256_srl_epi32(a.0, _mm_cvtsi32_si128(by as i32)), _mm256_srl_epi32(a.1, _mm_cvtsi32_si128(by as i32));
}
