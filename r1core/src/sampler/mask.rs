//! Sets of tokens.

const BITS: usize = u64::BITS as usize;

/// A set of tokens out of a vocabulary: those that may come. One bit for each.
///
/// ```
/// use r1core::sampler::TokenMask;
/// let mut mask = TokenMask::none(100);
/// mask.allow(7);
/// assert!(mask.contains(7) && !mask.contains(8));
/// assert_eq!(mask.iter().collect::<Vec<_>>(), [7]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenMask {
    /// Bits from `len` on are 0.
    words: Vec<u64>,
    len: usize,
}

impl TokenMask {
    /// No token of a vocabulary of `len`.
    pub fn none(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(BITS)], len }
    }

    /// Every token of a vocabulary of `len`.
    pub fn all(len: usize) -> Self {
        let mut mask = Self { words: vec![u64::MAX; len.div_ceil(BITS)], len };
        mask.trim();
        mask
    }

    /// Tokens of the vocabulary.
    #[allow(clippy::len_without_is_empty, reason = "it is the vocabulary's length, not the set's")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Takes a token in; one outside the vocabulary is ignored.
    pub fn allow(&mut self, id: u32) {
        self.set(id, true);
    }

    /// Takes a token out; one outside the vocabulary is ignored.
    pub fn forbid(&mut self, id: u32) {
        self.set(id, false);
    }

    /// Takes a token in or out; one outside the vocabulary is ignored.
    pub fn set(&mut self, id: u32, allowed: bool) {
        let id = id as usize;
        if id >= self.len {
            return;
        }
        if let Some(word) = self.words.get_mut(id / BITS) {
            let bit = 1 << (id % BITS);
            *word = if allowed { *word | bit } else { *word & !bit };
        }
    }

    /// Takes every token out.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Whether a token is in the set; one outside the vocabulary is not.
    pub fn contains(&self, id: u32) -> bool {
        let id = id as usize;
        self.words.get(id / BITS).is_some_and(|word| word >> (id % BITS) & 1 == 1)
    }

    /// How many tokens are in the set.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether no token is in the set.
    pub fn is_none(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Keeps only what `other` has, too.
    pub fn intersect(&mut self, other: &TokenMask) {
        let others = other.words.iter().copied().chain(std::iter::repeat(0));
        for (word, other) in self.words.iter_mut().zip(others) {
            *word &= other;
        }
    }

    /// Becomes what bits say that come in words of 32, the lowest first; bits that are missing are 0. Allocates nothing.
    pub fn copy_bits(&mut self, bits: &[u32]) {
        let mut pairs = bits.chunks(2).map(|pair| {
            let word = |i: usize| u64::from(pair.get(i).copied().unwrap_or(0));
            word(0) | word(1) << 32
        });
        self.words.fill_with(|| pairs.next().unwrap_or(0));
        self.trim();
    }

    /// The tokens of the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.words.iter().enumerate().flat_map(|(i, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some((i * BITS) as u32 + bit)
            })
        })
    }

    /// Makes `out` a copy of the logits in which every token outside the set is impossible. One pass.
    pub(super) fn copy(&self, logits: &[f32], out: &mut Vec<f32>) {
        out.clear();
        out.resize(logits.len(), f32::NEG_INFINITY);
        // Past the last word nothing is allowed.
        for ((to, from), &word) in out.chunks_mut(BITS).zip(logits.chunks(BITS)).zip(&self.words) {
            match word {
                0 => {}
                u64::MAX => to.copy_from_slice(from),
                _ => {
                    let bytes = word.to_le_bytes();
                    let (octets, rest) = to.as_chunks_mut::<8>();
                    for ((to, from), byte) in octets.iter_mut().zip(from.as_chunks::<8>().0).zip(bytes) {
                        select(to, from, byte);
                    }
                    let last = bytes.get(octets.len()).copied().unwrap_or(0);
                    for (i, (to, from)) in rest.iter_mut().zip(from.as_chunks::<8>().1).enumerate() {
                        *to = if last >> i & 1 == 1 { *from } else { f32::NEG_INFINITY };
                    }
                }
            }
        }
    }

    /// The bits past the vocabulary become 0.
    fn trim(&mut self) {
        if let Some(last) = self.words.last_mut()
            && !self.len.is_multiple_of(BITS)
        {
            *last &= (1 << (self.len % BITS)) - 1;
        }
    }
}

/// Eight logits at a time. A comparison with fixed bits and two ANDs vectorise; a branch for each would be mispredicted
/// half of the time.
#[inline(always)]
fn select(to: &mut [f32; 8], from: &[f32; 8], byte: u8) {
    const BIT: [u32; 8] = [1, 2, 4, 8, 16, 32, 64, 128];
    let none = f32::NEG_INFINITY.to_bits();
    for i in 0..8 {
        let allowed = u32::from(u32::from(byte) & BIT[i] != 0).wrapping_neg();
        to[i] = f32::from_bits((from[i].to_bits() & allowed) | (none & !allowed));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_mask_is_a_set_of_tokens(
            len in 0usize..300,
            acts in prop::collection::vec((0u32..320, any::<bool>()), 0..80),
            other in prop::collection::vec(0u32..320, 0..80),
            full in any::<bool>(),
        ) {
            let mut mask = if full { TokenMask::all(len) } else { TokenMask::none(len) };
            let mut set: BTreeSet<u32> = if full { (0..len as u32).collect() } else { BTreeSet::new() };
            for (id, allowed) in acts {
                mask.set(id, allowed);
                if !allowed {
                    set.remove(&id);
                } else if (id as usize) < len {
                    set.insert(id);
                }
            }
            let same = |mask: &TokenMask, set: &BTreeSet<u32>| {
                mask.iter().eq(set.iter().copied())
                    && (0..400).all(|id| mask.contains(id) == set.contains(&id))
                    && (mask.count(), mask.is_none()) == (set.len(), set.is_empty())
            };
            prop_assert!(same(&mask, &set));

            let logits: Vec<f32> = (0..310).map(|i| i as f32).collect();
            let mut masked = vec![1.0; 3];
            mask.copy(&logits, &mut masked);
            let possible = masked.iter().enumerate().filter(|(_, logit)| **logit > f32::NEG_INFINITY);
            prop_assert!(possible.map(|(i, logit)| (i as u32, *logit)).eq(set.iter().map(|id| (*id, *id as f32))));
            prop_assert_eq!(masked.len(), logits.len());

            let mut others = TokenMask::none(320);
            other.iter().for_each(|id| others.allow(*id));
            mask.intersect(&others);
            set.retain(|id| other.contains(id));
            prop_assert!(same(&mask, &set));
        }

        #[test]
        fn bits_are_read_as_they_are_numbered(len in 0usize..200, bits in prop::collection::vec(any::<u32>(), 0..9)) {
            let mut mask = TokenMask::all(len);
            mask.copy_bits(&bits);
            let bit = |id: u32| bits.get(id as usize / 32).is_some_and(|word| word >> (id % 32) & 1 == 1);
            prop_assert!((0..400).all(|id| mask.contains(id) == (bit(id) && (id as usize) < len)));
        }
    }
}
