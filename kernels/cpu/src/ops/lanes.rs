//! Sixteen virtual lanes, and the compilation of an operation for each instruction set.
//!
//! [`Math`] holds what works lane by lane; [`Lanes`] adds memory and the joins across lanes. Each primitive is one
//! correctly rounded IEEE operation or a bit operation, so that every implementation gives the same bits.

use crate::isa::{Isa, Level};

/// Arithmetic on a vector whose lanes do not interact. Public in name only: the module is private.
pub trait Math: Copy {
    type V: Copy;

    fn splat(self, x: f32) -> Self::V;
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// a * b + c, rounded once.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a` where a > b, else `b`: a NaN in `a` is passed over, one in `b` stays.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `yes` where a <= b, else `no`; `no` where either is NaN.
    fn select_le(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// p * 2^n for the integer n in the low bits of `t`'s significand, by an addition to p's exponent.
    fn add_exponent(self, p: Self::V, t: Self::V) -> Self::V;
}

/// Sixteen lanes.
pub trait Lanes: Math {
    /// How many vectors of sixteen lanes stay in registers beside a broadcast operand.
    const VECTORS: usize;

    fn load(self, from: &[f32; 16]) -> Self::V;
    fn store(self, v: Self::V, to: &mut [f32; 16]);
    fn load_f16(self, from: &[u16; 16]) -> Self::V;
    /// Rounds to nearest, ties to even.
    fn store_f16(self, v: Self::V, to: &mut [u16; 16]);
    /// The half with these bits in every lane.
    fn splat_f16(self, bits: u16) -> Self::V;
    fn load_i8(self, from: &[i8; 16]) -> Self::V;
    /// Rounds to nearest, ties to even, and keeps the low eight bits: for numbers in the range of an `i8`.
    fn store_i8(self, v: Self::V, to: &mut [i8; 16]);
    /// Asks for the cache line at an address that may be read soon; any address will do. Into the second-level cache,
    /// which has more misses in flight than the first.
    fn prefetch(self, at: *const u8);

    /// The first lanes from a slice shorter than 16, the others `rest`.
    #[inline(always)]
    fn load_part(self, from: &[f32], rest: f32) -> Self::V {
        let mut lanes = [rest; 16];
        lanes[..from.len()].copy_from_slice(from);
        self.load(&lanes)
    }

    /// The first lanes to a slice shorter than 16.
    #[inline(always)]
    fn store_part(self, v: Self::V, to: &mut [f32]) {
        let mut lanes = [0.0; 16];
        self.store(v, &mut lanes);
        to.copy_from_slice(&lanes[..to.len()]);
    }

    /// The sum of the lanes: l and l + 8, then 4, 2, 1 apart.
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        let mut lanes = [0.0; 16];
        self.store(v, &mut lanes);
        for half in [8, 4, 2, 1] {
            for l in 0..half {
                lanes[l] += lanes[l + half];
            }
        }
        lanes[0]
    }

    /// The largest lane by the same tree, NaNs passed over where another number is there.
    #[inline(always)]
    fn largest(self, v: Self::V) -> f32 {
        let mut lanes = [0.0; 16];
        self.store(v, &mut lanes);
        for half in [8, 4, 2, 1] {
            for l in 0..half {
                lanes[l] = One.max(lanes[l + half], lanes[l]);
            }
        }
        lanes[0]
    }
}

/// An operation to be compiled for each level. `call` has to be `#[inline(always)]`, and the loops inside must not hide
/// in closures or calls that could stay out of line: they would lose the instruction set.
pub(super) trait Op {
    type Output;

