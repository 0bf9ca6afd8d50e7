//! e^x for weights, from multiply and add only: the same bits on every machine, and the compiler can vectorise it.

/// e^x for x <= 0, with a relative error below 3e-7; 0 below -87.
#[inline(always)]
pub(super) fn exp_negative(x: f32) -> f32 {
    // Adding and subtracting 1.5 * 2^23 rounds to an integer without a rounding instruction; the integer is then in the
    // low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, so that n * LN2_HIGH is exact for |n| < 2^9.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x > -87.0 { x } else { -87.0 };
    let shifted = clamped * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    // Degree 6: |r| <= ln(2)/2.
    let mut p = 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127).wrapping_shl(23));
    if x > -87.0 { p * power } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_exact_exponential() {
        for i in 0..870_000 {
            let x = -(i as f32) * 1e-4;
            let exact = libm::exp(f64::from(x));
            let relative = (f64::from(exp_negative(x)) - exact).abs() / exact;
            assert!(relative < 3e-7, "exp({x}): relative error {relative:e}");
        }
        assert_eq!(exp_negative(0.0), 1.0);
        assert_eq!(exp_negative(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp_negative(f32::NAN), 0.0);
    }
}
