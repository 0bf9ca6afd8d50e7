//! What the machine can do at most.

use r1_kernels::{Isa, Team, limits};

use crate::device::default_threads;

/// Rates that no program on the machine's processors exceeds, measured now: what reading the weights costs a decoded token,
/// and what multiplying them costs a prompt's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MachineLimits {
    /// Bytes a second read from memory.
    pub read: f64,
    /// Multiply-adds of 8-bit integers a second; `None` where it is not measured (only x86-64 is).
    pub products: Option<f64>,
}

impl MachineLimits {
    /// Measures with `threads` threads, one for each processor where `None`. Takes 256 MB of memory and a fraction of a
    /// second; other work on the machine lowers the figures.
    ///
    /// ```
    /// let limits = r1core::MachineLimits::measure(Some(2));
    /// println!("a model that reads 1 GB a token: {:.0} tokens a second at most", limits.read / 1e9);
    /// ```
    pub fn measure(threads: Option<usize>) -> MachineLimits {
        let team = Team::new(threads.unwrap_or_else(default_threads));
        MachineLimits { read: limits::read_bandwidth(&team), products: limits::int8_products(Isa::detect(), &team) }
    }
}
