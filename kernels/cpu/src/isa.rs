//! The one place that asks the processor what it can do.

/// The instruction sets that kernels are written for, slowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Plain Rust for any processor: the definition of every result.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C (2013 and later).
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL, DQ and VNNI (2019 and later), besides everything in [`Level::Avx2`].
    Avx512,
    /// Any 64-bit ARM: NEON.
    Neon,
    /// 64-bit ARM with `dotprod` (2018 and later): dot products of bytes, besides [`Level::Neon`].
    NeonDot,
    /// 64-bit ARM with `i8mm` (2021 and later): products of matrices of bytes, besides [`Level::NeonDot`].
    NeonI8mm,
}

/// Proof that this processor runs a [`Level`]: a value of this type exists only after the check, which is what the
/// `unsafe` calls of vector kernels rely on. All levels give the same bits; they differ in speed only.
///
/// ```
/// use r1_kernels::Isa;
/// let isa = Isa::detect();
/// assert_eq!(Isa::from_name(isa.name()), Some(isa));
/// assert!(Isa::available().any(|i| i == Isa::SCALAR));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Isa(Level);

impl Level {
    /// Every level, slowest first.
    pub const ALL: [Level; 6] =
        [Level::Scalar, Level::Avx2, Level::Avx512, Level::Neon, Level::NeonDot, Level::NeonI8mm];

    /// The name that options and the environment use: `scalar`, `avx2`, `avx512`, `neon`, `neon-dotprod`, `neon-i8mm`.
    pub fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Neon => "neon",
            Level::NeonDot => "neon-dotprod",
            Level::NeonI8mm => "neon-i8mm",
        }
    }

    /// Whether this processor runs it. The standard library caches the processor query.
    pub fn is_available(self) -> bool {
        match self {
            Level::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => {
                Level::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Level::Avx2 | Level::Avx512 => false,
            #[cfg(target_arch = "aarch64")]
            Level::Neon => true,
            #[cfg(target_arch = "aarch64")]
            Level::NeonDot => std::arch::is_aarch64_feature_detected!("dotprod"),
            #[cfg(target_arch = "aarch64")]
            Level::NeonI8mm => Level::NeonDot.is_available() && std::arch::is_aarch64_feature_detected!("i8mm"),
            #[cfg(not(target_arch = "aarch64"))]
            Level::Neon | Level::NeonDot | Level::NeonI8mm => false,
        }
    }
}

impl Isa {
    /// Plain Rust, available everywhere.
    pub const SCALAR: Isa = Isa(Level::Scalar);

    /// The fastest level of this processor.
    pub fn detect() -> Isa {
        Isa::available().last().unwrap_or(Isa::SCALAR)
    }

    /// The levels of this processor, slowest first.
    pub fn available() -> impl Iterator<Item = Isa> {
        Level::ALL.into_iter().filter_map(Isa::new)
    }

    /// The proof for `level`, or `None` where this processor lacks it.
    pub fn new(level: Level) -> Option<Isa> {
        level.is_available().then_some(Isa(level))
    }

    /// The level of that name, or `None` where there is no such name or this processor lacks it.
    pub fn from_name(name: &str) -> Option<Isa> {
        Level::ALL.into_iter().find(|level| level.name() == name).and_then(Isa::new)
    }

    /// The level that is proven.
    pub fn level(self) -> Level {
        self.0
    }

    /// The level's name, as [`Level::name`].
    pub fn name(self) -> &'static str {
        self.0.name()
    }
}
