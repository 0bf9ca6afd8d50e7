//! The marks around a thought.

/// The texts that open and close a thought, and the tokens that stand for them.
///
/// A part of a text that [`tokens`](Self::tokens) names is matched by its token only, so that typing it out means
/// nothing; the rest is matched by bytes, however they are cut over tokens.
///
/// ```
/// use r1core::reasoning::ThinkTags;
/// let tags = ThinkTags::from_text("<think>", "</think>").also_closed_by("<answer>");
/// assert_eq!(tags.close, ["</think>", "<answer>"]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThinkTags {
    /// Texts that open a thought; the first is the one that is written.
    pub open: Vec<String>,
    /// Texts that close a thought.
    pub close: Vec<String>,
    /// What is written when a thought is closed for the model, where that is more than the first of `close`: it has to
    /// begin with it, and the rest should be among `close` or `silent`.
    pub closing: Option<String>,
    /// Texts that close a thought and begin the answer, which keeps them: the beginnings of tool calls, for instance.
    pub implicit: Vec<String>,
    /// Texts that mean nothing wherever they come and are not streamed: the names of channels, for instance.
    pub silent: Vec<String>,
    /// Parts of all these texts that are one token, with the token.
    pub tokens: Vec<(String, u32)>,
}

impl ThinkTags {
    /// Tags given by the host, matched by bytes.
    pub fn from_text(open: &str, close: &str) -> Self {
        Self { open: vec![open.into()], close: vec![close.into()], ..Self::default() }
    }

    /// Tags given by the host, matched by token where the vocabulary has tokens for them (see [`bound`](Self::bound)).
    pub fn with_vocabulary(open: &str, close: &str, token: &dyn Fn(&str) -> Option<u32>) -> Self {
        Self::from_text(open, close).bound(token)
    }

    /// Adds a text that opens a thought.
    #[must_use]
    pub fn also_opened_by(mut self, text: &str) -> Self {
        self.open.push(text.into());
        self
    }

    /// Adds a text that closes a thought.
    #[must_use]
    pub fn also_closed_by(mut self, text: &str) -> Self {
        self.close.push(text.into());
        self
    }

    /// Looks up which of the texts, and which parts of them in brackets (`<...>`, `[...]`), are tokens of their own.
    /// `token` knows the tokens of the vocabulary that carry structure
    /// ([`Tokenizer::special_id`](crate::Tokenizer::special_id)).
    #[must_use]
    pub fn bound(mut self, token: &dyn Fn(&str) -> Option<u32>) -> Self {
        let texts: Vec<String> = self.texts().map(str::to_owned).collect();
        for text in &texts {
            self.bind(text, token);
        }
        self
    }

    /// Adds texts that close a thought and begin the answer, by token where the vocabulary has tokens for them; the other
    /// tags stay as they are.
    #[must_use]
    pub fn also_closed_before(mut self, texts: &[String], token: &dyn Fn(&str) -> Option<u32>) -> Self {
        for text in texts {
            self.implicit.push(text.clone());
            self.bind(text, token);
        }
        self
    }

    /// All texts.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let lists = [&self.open, &self.close, &self.implicit, &self.silent];
        lists.into_iter().flatten().chain(&self.closing).map(String::as_str)
    }

    fn bind(&mut self, text: &str, token: &dyn Fn(&str) -> Option<u32>) {
        let mut at = 0;
        while at < text.len() {
            let rest = text.get(at..).unwrap_or_default();
            let bracket = rest.starts_with(['<', '[', '◁']);
            let ends = rest.match_indices(['>', ']', '▷']).map(|(end, bracket)| end + bracket.len());
            let whole = (at == 0).then_some(text.len());
            let mut ends: Vec<usize> = ends.filter(|_| bracket).chain(whole).collect();
            ends.sort_unstable();
            let found = ends.into_iter().rev().find_map(|end| {
                let part = rest.get(..end)?;
                Some((part, token(part)?))
            });
            if let Some((part, id)) = found {
                if !self.tokens.iter().any(|(text, _)| text == part) {
                    self.tokens.push((part.to_owned(), id));
                }
                at += part.len();
            } else {
                at += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
    }

    /// A thought and an answer as one message, the way models of the R1 family write it.
    pub fn wrap(&self, thought: &str, answer: &str) -> String {
        let first = |texts: &[String]| texts.first().cloned().unwrap_or_default();
        let close = self.closing.clone().unwrap_or_else(|| first(&self.close));
        format!("{}\n{thought}\n{close}\n\n{answer}", first(&self.open))
    }

    /// Takes a message apart that holds a thought in tags, as [`wrap`](Self::wrap) puts it together: thought and answer
    /// without the line breaks around them. `None` where it has no close tag.
    pub fn split<'a>(&self, content: &'a str) -> Option<(&'a str, &'a str)> {
        let ends = self.close.iter().filter(|tag| !tag.is_empty());
        let (at, end) = ends.filter_map(|tag| content.rfind(tag.as_str()).map(|at| (at, at + tag.len()))).max()?;
        let line = ['\n', '\r'];
        let before = content.get(..at)?.trim_start();
        let thought = self.open.iter().find_map(|tag| before.strip_prefix(tag.as_str())).unwrap_or(before);
        Some((thought.trim_matches(line), content.get(end..)?.trim_start_matches(line)))
    }

    /// Whether a thought and its answer are messages of their own rather than parts of one.
    pub fn in_channels(&self) -> bool {
        self.closing.is_some()
    }

    /// Whether `tail` leaves a thought open: its last open tag comes after its last close tag.
    ///
    /// `tail` must be what the template appended for the model to continue (the generation prompt), never the whole
    /// prompt, because a user may have typed tags.
    pub fn left_open(&self, tail: &str) -> bool {
        match (last(&self.open, tail), last(&self.close, tail)) {
            (Some(open), Some(close)) => open > close,
            (open, _) => open.is_some(),
        }
    }

    /// Whether `tail` closes a thought: a prompt that tells the model not to think.
    pub fn left_closed(&self, tail: &str) -> bool {
        !self.left_open(tail) && last(&self.close, tail).is_some()
    }
}

