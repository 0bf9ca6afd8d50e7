//! Text to token ids and back, from the vocabulary that a GGUF file carries.
//!
//! Two kinds are known: byte-level BPE (`gpt2`: DeepSeek, Qwen, Llama 3, SmolLM) and SentencePiece BPE (`llama`:
//! Gemma, Llama 2). A vocabulary-only file is enough. No Unicode normalisation takes place.
//!
//! **Special tokens in user text.** Tokens of type control (roles, ends) are recognised only with
//! [`EncodeOptions::parse_special`]; without it no text, however chosen, becomes one. User-defined tokens such as
//! `<think>` are text too and always recognised.

mod alphabet;
mod bpe;
mod classes;
mod hash;
mod pieces;
mod special;
mod split;
mod spm;
mod stream;
mod unicode_tables;
mod vocab;

pub use stream::Utf8Stream;
pub use vocab::{TokenId, TokenKind};

use crate::gguf::Metadata;
use crate::{Error, ErrorKind, Result};
use bpe::Bpe;
use special::{Fragment, Specials};
use spm::Spm;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use vocab::{Ids, MODEL, Spelling, Vocab, VocabParts};

/// Texts that end a turn where a control token has them and the file names no end-of-turn token; first come first.
const END_OF_TURN: [&str; 9] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "[EOT]",
    "<｜end▁of▁sentence｜>",
];

/// Texts that end a message where a control token has them.
const END_OF_MESSAGE: &str = "<|eom_id|>";

/// More control tokens at which a generation is over.
const OTHER_ENDS: [&str; 9] = [
    END_OF_MESSAGE,
    "<|return|>",
    "<|call|>",
    "<end_of_utterance>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<eos>",
    "[EOS]",
];

/// How to encode a text. The default is plain text: no token added, no control token recognised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Adds what the model adds around a text: BOS before it and EOS after it, each if the file says so and the text
    /// does not have it there already.
    pub add_bos: bool,
    /// Recognises control tokens in the text. Only for text from the chat template, never for a user's.
    pub parse_special: bool,
}

/// A vocabulary with its rules. Clones share it; encoding needs no lock.
#[derive(Clone)]
pub struct Tokenizer(Arc<Inner>);

struct Inner {
    vocab: Vocab,
    model: Model,
    /// User-defined tokens.
    user: Specials,
    /// User-defined, control and unknown tokens.
    all: Specials,
    ids: Ids,
    add_bos: bool,
    add_eos: bool,
    /// Ascending.
    ends: Vec<TokenId>,
}

#[allow(clippy::large_enum_variant, reason = "there is one, behind the tokenizer's Arc")]
enum Model {
    Bpe(Bpe),
    Spm(Spm),
}

impl Tokenizer {
    /// Builds the tokenizer that a file describes.
    ///
    /// # Errors
    /// - [`ErrorKind::Unsupported`] for a tokenizer model or splitter that is not known; it is named.
    /// - [`ErrorKind::Missing`] when the model, the tokens or the merges are absent.
    /// - [`ErrorKind::Malformed`] when the arrays contradict each other or have the wrong type.
    /// - [`ErrorKind::Limit`] when the special tokens hold more than 1 MiB of text.
    pub fn from_metadata(metadata: &Metadata) -> Result<Self> {
        Self::from_parts(VocabParts::from_metadata(metadata)?)
    }

    fn from_parts(mut parts: VocabParts) -> Result<Self> {
        let spelling = match &*parts.model {
            "gpt2" => Spelling::ByteLevel,
            "llama" => Spelling::Sentence,
            other => {
                let shown: String = other.chars().take(40).collect();
                let message = format!("tokenizer model '{shown}' is not supported");
                return Err(Error::new(ErrorKind::Unsupported, message).key(MODEL));
            }
        };
        let vocab = Vocab::new(std::mem::take(&mut parts.tokens), parts.types.as_deref(), spelling)?;
        let (model, add_bos, default_ids) = match spelling {
            Spelling::ByteLevel => {
                let bpe = Bpe::new(&vocab, &parts)?;
                let add_bos = bpe.adds_bos();
                (Model::Bpe(bpe), add_bos, Ids::default())
            }
            Spelling::Sentence => {
                let ids = Ids { bos: Some(1), eos: Some(2), unknown: Some(0), ..Ids::default() };
                (Model::Spm(Spm::new(&vocab, &parts)?), true, ids)
            }
        };
        let specials = |kinds: &[TokenKind]| {
            let of_kind = vocab.iter().filter(|(_, _, kind)| kinds.contains(kind));
            Specials::new(of_kind.map(|(id, text, _)| (id, text.as_bytes())))
        };
        let user = specials(&[TokenKind::UserDefined])?;
        let all = specials(&[TokenKind::UserDefined, TokenKind::Control, TokenKind::Unknown])?;
        let control = |text: &str| vocab.find(text).filter(|&id| vocab.kind(id) == Some(TokenKind::Control));
        let given = parts.ids;
        let pick = |given: Option<TokenId>, default: Option<TokenId>| {
            let exists = |id: &TokenId| (*id as usize) < vocab.len();
            given.filter(exists).or(default.filter(exists))
        };
        // Where calls and returns have marks of their own, <|end|> only ends a message.
        let goes_on = control("<|return|>").is_some() && control("<|call|>").is_some();
        let turns = END_OF_TURN.iter().filter(|text| !(goes_on && **text == "<|end|>"));
        let ids = Ids {
            bos: pick(given.bos, default_ids.bos),
            eos: pick(given.eos, default_ids.eos),
            eot: pick(given.eot, turns.clone().find_map(|text| control(text))),
            eom: pick(given.eom, control(END_OF_MESSAGE)),
            unknown: pick(given.unknown, default_ids.unknown),
            padding: pick(given.padding, None),
        };
        let mut ends: Vec<TokenId> = turns.chain(&OTHER_ENDS).filter_map(|text| control(text)).collect();
        ends.extend([ids.eos, ids.eot, ids.eom].into_iter().flatten());
        ends.sort_unstable();
        ends.dedup();
        let add_bos = parts.flags.add_bos.unwrap_or(add_bos);
        let add_eos = parts.flags.add_eos.unwrap_or(false);
        Ok(Self(Arc::new(Inner { vocab, model, user, all, ids, add_bos, add_eos, ends })))
    }

