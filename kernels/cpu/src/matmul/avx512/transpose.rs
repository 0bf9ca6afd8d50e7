//! From rows to planes.

use std::arch::x86_64::*;

use crate::matmul::gather::Gather;
use crate::matmul::layout::{Halves, Plane, ROWS};
use crate::matmul::strip::Strip;
use crate::matmul::words::{Transpose, Words, operators};

/// Gathers a strip with AVX-512.
///
/// # Safety
/// The processor has the features of [`Level::Avx512`](crate::Level::Avx512).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(in crate::matmul) unsafe fn gather<P: Gather>(strip: &Strip<'_, P::Source>, out: &mut [P]) {
    P::gather(Avx512(()), strip, out);
}

/// Made by [`gather`] alone, whose caller vouches for the processor.
#[derive(Clone, Copy)]
struct Avx512(());

/// Words that [`Avx512`] made.
#[derive(Clone, Copy)]
struct Register(__m512i);

impl Transpose for Avx512 {
    type Words = Register;

    #[inline(always)]
    unsafe fn quad(self, first: *const u8, offsets: &[usize; ROWS]) -> [Register; 4] {
        // Macros, for a closure would not have the instruction set. Rows r, r + 4, r + 8 and r + 12, one in each quarter.
        // A load that broadcasts under a mask costs no shuffle; an insertion does.
        macro_rules! row {
            ($r:expr) => {
                _mm_loadu_si128(first.add(offsets[$r]).cast())
            };
        }
        macro_rules! four {
            ($r:literal) => {{
                let rows = _mm512_mask_broadcast_i32x4(_mm512_castsi128_si512(row!($r)), 0x00f0, row!($r + 4));
                let rows = _mm512_mask_broadcast_i32x4(rows, 0x0f00, row!($r + 8));
                _mm512_mask_broadcast_i32x4(rows, 0xf000, row!($r + 12))
            }};
        }
        // SAFETY: the caller promises 16 readable bytes for each row, and `self` the processor; the loads need no
        // alignment.
        unsafe {
            let (a, b, c, d) = (four!(0), four!(1), four!(2), four!(3));
            let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
            [
                Register(_mm512_unpacklo_epi64(ab_low, cd_low)),
                Register(_mm512_unpackhi_epi64(ab_low, cd_low)),
                Register(_mm512_unpacklo_epi64(ab_high, cd_high)),
                Register(_mm512_unpackhi_epi64(ab_high, cd_high)),
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
    fn words(self, words: &Plane) -> Register {
        // SAFETY: a plane is 64 bytes, the load needs no alignment; `self` vouches for the processor.
        Register(unsafe { _mm512_loadu_si512(words.as_ptr().cast()) })
    }
}

impl Words for Register {
    #[inline(always)]
    fn store(self, out: &mut Plane) {
        // SAFETY: a plane is 64 bytes, the store needs no alignment; `self` vouches for the processor.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), self.0) };
    }

    #[inline(always)]
    fn store_halves(self, out: &mut Halves) {
        // SAFETY: 32 bytes, the store needs no alignment; `self` vouches for the processor.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(self.0)) };
    }
}

/// Implements operators; registers exist only where the processor has the instruction set.
macro_rules! register {
    ($($operator:ident::$method:ident($right:ty) => |$a:ident, $b:ident| $result:expr;)*) => {
        operators! {
            Register:
            $($operator::$method($right) => |$a, $b| {
                // SAFETY: a register is a value of the instruction set, so the processor has it.
                Register(unsafe { $result })
            };)*
        }
    };
}

register! {
    BitAnd::bitand(u32) => |a, mask| _mm512_and_si512(a.0, _mm512_set1_epi32(mask as i32));
    BitOr::bitor(Register) => |a, b| _mm512_or_si512(a.0, b.0);
    BitXor::bitxor(Register) => |a, b| _mm512_xor_si512(a.0, b.0);
    BitXor::bitxor(u32) => |a, bits| _mm512_xor_si512(a.0, _mm512_set1_epi32(bits as i32));
    Shl::shl(u32) => |a, by| _mm512_sll_epi32(a.0, _mm_cvtsi32_si128(by as i32));
    Shr::shr(u32) => |a, by| _mm512_srl_epi32(a.0, _mm_cvtsi32_si128(by as i32));
}
