//! Quantised block formats and CPU arithmetic for r1core: bytes in, floats out.
//!
//! A leaf: knows blocks, rows and threads, nothing of models, files or tokens.
//!
//! **Same bits everywhere.** The scalar code defines every result; the AVX2, AVX-512 and NEON versions equal it bit for
//! bit, whatever the number of columns, rows a thread or tiles. Integer sums inside a block are exact; floats are added by
//! fused multiply-adds in one fixed order; reductions follow fixed trees.
//!
//! **Instruction sets.** x86-64 has kernels for AVX2 and for AVX-512 with VNNI. 64-bit ARM has kernels in NEON, which all
//! of them have, in three kinds that differ in how bytes are multiplied: `sdot` (`dotprod`: most phones and servers from
//! 2018 on), `smmla` (`i8mm`: Apple from the M2, Graviton 3, phones from 2022 on) and, for older ones, multiplications to
//! 16 bits. They read the same packed weights as x86-64, for every format; norms, attention and quantisation use NEON
//! as well. [`Isa::detect`] chooses at run time. ARM is tested in an emulator (`tests/arm64.sh run`), its speed is not
//! measured.
//!
//! | room | turns |
//! |---|---|
//! | [`Isa`] | the processor into a proof of what it can run |
//! | [`format`](mod@format) | a tensor type into its block layout and its dequantised values |
//! | [`Activations`] | rows of floats into the quantised form that products read |
//! | [`Matrix`], [`matmul`] | weights into a packed layout, and products with them |
//! | [`ops`] | norms, rotations, gates, attention |
//! | [`limits`] | the machine into the most that it could do |
//! | [`Team`] | small tasks into work for a few threads |

mod activation;
pub mod format;
mod isa;
pub mod limits;
mod matmul;
#[cfg(target_arch = "aarch64")]
mod neon;
pub mod ops;
mod pace;
mod team;
mod thread_start;

pub use activation::{ActivationKind, Activations, Q8x32, Q8x256};
pub use format::{Format, type_name};
pub use isa::{Isa, Level};
pub use matmul::{Job, Matrix, PackError, Packer, SharedBytes, dot_row, matmul, matmul_group};
pub use team::Team;
pub use thread_start::ThreadStart;