    /// The ids of a text.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Vec<TokenId> {
        self.encode_bytes(text.as_bytes(), options)
    }

    /// The ids of bytes that should be UTF-8 but need not.
    ///
    /// In byte-level vocabularies each byte that is not part of a character counts as U+FFFD; SentencePiece ones
    /// keep it as a byte token.
    pub fn encode_bytes(&self, text: &[u8], options: EncodeOptions) -> Vec<TokenId> {
        let Inner { vocab, model, ids, .. } = &*self.0;
        let bos = ids.bos.filter(|_| options.add_bos && self.0.add_bos);
        let eos = ids.eos.filter(|_| options.add_bos && self.0.add_eos);
        let mut out = Vec::with_capacity(text.len() / 4 + 2);
        out.extend(bos);
        let mut after_special = true;
        let specials = if options.parse_special { &self.0.all } else { &self.0.user };
        specials.partition(text, |fragment| match (fragment, model) {
            (Fragment::Token(id), _) => {
                after_special = true;
                if Some(id) != bos || out.len() != 1 {
                    out.push(id);
                }
            }
            (Fragment::Text(range), Model::Bpe(bpe)) => {
                bpe.encode(vocab, &repaired(text.get(range).unwrap_or_default()), &mut out);
            }
            (Fragment::Text(range), Model::Spm(spm)) => {
                let prefix = spm.adds_space_prefix() && std::mem::take(&mut after_special);
                spm.encode(vocab, ids.unknown, prefix, text.get(range).unwrap_or_default(), &mut out);
            }
        });
        out.extend(eos.filter(|eos| out.last() != Some(eos)));
        out
    }

    /// The bytes that the ids print. Ids past the vocabulary print nothing.
    ///
    /// Control and unknown tokens print their text `with_special` and nothing without; padding of the vocabulary
    /// never prints. A space that encoding put before the text is taken away again.
    pub fn decode(&self, ids: &[TokenId], with_special: bool) -> Vec<u8> {
        let mut state = Printing::new(with_special);
        let mut out = Vec::new();
        for &id in ids {
            out.extend_from_slice(self.print(id, &mut state));
        }
        out
    }

    /// A decoder for ids that arrive one at a time. It prints no control tokens; see [`Decoder::with_special`].
    pub fn decoder(&self) -> Decoder {
        Decoder { tokenizer: self.clone(), state: Printing::new(false), stream: Utf8Stream::new() }
    }

    /// The bytes of a token, also of one that [`Tokenizer::decode`] does not print. They may be part of a character.
    pub fn piece(&self, id: TokenId) -> Option<&[u8]> {
        self.0.vocab.bytes(id)
    }

    /// The token as the file spells it.
    pub fn text(&self, id: TokenId) -> Option<&str> {
        self.0.vocab.text(id)
    }

    /// The text of a control, user-defined or unknown token; `None` for every other.
    pub fn special_text(&self, id: TokenId) -> Option<&str> {
        let marks = [TokenKind::Control, TokenKind::UserDefined, TokenKind::Unknown];
        self.text(id).filter(|_| self.kind(id).is_some_and(|kind| marks.contains(&kind)))
    }

    /// What a token stands for; `None` past the vocabulary.
    pub fn kind(&self, id: TokenId) -> Option<TokenKind> {
        self.0.vocab.kind(id)
    }

    /// The token that the file spells exactly like this, special or not; the first one if there are several.
    pub fn token_id(&self, text: &str) -> Option<TokenId> {
        self.0.vocab.find(text)
    }

    /// As [`token_id`](Self::token_id), for tokens that have a [`special_text`](Self::special_text).
    pub fn special_id(&self, text: &str) -> Option<TokenId> {
        self.token_id(text).filter(|id| self.special_text(*id).is_some())
    }

    /// Number of tokens.
    #[allow(clippy::len_without_is_empty, reason = "a vocabulary is never empty")]
    pub fn len(&self) -> usize {
        self.0.vocab.len()
    }

    /// Beginning of sequence.
    pub fn bos(&self) -> Option<TokenId> {
        self.0.ids.bos
    }

    /// End of sequence.
    pub fn eos(&self) -> Option<TokenId> {
        self.0.ids.eos
    }

    /// The text of BOS, empty where there is none: what templates print for `bos_token`.
    pub fn bos_text(&self) -> &str {
        self.bos().and_then(|id| self.text(id)).unwrap_or_default()
    }

    /// The text of EOS, likewise.
    pub fn eos_text(&self) -> &str {
        self.eos().and_then(|id| self.text(id)).unwrap_or_default()
    }

    /// End of turn: as the file says, else the control token with a known text.
    pub fn eot(&self) -> Option<TokenId> {
        self.0.ids.eot
    }

    /// End of message, after which the turn goes on.
    pub fn eom(&self) -> Option<TokenId> {
        self.0.ids.eom
    }

    /// Stands for text that the vocabulary cannot express.
    pub fn unknown(&self) -> Option<TokenId> {
        self.0.ids.unknown
    }

    /// Fills unused places of a batch.
    pub fn padding(&self) -> Option<TokenId> {
        self.0.ids.padding
    }

    /// Whether the model wants BOS before a text.
    pub fn add_bos(&self) -> bool {
        self.0.add_bos
    }

    /// Whether the model wants EOS after a text.
    pub fn add_eos(&self) -> bool {
        self.0.add_eos
    }

    /// Whether a generation is over after this token: EOS, end of turn or message, or a control token with a text
    /// that is known to end one. Ordinary tokens never count, whatever their text.
    pub fn is_end_of_generation(&self, id: TokenId) -> bool {
        self.0.ends.binary_search(&id).is_ok()
    }

    /// All tokens after which a generation is over, ascending.
    pub fn ends_of_generation(&self) -> &[TokenId] {
        &self.0.ends
    }

    fn print(&self, id: TokenId, state: &mut Printing) -> &[u8] {
        let bytes = self.piece(id).unwrap_or_default();
        let adds_space = matches!(&self.0.model, Model::Spm(spm) if spm.adds_space_prefix());
        match self.kind(id) {
            Some(TokenKind::Normal) => {
                let strip = std::mem::take(&mut state.after_special) && adds_space;
                bytes.strip_prefix(b" ").filter(|_| strip).unwrap_or(bytes)
            }
            Some(TokenKind::Byte) => {
                state.after_special = false;
                bytes
            }
            Some(TokenKind::UserDefined) => {
                state.after_special = true;
                bytes
            }
            Some(TokenKind::Control | TokenKind::Unknown) => {
                state.after_special = true;
                if state.with_special { bytes } else { &[] }
            }
            Some(TokenKind::Unused) | None => &[],
        }
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = match &self.0.model {
            Model::Bpe(_) => "gpt2",
            Model::Spm(_) => "llama",
        };
        f.debug_struct("Tokenizer").field("model", &model).field("len", &self.len()).finish_non_exhaustive()
    }
}

