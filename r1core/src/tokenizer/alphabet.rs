//! The byte alphabet of byte-level BPE vocabularies: each of the 256 bytes written as one printable character.
//!
//! Bytes 0x21-0x7E, 0xA1-0xAC and 0xAE-0xFF stand for themselves as code points; the other 68, in ascending order,
//! are written as U+0100, U+0101, ... (so a space is U+0120). Defined by GPT-2's tokenizer (OpenAI, 2019).

/// Code point that follows the last one of the alphabet.
const END: usize = 0x100 + 68;

/// The byte that each code point below [`END`] stands for.
const BYTES: [Option<u8>; END] = build();

const fn build() -> [Option<u8>; END] {
    let mut bytes = [None; END];
    let mut next = 0x100;
    let mut byte = 0usize;
    while byte < 256 {
        let code = match byte {
            0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => byte,
            _ => {
                next += 1;
                next - 1
            }
        };
        bytes[code] = Some(byte as u8);
        byte += 1;
    }
    bytes
}

/// The byte a character stands for, or `None` when it is not in the alphabet.
fn byte(character: char) -> Option<u8> {
    BYTES.get(character as usize).copied().flatten()
}

/// Appends the bytes that `text` stands for; `false`, with `out` unchanged, when a character is not in the alphabet.
pub(super) fn decode(text: &str, out: &mut Vec<u8>) -> bool {
    let before = out.len();
    for character in text.chars() {
        let Some(byte) = byte(character) else {
            out.truncate(before);
            return false;
        };
        out.push(byte);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_character() {
        let mut seen = [0; 256];
        BYTES.iter().flatten().for_each(|&b| seen[b as usize] += 1);
        assert_eq!(seen, [1; 256]);
        let mut out = Vec::new();
        assert!(decode("ĠHi!Ċ¡ÿ", &mut out));
        assert_eq!(out, b" Hi!\n\xA1\xFF");
    }

    #[test]
    fn other_characters_leave_the_output_alone() {
        let mut out = vec![7];
        assert!(!decode("ab｜", &mut out) && !decode(" ", &mut out) && !decode("\u{144}", &mut out));
        assert_eq!(out, [7]);
    }
}
