//! What a header may hold at most. Real files stay two orders of magnitude below.

/// Bytes of a metadata key.
pub(super) const MAX_KEY_BYTES: u64 = 64 << 10;
/// Bytes of one string.
pub(super) const MAX_STRING_BYTES: u64 = 64 << 20;
/// Bytes of a tensor name, as the format says.
pub(super) const MAX_TENSOR_NAME_BYTES: u64 = 64;
/// Keys of one file. A key costs more memory than its shortest form on disk, so that their number needs a bound.
pub(super) const MAX_KEYS: u64 = 1 << 16;
/// Tensors of one file, bounded for the same reason; DeepSeek-R1 with separate experts has 46,000.
pub(super) const MAX_TENSORS: u64 = 1 << 18;
/// Alignment when the file does not say.
pub(super) const DEFAULT_ALIGNMENT: u64 = 32;
/// Smallest and largest alignment.
pub(super) const ALIGNMENTS: std::ops::RangeInclusive<u64> = 8..=65536;