    fn call<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// Runs `op` at the proven level.
#[inline]
pub(super) fn dispatch<O: Op>(isa: Isa, op: O) -> O::Output {
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` of this level exists only on a processor that has these features.
        Level::Avx512 => unsafe { x86::call_avx512(op) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2 => unsafe { x86::call_avx2(op) },
        #[cfg(target_arch = "aarch64")]
        Level::Neon | Level::NeonDot | Level::NeonI8mm => op.call(super::neon::Neon),
        _ => op.call(Plain),
    }
}

/// One lane: the definition of the primitives.
#[derive(Clone, Copy)]
pub(super) struct One;

impl Math for One {
    type V = f32;

    #[inline(always)]
    fn splat(self, x: f32) -> f32 {
        x
    }

    #[inline(always)]
    fn add(self, a: f32, b: f32) -> f32 {
        a + b
    }

    #[inline(always)]
    fn sub(self, a: f32, b: f32) -> f32 {
        a - b
    }

    #[inline(always)]
    fn mul(self, a: f32, b: f32) -> f32 {
        a * b
    }

    #[inline(always)]
    fn div(self, a: f32, b: f32) -> f32 {
        a / b
    }

    #[inline(always)]
    fn fma(self, a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn max(self, a: f32, b: f32) -> f32 {
        if a > b { a } else { b }
    }

    #[inline(always)]
    fn select_le(self, a: f32, b: f32, yes: f32, no: f32) -> f32 {
        if a <= b { yes } else { no }
    }

    #[inline(always)]
    fn add_exponent(self, p: f32, t: f32) -> f32 {
        f32::from_bits(p.to_bits().wrapping_add(t.to_bits() << 23))
    }
}

/// Sixteen lanes in plain Rust.
#[derive(Clone, Copy)]
pub(super) struct Plain;

/// One primitive of [`Plain`], lane by lane.
macro_rules! plain {
    ($name:ident($($arg:ident),*)) => {
        #[inline(always)]
        fn $name(self, $($arg: [f32; 16]),*) -> [f32; 16] {
            let mut out = [0.0; 16];
            for l in 0..16 {
                out[l] = One.$name($($arg[l]),*);
            }
            out
        }
    };
}

impl Math for Plain {
    type V = [f32; 16];

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 16] {
        [x; 16]
    }

    plain!(add(a, b));
    plain!(sub(a, b));
    plain!(mul(a, b));
    plain!(div(a, b));
    plain!(fma(a, b, c));
    plain!(max(a, b));
    plain!(select_le(a, b, yes, no));
    plain!(add_exponent(p, t));
}

impl Lanes for Plain {
    const VECTORS: usize = 8;

    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> [f32; 16] {
        *from
    }

    #[inline(always)]
    fn store(self, v: [f32; 16], to: &mut [f32; 16]) {
        *to = v;
    }

    #[inline(always)]
    fn load_f16(self, from: &[u16; 16]) -> [f32; 16] {
        from.map(|bits| half::f16::from_bits(bits).to_f32())
    }

    #[inline(always)]
    fn store_f16(self, v: [f32; 16], to: &mut [u16; 16]) {
        *to = v.map(|x| half::f16::from_f32(x).to_bits());
    }

    #[inline(always)]
    fn splat_f16(self, bits: u16) -> [f32; 16] {
        [half::f16::from_bits(bits).to_f32(); 16]
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8; 16]) -> [f32; 16] {
        from.map(f32::from)
    }

    #[inline(always)]
    fn store_i8(self, v: [f32; 16], to: &mut [i8; 16]) {
        *to = v.map(|x| x.round_ties_even() as i32 as i8);
    }

    #[inline(always)]
    fn prefetch(self, _: *const u8) {}
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Lanes, Math, Op};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn call_avx2<O: Op>(op: O) -> O::Output {
        op.call(Avx2(()))
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
    pub(super) fn call_avx512<O: Op>(op: O) -> O::Output {
        op.call(Avx512(()))
    }

    /// Exists only inside [`call_avx2`], into which its methods are inlined.
    #[derive(Clone, Copy)]
    pub(super) struct Avx2(());

    /// Exists only inside [`call_avx512`], into which its methods are inlined.
    #[derive(Clone, Copy)]
    pub(super) struct Avx512(());

    /// A primitive of [`Avx2`]: the same intrinsic on both halves.
    macro_rules! avx2 {
        ($name:ident($($arg:ident),*) => $intrinsic:expr) => {
            #[inline(always)]
            fn $name(self, $($arg: [__m256; 2]),*) -> [__m256; 2] {
                // SAFETY: `self` exists only where AVX2 and FMA do.
                unsafe { [$intrinsic($($arg[0]),*), $intrinsic($($arg[1]),*)] }
            }
        };
    }

    impl Math for Avx2 {
        type V = [__m256; 2];

        #[inline(always)]
        fn splat(self, x: f32) -> [__m256; 2] {
            // SAFETY: `self` exists only where AVX2 does.
            unsafe { [_mm256_set1_ps(x); 2] }
        }

        avx2!(add(a, b) => _mm256_add_ps);
        avx2!(sub(a, b) => _mm256_sub_ps);
        avx2!(mul(a, b) => _mm256_mul_ps);
        avx2!(div(a, b) => _mm256_div_ps);
        avx2!(fma(a, b, c) => _mm256_fmadd_ps);
        avx2!(max(a, b) => _mm256_max_ps);

        #[inline(always)]
        fn select_le(self, a: [__m256; 2], b: [__m256; 2], yes: [__m256; 2], no: [__m256; 2]) -> [__m256; 2] {
            // SAFETY: `self` exists only where AVX2 does.
            unsafe {
                [
                    _mm256_blendv_ps(no[0], yes[0], _mm256_cmp_ps::<_CMP_LE_OQ>(a[0], b[0])),
                    _mm256_blendv_ps(no[1], yes[1], _mm256_cmp_ps::<_CMP_LE_OQ>(a[1], b[1])),
                ]
            }
        }

        #[inline(always)]
        fn add_exponent(self, p: [__m256; 2], t: [__m256; 2]) -> [__m256; 2] {
            // SAFETY: `self` exists only where AVX2 does.
            unsafe {
                let n = [
                    _mm256_slli_epi32::<23>(_mm256_castps_si256(t[0])),
                    _mm256_slli_epi32::<23>(_mm256_castps_si256(t[1])),
                ];
                [
                    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p[0]), n[0])),
                    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p[1]), n[1])),
                ]
            }
        }
    }

    impl Lanes for Avx2 {
        // Two registers each, of sixteen.
        const VECTORS: usize = 7;

        #[inline(always)]
        fn load(self, from: &[f32; 16]) -> [__m256; 2] {
            // SAFETY: `self` exists only where AVX2 does; both reads lie inside the array.
            unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))] }
        }

        #[inline(always)]
        fn store(self, v: [__m256; 2], to: &mut [f32; 16]) {
            // SAFETY: `self` exists only where AVX2 does; both writes lie inside the array.
            unsafe {
                _mm256_storeu_ps(to.as_mut_ptr(), v[0]);
                _mm256_storeu_ps(to.as_mut_ptr().add(8), v[1]);
            }
        }

        #[inline(always)]
        fn load_f16(self, from: &[u16; 16]) -> [__m256; 2] {
            // SAFETY: `self` exists only where AVX2 and F16C do; both reads lie inside the array.
            unsafe {
                let p = from.as_ptr().cast::<__m128i>();
                [_mm256_cvtph_ps(_mm_loadu_si128(p)), _mm256_cvtph_ps(_mm_loadu_si128(p.add(1)))]
            }
        }

        #[inline(always)]
        fn store_f16(self, v: [__m256; 2], to: &mut [u16; 16]) {
            // SAFETY: `self` exists only where AVX2 and F16C do; both writes lie inside the array.
            unsafe {
                let p = to.as_mut_ptr().cast::<__m128i>();
                _mm_storeu_si128(p, _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v[0]));
                _mm_storeu_si128(p.add(1), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v[1]));
            }
        }

        #[inline(always)]
        fn splat_f16(self, bits: u16) -> [__m256; 2] {
            // SAFETY: `self` exists only where AVX2 and F16C do.
            unsafe { [_mm256_cvtph_ps(_mm_set1_epi16(bits.cast_signed())); 2] }
        }

        #[inline(always)]
        fn load_i8(self, from: &[i8; 16]) -> [__m256; 2] {
            // SAFETY: `self` exists only where AVX2 does; the read is the whole array.
            unsafe {
                let bytes = _mm_loadu_si128(from.as_ptr().cast());
                [
                    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
                    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes))),
                ]
            }
        }

        #[inline(always)]
        fn store_i8(self, v: [__m256; 2], to: &mut [i8; 16]) {
            // SAFETY: `self` exists only where AVX2 does; each write is half of the array. Conversions round to nearest
            // even, the mode that Rust keeps the processor in.
            unsafe {
                for (half, v) in to.as_chunks_mut::<8>().0.iter_mut().zip(v) {
                    let low = _mm256_shuffle_epi8(
                        _mm256_cvtps_epi32(v),
                        _mm256_set1_epi64x(0x8080_8080_0c08_0400u64.cast_signed()),
                    );
                    let bytes = _mm_unpacklo_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256::<1>(low));
                    _mm_storel_epi64(half.as_mut_ptr().cast(), bytes);
                }
            }
        }

        #[inline(always)]
        fn prefetch(self, at: *const u8) {
            // SAFETY: a prefetch reads nothing and never faults.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
        }
    }

    /// A primitive of [`Avx512`].
    macro_rules! avx512 {
        ($name:ident($($arg:ident),*) => $intrinsic:expr) => {
            #[inline(always)]
            fn $name(self, $($arg: __m512),*) -> __m512 {
                // SAFETY: `self` exists only where AVX-512 F does.
                unsafe { $intrinsic($($arg),*) }
            }
        };
    }

    impl Math for Avx512 {
        type V = __m512;

        #[inline(always)]
        fn splat(self, x: f32) -> __m512 {
            // SAFETY: `self` exists only where AVX-512 F does.
            unsafe { _mm512_set1_ps(x) }
        }

        avx512!(add(a, b) => _mm512_add_ps);
        avx512!(sub(a, b) => _mm512_sub_ps);
        avx512!(mul(a, b) => _mm512_mul_ps);
        avx512!(div(a, b) => _mm512_div_ps);
        avx512!(fma(a, b, c) => _mm512_fmadd_ps);
        avx512!(max(a, b) => _mm512_max_ps);

        #[inline(always)]
        fn select_le(self, a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
            // SAFETY: `self` exists only where AVX-512 F does.
            unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b), no, yes) }
        }

        #[inline(always)]
        fn add_exponent(self, p: __m512, t: __m512) -> __m512 {
            // SAFETY: `self` exists only where AVX-512 F does.
            unsafe {
                let n = _mm512_slli_epi32::<23>(_mm512_castps_si512(t));
                _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), n))
            }
        }
    }

    impl Lanes for Avx512 {
        // Of 32 registers.
        const VECTORS: usize = 30;

        #[inline(always)]
        fn load(self, from: &[f32; 16]) -> __m512 {
            // SAFETY: `self` exists only where AVX-512 F does; the read is the whole array.
            unsafe { _mm512_loadu_ps(from.as_ptr()) }
        }

        #[inline(always)]
        fn store(self, v: __m512, to: &mut [f32; 16]) {
            // SAFETY: `self` exists only where AVX-512 F does; the write is the whole array.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), v) }
        }

        #[inline(always)]
        fn load_f16(self, from: &[u16; 16]) -> __m512 {
            // SAFETY: `self` exists only where AVX-512 F does; the read is the whole array.
            unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())) }
        }

        #[inline(always)]
        fn store_f16(self, v: __m512, to: &mut [u16; 16]) {
            // SAFETY: `self` exists only where AVX-512 F does; the write is the whole array.
            unsafe {
                let halves = _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v);
                _mm256_storeu_si256(to.as_mut_ptr().cast(), halves);
            }
        }

        #[inline(always)]
        fn splat_f16(self, bits: u16) -> __m512 {
            // SAFETY: `self` exists only where AVX-512 F and AVX2 do.
            unsafe { _mm512_cvtph_ps(_mm256_set1_epi16(bits.cast_signed())) }
        }

        #[inline(always)]
        fn load_i8(self, from: &[i8; 16]) -> __m512 {
            // SAFETY: `self` exists only where AVX-512 F does; the read is the whole array.
            unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.as_ptr().cast()))) }
        }

        #[inline(always)]
        fn store_i8(self, v: __m512, to: &mut [i8; 16]) {
            // SAFETY: `self` exists only where AVX-512 F does; the write is the whole array. The conversion rounds to
            // nearest even, the mode that Rust keeps the processor in.
            unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v))) }
        }

        #[inline(always)]
        fn prefetch(self, at: *const u8) {
            // SAFETY: a prefetch reads nothing and never faults.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
        }
    }
}

/// `x = f(x)` on a slice, sixteen at a time; the last lanes see zeros.
macro_rules! map_lanes {
    ($lanes:expr, $x:expr, |$v:ident| $result:expr) => {{
        let (whole, part) = $x.as_chunks_mut::<16>();
        for x in whole {
            let $v = $lanes.load(x);
            $lanes.store($result, x);
        }
        if !part.is_empty() {
            let $v = $lanes.load_part(part, 0.0);
            $lanes.store_part($result, part);
        }
    }};
}

/// `x = f(x, y)` on two slices of one length, sixteen at a time; the last lanes see zeros.
macro_rules! zip_lanes {
    ($lanes:expr, $x:expr, $y:expr, |$v:ident, $w:ident| $result:expr) => {{
        let ((whole, part), (ys, y_part)) = ($x.as_chunks_mut::<16>(), $y.as_chunks::<16>());
        for (x, y) in whole.iter_mut().zip(ys) {
            let ($v, $w) = ($lanes.load(x), $lanes.load(y));
            $lanes.store($result, x);
        }
        if !part.is_empty() {
            let ($v, $w) = ($lanes.load_part(part, 0.0), $lanes.load_part(y_part, 0.0));
            $lanes.store_part($result, part);
        }
    }};
}

pub(super) use {map_lanes, zip_lanes};