impl ThinkTags {
    /// What has to follow a generation prompt that ends with `tail` for the model not to think: an empty thought, or the
    /// rest of one that is open. Empty where the thought is closed already.
    pub fn no_thought(&self, tail: &str) -> String {
        let (Some(open), Some(close)) = (self.open.first(), self.close.first()) else { return String::new() };
        if self.left_closed(tail) {
            return String::new();
        }
        if let Some(closing) = &self.closing {
            if self.left_open(tail) {
                return closing.clone();
            }
            // A message of another channel than that of thoughts; the prompt may have begun it.
            let answer = closing.strip_prefix(close.as_str()).unwrap_or_default();
            let ends = answer.char_indices().map(|(at, _)| answer.split_at(at)).rev();
            let rest =
                ends.filter(|(begun, _)| !begun.is_empty() && tail.ends_with(begun)).map(|(_, rest)| rest).next();
            return rest.unwrap_or_default().to_owned();
        }
        let line = if tail.ends_with('\n') { "\n" } else { "\n\n" };
        if self.left_open(tail) { format!("{line}{close}\n\n") } else { format!("{open}\n\n{close}\n\n") }
    }
}

/// Where the last of these tags begins.
fn last(tags: &[String], text: &str) -> Option<usize> {
    tags.iter().filter(|tag| !tag.is_empty()).filter_map(|tag| text.rfind(tag.as_str())).max()
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_was_wrapped_is_taken_apart_again() {
        let tags = ThinkTags::from_text("<think>", "</think>");
        assert_eq!(tags.split(&tags.wrap("a\nb", "c")), Some(("a\nb", "c")));
        for (content, expected) in [
            ("a</think>b", Some(("a", "b"))),
            ("<think></think>\n\nb", Some(("", "b"))),
            ("a</think>b</think>c", Some(("a</think>b", "c"))),
            ("<think>a", None),
            ("", None),
        ] {
            assert_eq!(tags.split(content), expected, "{content:?}");
        }
    }

    #[test]
    fn a_prompt_is_ended_so_that_nothing_is_thought() {
        let plain = ThinkTags::from_text("<think>", "</think>");
        let channels = ThinkTags {
            closing: Some("<|end|><|start|>assistant<|channel|>final<|message|>".into()),
            close: vec!["<|end|>".into(), "<|channel|>final<|message|>".into()],
            ..ThinkTags::from_text("<|channel|>analysis<|message|>", "")
        };
        for (tags, tail, expected) in [
            (&plain, "<｜Assistant｜>", "<think>\n\n</think>\n\n"),
            (&plain, "<｜Assistant｜><think>\n", "\n</think>\n\n"),
            (&plain, "<｜Assistant｜><think>", "\n\n</think>\n\n"),
            (&plain, "<think>\n\n</think>\n\n", ""),
            (&channels, "<|start|>assistant", "<|channel|>final<|message|>"),
            (&channels, "<|start|>assistant<|channel|>final<|message|>", ""),
            (&channels, "<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
            (&channels, "something else", ""),
        ] {
            assert_eq!(tags.no_thought(tail), expected, "{tail:?}");
        }
    }

    #[test]
    fn parts_in_brackets_are_bound_to_their_tokens_and_the_longest_wins() {
        let token = |text: &str| ["<|a|>", "<|b|>", "<x><y>", "<x>", "thought"].iter().position(|t| *t == text);
        let token = |text: &str| token(text).map(|i| i as u32);
        let tags = ThinkTags::from_text("<|a|>word<|b|>", "<x><y>").also_closed_by("thought").bound(&token);
        let texts: Vec<_> = tags.tokens.iter().map(|(text, id)| (text.as_str(), *id)).collect();
        assert_eq!(texts, [("<|a|>", 0), ("<|b|>", 1), ("<x><y>", 2), ("thought", 4)]);
        assert!(ThinkTags::from_text("<é>", "</é>").bound(&token).tokens.is_empty());
    }
}
