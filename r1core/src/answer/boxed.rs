//! The last `\boxed{...}` of a text.

/// The content of the last complete, non-blank `\boxed{...}` or `\fbox{...}`, braces balanced, trimmed. Of nested boxes
/// the outer one counts. One pass: the open braces are kept on a list, so unbalanced ones cost nothing.
pub(super) fn last(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    // For every open brace: where the content of a box starts, if the brace opens one.
    let mut open: Vec<Option<usize>> = Vec::new();
    let mut found = None;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\\' => match box_command(bytes.get(at..).unwrap_or_default()) {
                Some(length) => {
                    at += length;
                    open.push(Some(at));
                }
                // Whatever follows is escaped: `\{`, `\}` and `\\` open and close nothing.
                None => at += usize::from(at < bytes.len()),
            },
            b'{' => open.push(None),
            b'}' => {
                if let Some(Some(start)) = open.pop() {
                    let content = text.get(start..at - 1).map(str::trim).filter(|content| !content.is_empty());
                    found = content.or(found);
                }
            }
            _ => {}
        }
    }
    found
}

/// The bytes that `boxed{` or `fbox{` take (after the backslash), spaces before the brace included.
fn box_command(rest: &[u8]) -> Option<usize> {
    let name = [&b"boxed"[..], b"fbox"].into_iter().find(|name| rest.starts_with(name))?;
    let spaces = rest.get(name.len()..)?.iter().take(8).take_while(|byte| **byte == b' ').count();
    let brace = name.len() + spaces;
    (rest.get(brace) == Some(&b'{')).then_some(brace + 1)
}

#[cfg(test)]
mod tests {
    use super::last;

    #[test]
    fn the_last_balanced_box_is_found() {
        assert_eq!(last(r"\boxed{1} then \boxed{\frac{1}{2}}."), Some(r"\frac{1}{2}"));
        assert_eq!(last(r"\boxed{\{1,2\}}"), Some(r"\{1,2\}"));
        assert_eq!(last(r"\boxed{7} and then \boxed{8"), Some("7"));
        assert_eq!(last(r"\boxed{a{b\boxed{5}"), Some("5"));
        assert_eq!(last(r"\boxed{\boxed{5}}"), Some(r"\boxed{5}"));
        assert_eq!(last(r"\fbox {é}"), Some("é"));
        assert_eq!(last(r"\boxed{3} \boxed{ }"), Some("3"));
        assert_eq!(last(r"\\boxed{3}"), None);
        assert_eq!(last(r"boxed{3} \boxe\"), None);
    }
}
