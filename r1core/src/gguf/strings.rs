//! Many strings in two allocations.

use std::fmt;

/// An array of strings kept as one text and the end of each string in it.
///
/// A vocabulary of 152,000 tokens is two allocations instead of 152,000.
///
/// ```
/// use r1core::gguf::StringArray;
/// let tokens: StringArray = ["<s>", "", "é"].into_iter().collect();
/// assert_eq!(tokens.len(), 3);
/// assert_eq!(tokens.get(2), Some("é"));
/// assert_eq!(tokens.get(3), None);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StringArray {
    text: String,
    /// `ends[i]` is the end of string `i` in `text`; ascending, each on a character boundary.
    ends: Vec<u32>,
}

impl StringArray {
    pub(super) const EMPTY: Self = Self { text: String::new(), ends: Vec::new() };

    /// Joins a text and the ends of its strings; `Err((i, byte))` when string `i` breaks UTF-8 at that byte of the text.
    ///
    /// The ends are ascending and the last one is the length of the text.
    pub(super) fn from_parts(text: Vec<u8>, ends: Vec<u32>) -> Result<Self, (usize, usize)> {
        debug_assert_eq!(ends.last().map_or(0, |&end| end as usize), text.len());
        match String::from_utf8(text) {
            // A valid whole does not make the pieces valid: a character may straddle two strings.
            Ok(text) => match ends.iter().position(|&end| !text.is_char_boundary(end as usize)) {
                None => Ok(Self { text, ends }),
                Some(i) => {
                    let end = ends.get(i).map_or(0, |&end| end as usize);
                    Err((i, (0..end).rev().find(|&byte| text.is_char_boundary(byte)).unwrap_or(0)))
                }
            },
            Err(error) => {
                let byte = error.utf8_error().valid_up_to();
                Err((ends.partition_point(|&end| end as usize <= byte), byte))
            }
        }
    }

    /// Number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no string.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// String `i`, or `None` past the end.
    pub fn get(&self, i: usize) -> Option<&str> {
        let end = *self.ends.get(i)? as usize;
        let start = match i.checked_sub(1) {
            Some(before) => *self.ends.get(before)? as usize,
            None => 0,
        };
        self.text.get(start..end)
    }

    /// The strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + DoubleEndedIterator + Clone {
        (0..self.len()).map(|i| self.get(i).unwrap_or_default())
    }

    /// Bytes of all strings together.
    pub fn text_len(&self) -> usize {
        self.text.len()
    }
}

/// For building an array in code; panics when the strings exceed 4 GiB together.
impl<S: AsRef<str>> FromIterator<S> for StringArray {
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Self {
        let mut array = Self::default();
        for string in strings {
            array.text.push_str(string.as_ref());
            assert!(array.text.len() <= u32::MAX as usize, "a StringArray holds at most 4 GiB of text");
            array.ends.push(array.text.len() as u32);
        }
        array
    }
}

impl fmt::Debug for StringArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_in_order_with_empty_ones() {
        let array: StringArray = ["a", "", "", "βγ", ""].into_iter().collect();
        assert_eq!(array.iter().collect::<Vec<_>>(), ["a", "", "", "βγ", ""]);
        assert_eq!(array.iter().next_back(), Some(""));
        assert_eq!(array.get(usize::MAX), None);
        assert!(StringArray::default().is_empty());
    }

    #[test]
    fn a_character_across_two_strings_is_refused() {
        assert_eq!(StringArray::from_parts("aé".into(), vec![1, 2, 3]), Err((1, 1)));
        assert!(StringArray::from_parts("aé".into(), vec![1, 3]).is_ok());
    }

    #[test]
    fn the_string_with_the_bad_byte_is_named() {
        assert_eq!(StringArray::from_parts(vec![b'a', b'b', 0xff, b'c'], vec![1, 1, 2, 3, 4]), Err((3, 2)));
        assert_eq!(StringArray::from_parts(vec![0xff], vec![0, 0, 1]), Err((2, 0)));
        assert_eq!(StringArray::from_parts(vec![b'a', 0xc3], vec![1, 2]), Err((1, 1)));
    }
}
