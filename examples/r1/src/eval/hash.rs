//! A short name for a text: the same on every machine and in every version.

/// FNV-1a, 64 bits, in hexadecimal.
pub(super) fn name(parts: &[&[u8]]) -> String {
    let mut hash = 0xCBF2_9CE4_8422_2325u64;
    let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    for part in parts {
        // Lengths keep ("ab", "c") and ("a", "bc") apart.
        (part.len() as u64).to_le_bytes().into_iter().chain(part.iter().copied()).for_each(&mut eat);
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn names_tell_texts_apart_and_never_change() {
        assert_ne!(name(&[b"ab", b"c"]), name(&[b"a", b"bc"]));
        assert_eq!(name(&[]), "cbf29ce484222325");
        assert_eq!(name(&[b""]), "a8c7f832281a39c5");
    }
}
