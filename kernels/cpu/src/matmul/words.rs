//! Four bytes of each of 16 rows as 16 words, and their way from the rows' bytes.
//!
//! Everything here is inlined into functions that are compiled for the instruction set.

use std::ops::{BitAnd, BitOr, BitXor, Shl, Shr};

use super::layout::{Halves, Plane, ROWS};

/// A word of each of 16 rows: byte `j` of a word is byte `j` of the row's four. What is done to one is done to all.
pub(super) trait Words:
    Copy
    + BitAnd<u32, Output = Self>
    + BitOr<Output = Self>
    + BitXor<Output = Self>
    + BitXor<u32, Output = Self>
    + Shl<u32, Output = Self>
    + Shr<u32, Output = Self>
{
    /// Writes them as a plane.
    fn store(self, out: &mut Plane);
    /// Writes the low halves of the words.
    fn store_halves(self, out: &mut Halves);
}

/// How an instruction set brings bytes of rows together. All bring the same. A value exists only where the processor has
/// the instruction set.
pub(super) trait Transpose: Copy {
    type Words: Words;

    /// Word `p` of row `r` is bytes `4 p .. 4 p + 4` from `first + offsets[r]`.
    ///
    /// # Safety
    /// 16 bytes can be read there for every row.
    unsafe fn quad(self, first: *const u8, offsets: &[usize; ROWS]) -> [Self::Words; 4];

    /// Two bytes from `first + offsets[r]` of each row `r`.
    ///
    /// # Safety
    /// 2 bytes can be read there for every row.
    unsafe fn halves(self, first: *const u8, offsets: &[usize; ROWS], out: &mut Halves);

    /// Words that are there already.
    fn words(self, words: &Plane) -> Self::Words;
}

/// Plain Rust.
#[derive(Clone, Copy)]
pub(super) struct Plain;

/// The words of [`Plain`].
#[derive(Clone, Copy)]
pub(super) struct Array([u32; ROWS]);

impl Transpose for Plain {
    type Words = Array;

    #[inline(always)]
    unsafe fn quad(self, first: *const u8, offsets: &[usize; ROWS]) -> [Array; 4] {
        let mut words = [Array([0; ROWS]); 4];
        for (r, &offset) in offsets.iter().enumerate() {
            // SAFETY: the caller promises that 16 bytes can be read; an array of bytes needs no alignment.
            let bytes = unsafe { first.add(offset).cast::<[[u8; 4]; 4]>().read() };
            for (words, bytes) in words.iter_mut().zip(bytes) {
                words.0[r] = u32::from_le_bytes(bytes);
            }
        }
        words
    }

    #[inline(always)]
    unsafe fn halves(self, first: *const u8, offsets: &[usize; ROWS], out: &mut Halves) {
        // SAFETY: the caller promises that 2 bytes can be read; an array of bytes needs no alignment.
        *out = offsets.map(|offset| unsafe { first.add(offset).cast::<[u8; 2]>().read() });
    }

    #[inline(always)]
    fn words(self, words: &Plane) -> Array {
        Array(words.map(u32::from_le_bytes))
    }
}

impl Words for Array {
    #[inline(always)]
    fn store(self, out: &mut Plane) {
        *out = self.0.map(u32::to_le_bytes);
    }

    #[inline(always)]
    fn store_halves(self, out: &mut Halves) {
        *out = self.0.map(|word| (word as u16).to_le_bytes());
    }
}

/// Implements the operators of words: `|a, b| expression` each.
macro_rules! operators {
    ($words:ty: $($operator:ident::$method:ident($right:ty) => |$a:ident, $b:ident| $result:expr;)*) => {$(
        impl std::ops::$operator<$right> for $words {
            type Output = $words;
            #[inline(always)]
            fn $method(self, $b: $right) -> $words {
                let $a = self;
                $result
            }
        }
    )*};
}
#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(unused_imports, unused_macros))]
pub(super) use operators;

operators! {
    Array:
    BitAnd::bitand(u32) => |a, mask| Array(a.0.map(|word| word & mask));
    BitOr::bitor(Array) => |a, b| Array(std::array::from_fn(|r| a.0[r] | b.0[r]));
    BitXor::bitxor(Array) => |a, b| Array(std::array::from_fn(|r| a.0[r] ^ b.0[r]));
    BitXor::bitxor(u32) => |a, bits| Array(a.0.map(|word| word ^ bits));
    Shl::shl(u32) => |a, by| Array(a.0.map(|word| word << by));
    Shr::shr(u32) => |a, by| Array(a.0.map(|word| word >> by));
}
