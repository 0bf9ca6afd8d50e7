//! What this build can run on.

use r1_kernels::Isa;

/// Something that models can run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// `cpu`.
    pub name: &'static str,
    /// The kernels that run by default.
    pub kernels: &'static str,
    /// All kernels that run here, slowest first.
    pub available: Vec<&'static str>,
    /// Threads that a session takes by default.
    pub threads: usize,
}

impl Device {
    /// Every device of this machine that this build can use.
    ///
    /// ```
    /// let devices = r1core::Device::list();
    /// assert_eq!(devices[0].name, "cpu");
    /// ```
    pub fn list() -> Vec<Device> {
        vec![Device {
            name: "cpu",
            kernels: Isa::detect().name(),
            available: Isa::available().map(Isa::name).collect(),
            threads: default_threads(),
        }]
    }
}

/// Threads that work where the host names no number: one for each processor that the system offers.
pub(crate) fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}