/// What printing a token depends on besides the token.
#[derive(Debug, Clone, Copy)]
struct Printing {
    with_special: bool,
    /// At the start or after a special token, where encoding may have put a space.
    after_special: bool,
}

impl Printing {
    fn new(with_special: bool) -> Self {
        Self { with_special, after_special: true }
    }
}

/// Turns ids into text as they arrive, whole characters only.
///
/// All that [`Decoder::push`] and [`Decoder::flush`] return, joined, is [`Tokenizer::decode`] of all ids as lossy
/// UTF-8.
#[derive(Debug, Clone)]
pub struct Decoder {
    tokenizer: Tokenizer,
    state: Printing,
    stream: Utf8Stream,
}

impl Decoder {
    /// Prints control and unknown tokens too, or not.
    #[must_use]
    pub fn with_special(mut self, with_special: bool) -> Self {
        self.state.with_special = with_special;
        self
    }

    /// Takes a token and returns the characters that it completes.
    pub fn push(&mut self, id: TokenId) -> &str {
        self.stream.push(self.tokenizer.print(id, &mut self.state))
    }

    /// Ends the text: U+FFFD if a character was cut off, else nothing.
    pub fn flush(&mut self) -> &str {
        self.state.after_special = true;
        self.stream.flush()
    }
}

/// The text with U+FFFD for each byte that is not part of a character.
fn repaired(bytes: &[u8]) -> Cow<'_, str> {
    let mut rest = bytes;
    let mut text = String::new();
    loop {
        match std::str::from_utf8(rest) {
            Ok(valid) if text.is_empty() && rest.len() == bytes.len() => return Cow::Borrowed(valid),
            Ok(valid) => {
                text.push_str(valid);
                return Cow::Owned(text);
            }
            Err(error) => {
                let (valid, after) = rest.split_at(error.valid_up_to());
                text.push_str(std::str::from_utf8(valid).unwrap_or_default());
                text.push(char::REPLACEMENT_CHARACTER);
                rest = after.get(1..).unwrap_or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests;
