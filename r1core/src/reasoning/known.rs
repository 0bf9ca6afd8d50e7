//! Which tags a model has.

use super::ThinkTags;

/// How a family of models marks its thoughts.
struct Family {
    open: &'static str,
    close: &'static [&'static str],
    /// What closes a thought, where that is more than the first of `close`.
    closing: Option<&'static str>,
    silent: &'static [&'static str],
    /// Tokens that a vocabulary of the family has; none where `open` and the first of `close` are the tokens.
    tokens: &'static [&'static str],
}

const fn pair(open: &'static str, close: &'static [&'static str]) -> Family {
    Family { open, close, closing: None, silent: &[], tokens: &[] }
}

/// Most common first.
const FAMILIES: [Family; 12] = [
    // DeepSeek R1 and its distills, Qwen3, QwQ, and most that came after.
    pair("<think>", &["</think>"]),
    // Mistral's Magistral.
    pair("[THINK]", &["[/THINK]"]),
    // gpt-oss. A message of the channel "analysis" is a thought; after it a message begins anew, of the same role.
    Family {
        open: "<|channel|>analysis<|message|>",
        close: &["<|end|>", "<|channel|>final<|message|>"],
        closing: Some("<|end|><|start|>assistant<|channel|>final<|message|>"),
        silent: &["<|start|>assistant", "<|channel|>commentary<|message|>"],
        tokens: &["<|channel|>", "<|message|>", "<|start|>", "<|end|>"],
    },
    // Gemma 4. Earlier ones do not think.
    Family { tokens: &["<|channel>", "<channel|>"], ..pair("<|channel>thought", &["<channel|>"]) },
    pair("<seed:think>", &["</seed:think>"]),
    pair("<mm:think>", &["</mm:think>"]),
    // Command A.
    pair("<|START_THINKING|>", &["<|END_THINKING|>"]),
    // Kimi k1.5.
    pair("◁think▷", &["◁/think▷"]),
    // OpenThinker.
    pair("<|begin_of_thought|>", &["<|end_of_thought|>"]),
    // EXAONE Deep.
    pair("<thought>", &["</thought>"]),
    pair("<thinking>", &["</thinking>"]),
    pair("<reasoning>", &["</reasoning>"]),
];

impl Family {
    fn in_vocabulary(&self, token: &dyn Fn(&str) -> Option<u32>) -> bool {
        match self.tokens {
            [] => token(self.open).is_some() && self.close.first().is_some_and(|close| token(close).is_some()),
            tokens => tokens.iter().all(|text| token(text).is_some()),
        }
    }

    fn in_template(&self, template: &str) -> bool {
        match self.tokens {
            [] => template.contains(self.open) || self.close.iter().any(|close| template.contains(close)),
            tokens => tokens.iter().all(|text| template.contains(text)),
        }
    }

    fn tags(&self) -> ThinkTags {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        ThinkTags {
            open: vec![self.open.to_owned()],
            close: owned(self.close),
            closing: self.closing.map(str::to_owned),
            silent: owned(self.silent),
            ..ThinkTags::default()
        }
    }
}

impl ThinkTags {
    /// The tags of a model: those of a known family that its vocabulary has tokens for (one that the chat template writes
    /// as well before others), else one that the template writes, else `None`: then everything the model says is answer.
    ///
    /// Known are the tags of DeepSeek R1, Qwen3 and QwQ (`<think>`), Magistral (`[THINK]`), gpt-oss (the channel
    /// `analysis`), Gemma 4 (the channel `thought`) and some others. `token` knows the tokens of the vocabulary that
    /// carry structure; [`Model::think_tags`](crate::Model::think_tags) asks with a model's own.
    pub fn find(token: &dyn Fn(&str) -> Option<u32>, template: Option<&str>) -> Option<Self> {
        let written = |family: &&Family| template.is_some_and(|template| family.in_template(template));
        let held = || FAMILIES.iter().filter(|family| family.in_vocabulary(token));
        let family = held().find(written).or_else(|| held().next()).or_else(|| FAMILIES.iter().find(written))?;
        Some(family.tags().bound(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(vocabulary: &[&str], template: Option<&str>) -> Option<ThinkTags> {
        ThinkTags::find(&|text| vocabulary.iter().position(|t| *t == text).map(|i| i as u32 + 7), template)
    }

    #[test]
    fn vocabulary_beats_template_and_neither_means_none() {
        assert_eq!(find(&[], None), None);
        assert_eq!(find(&[], Some("{{ x }}")), None);
        let by_text = find(&[], Some("[THINK]")).unwrap();
        assert_eq!((by_text.open.as_slice(), by_text.tokens.len()), (&["[THINK]".to_owned()][..], 0));
        let by_id = find(&["<think>", "</think>"], Some("[THINK]")).unwrap();
        assert_eq!(by_id.tokens, [("<think>".to_owned(), 7), ("</think>".to_owned(), 8)]);
        // Of two families the one that the template writes.
        let both = ["<think>", "</think>", "[THINK]", "[/THINK]"];
        assert_eq!(find(&both, Some("[THINK]")).unwrap().close, ["[/THINK]"]);
        assert_eq!(find(&both, None).unwrap().close, ["</think>"]);
    }

    #[test]
    fn channels_are_found_by_all_their_tokens() {
        let harmony = ["<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>", "<|call|>"];
        let tags = find(&harmony, None).unwrap();
        assert_eq!((tags.open[0].as_str(), tags.tokens.len()), ("<|channel|>analysis<|message|>", 4));
        assert!(tags.closing.is_some_and(|closing| closing.starts_with(&tags.close[0])));
        assert_eq!(find(&harmony[1..], None), None);
        // Phi has <|end|> and means something else by it.
        assert_eq!(find(&["<|end|>"], Some("<|end|>")), None);
        let gemma = find(&["<|channel>", "<channel|>"], None).unwrap();
        assert_eq!((gemma.open[0].as_str(), gemma.close[0].as_str()), ("<|channel>thought", "<channel|>"));
        assert_eq!(find(&["<unused94>", "<unused95>", "<start_of_turn>"], None), None, "every Gemma 3 has those");
    }
}
