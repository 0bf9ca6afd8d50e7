//! The marks around a thought, and how to find a model's.

/// Known pairs, most common first.
const KNOWN: [(&str, &str); 4] = [
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<thinking>", "</thinking>"),
];

/// The marks that open and close a thought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThinkTags {
    /// Text of the open tag.
    pub open: Vec<u8>,
    /// Texts that close a thought; the first is the one that is written when a thought is closed for the model.
    pub close: Vec<Vec<u8>>,
    /// Texts that close a thought and begin the answer, which keeps them: the beginnings of tool calls, for instance.
    pub implicit: Vec<Vec<u8>>,
    /// Token of `open`. When present, the tag is matched by id only and its typed-out text is plain text.
    pub open_id: Option<u32>,
    /// Token of `close[0]`, likewise.
    pub close_id: Option<u32>,
}

impl ThinkTags {
    /// Tags given by the host, matched by bytes.
    pub fn from_text(open: &str, close: &str) -> Self {
        Self { open: open.into(), close: vec![close.into()], implicit: Vec::new(), open_id: None, close_id: None }
    }

    /// Tags given by the host, matched by id where the vocabulary has them as one token.
    pub fn with_vocabulary(open: &str, close: &str, token: &dyn Fn(&str) -> Option<u32>) -> Self {
        Self { open_id: token(open), close_id: token(close), ..Self::from_text(open, close) }
    }

    /// The tags of a model: a known pair that the vocabulary holds (`token` looks a text up), else one that the chat
    /// template writes, else `None`: then everything the model says is answer.
    pub fn find(token: &dyn Fn(&str) -> Option<u32>, template: Option<&str>) -> Option<Self> {
        let in_vocabulary = KNOWN.iter().find(|(open, close)| token(open).is_some() && token(close).is_some());
        let in_template = || {
            let template = template?;
            KNOWN.iter().find(|(open, close)| template.contains(open) || template.contains(close))
        };
        let (open, close) = in_vocabulary.or_else(in_template)?;
        Some(Self::with_vocabulary(open, close, token))
    }

    /// A thought and an answer as one message, the way models of the R1 family write it.
    pub fn wrap(&self, thought: &str, answer: &str) -> String {
        let close = self.close.first().map(Vec::as_slice).unwrap_or_default();
        let (open, close) = (String::from_utf8_lossy(&self.open), String::from_utf8_lossy(close));
        format!("{open}\n{thought}\n{close}\n\n{answer}")
    }

    /// Whether `tail` leaves a thought open: its last open tag comes after its last close tag.
    ///
    /// `tail` must be what the template appended for the model to continue (the generation prompt), never the whole
    /// prompt, because a user may have typed tags.
    pub fn left_open(&self, tail: &str) -> bool {
        let tail = tail.as_bytes();
        let last = |tag: &[u8]| if tag.is_empty() { None } else { tail.windows(tag.len()).rposition(|w| w == tag) };
        match (last(&self.open), self.close.iter().filter_map(|tag| last(tag)).max()) {
            (Some(open), Some(close)) => open > close,
            (open, _) => open.is_some(),
        }
    }

    /// How many tokens follow the last open tag of a prompt; 0 where it has none.
    pub fn thought_tokens<'a>(&self, prompt: &[u32], piece: impl Fn(u32) -> &'a [u8]) -> usize {
        if let Some(open) = self.open_id {
            return prompt.iter().rposition(|id| *id == open).map_or(0, |at| prompt.len() - 1 - at);
        }
        let (mut text, mut starts) = (Vec::new(), Vec::new());
        for &id in prompt {
            starts.push(text.len());
            text.extend_from_slice(piece(id));
        }
        let length = self.open.len().max(1);
        let end = text.windows(length).rposition(|window| window == self.open).map(|at| at + length);
        end.map_or(0, |end| starts.iter().filter(|start| **start >= end).count())
    }

    /// Whether `tail` closes a thought: a prompt that tells the model not to think.
    pub fn left_closed(&self, tail: &str) -> bool {
        !self.left_open(tail)
            && self.close.iter().any(|tag| !tag.is_empty() && tail.as_bytes().windows(tag.len()).any(|w| w == &tag[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vocabulary_beats_template_and_neither_means_none() {
        let none = |_: &str| None;
        assert_eq!(ThinkTags::find(&none, None), None);
        assert_eq!(ThinkTags::find(&none, Some("{{ x }}")), None);
        let by_text = ThinkTags::find(&none, Some("[THINK]")).unwrap();
        assert_eq!((by_text.open.as_slice(), by_text.open_id), (&b"[THINK]"[..], None));
        let vocabulary = |text: &str| ["<think>", "</think>"].iter().position(|t| *t == text).map(|i| i as u32 + 7);
        let by_id = ThinkTags::find(&vocabulary, Some("[THINK]")).unwrap();
        assert_eq!((by_id.open_id, by_id.close_id), (Some(7), Some(8)));
    }

    #[test]
    fn only_the_last_tag_of_the_tail_counts() {
        let tags = ThinkTags::from_text("<think>", "</think>");
        for (tail, open, closed) in [
            ("<｜Assistant｜>", false, false),
            ("<｜Assistant｜><think>\n", true, false),
            ("<think>\n\n</think>\n\n", false, true),
            ("</think><think>", true, false),
            ("", false, false),
        ] {
            assert_eq!((tags.left_open(tail), tags.left_closed(tail)), (open, closed), "{tail:?}");
        }
    }

    #[test]
    fn the_tokens_of_a_prompts_thought_are_those_after_its_last_tag() {
        let pieces = [&b"<think>"[..], b"<th", b"ink>\n", b"a", b"b"];
        let by_bytes = ThinkTags::from_text("<think>", "</think>");
        let by_id = ThinkTags { open_id: Some(0), ..by_bytes.clone() };
        for (prompt, bytes, id) in
            [(&[0, 3, 4][..], 2, 2), (&[3, 1, 2, 3, 4, 3], 3, 0), (&[0, 3, 0, 4], 1, 1), (&[3, 4], 0, 0), (&[], 0, 0)]
        {
            let count = |tags: &ThinkTags| tags.thought_tokens(prompt, |id| pieces[id as usize]);
            assert_eq!((count(&by_bytes), count(&by_id)), (bytes, id), "{prompt:?}");
        }
    }
}
