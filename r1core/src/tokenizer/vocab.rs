//! The vocabulary: text, bytes and kind of every token, and the ids with a role.

use super::alphabet;
use super::hash::{IdTable, Seed};
use crate::gguf::{Metadata, StringArray};
use crate::{Error, ErrorKind, Result};

/// Number of a token: its place in the vocabulary.
pub type TokenId = u32;

/// What a token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Text.
    Normal,
    /// Text that the vocabulary cannot express.
    Unknown,
    /// A mark that structures the prompt, such as a role or an end; never part of plain text.
    Control,
    /// A mark that plain text can hold too, such as `<think>`.
    UserDefined,
    /// Padding of the vocabulary.
    Unused,
    /// One byte.
    Byte,
}

/// Everything that a tokenizer is made of, as files spell it.
#[derive(Debug, Clone, Default)]
pub(super) struct VocabParts {
    pub(super) model: String,
    pub(super) pre: Option<String>,
    pub(super) tokens: StringArray,
    pub(super) types: Option<Vec<i32>>,
    pub(super) scores: Option<Vec<f32>>,
    pub(super) merges: Option<StringArray>,
    pub(super) ids: Ids,
    pub(super) flags: Flags,
}

/// Tokens with a role. Ids out of range count as absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) bos: Option<TokenId>,
    pub(super) eos: Option<TokenId>,
    pub(super) eot: Option<TokenId>,
    pub(super) eom: Option<TokenId>,
    pub(super) unknown: Option<TokenId>,
    pub(super) padding: Option<TokenId>,
}

/// Switches of the file; absent ones take the default of the model and splitter.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags {
    pub(super) add_bos: Option<bool>,
    pub(super) add_eos: Option<bool>,
    pub(super) add_space_prefix: Option<bool>,
}

pub(super) const MODEL: &str = "tokenizer.ggml.model";
pub(super) const PRE: &str = "tokenizer.ggml.pre";
pub(super) const TOKENS: &str = "tokenizer.ggml.tokens";
pub(super) const TYPES: &str = "tokenizer.ggml.token_type";
pub(super) const SCORES: &str = "tokenizer.ggml.scores";
pub(super) const MERGES: &str = "tokenizer.ggml.merges";

impl VocabParts {
    pub(super) fn from_metadata(metadata: &Metadata) -> Result<Self> {
        // Some writers store -1 for "none".
        let id = |name: &str| -> Result<Option<TokenId>> {
            let id = metadata.i64(&format!("tokenizer.ggml.{name}_token_id"))?;
            Ok(id.and_then(|id| TokenId::try_from(id).ok()))
        };
        let flag = |name: &str| metadata.bool(&format!("tokenizer.ggml.{name}"));
        Ok(Self {
            model: metadata.require_str(MODEL)?.to_owned(),
            pre: metadata.str(PRE)?.map(str::to_owned),
            tokens: metadata.require_strings(TOKENS)?.clone(),
            types: metadata.i32s(TYPES)?.map(Vec::from),
            scores: metadata.f32s(SCORES)?.map(Vec::from),
            merges: metadata.strings(MERGES)?.cloned(),
            ids: Ids {
                bos: id("bos")?,
                eos: id("eos")?,
                eot: id("eot")?,
                eom: id("eom")?,
                unknown: id("unknown")?,
                padding: id("padding")?,
            },
            flags: Flags {
                add_bos: flag("add_bos_token")?,
                add_eos: flag("add_eos_token")?,
                add_space_prefix: flag("add_space_prefix")?,
            },
        })
    }
}

/// How the texts of a vocabulary spell bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// The byte alphabet of [`alphabet`].
    ByteLevel,
    /// Plain text with U+2581 for the space and `<0xXX>` for single bytes.
    Sentence,
}

/// U+2581, which SentencePiece vocabularies write for a space.
pub(super) const META_SPACE: &str = "\u{2581}";

/// Tokens by id, text and bytes.
#[derive(Debug)]
pub(super) struct Vocab {
    texts: StringArray,
    kinds: Vec<TokenKind>,
    /// Bytes that the tokens print, back to back.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    seed: Seed,
    by_text: IdTable,
    /// Tokens that plain text may become, by their text (SentencePiece) or by their bytes (byte-level).
    plain: IdTable,
    spelling: Spelling,
    byte_tokens: [Option<TokenId>; 256],
    longest: usize,
}

impl Vocab {
    pub(super) fn new(texts: StringArray, types: Option<&[i32]>, spelling: Spelling) -> Result<Self> {
        let bad = |message: String, key| Error::new(ErrorKind::Malformed, message).key(key);
        let len = texts.len();
        if len == 0 {
            return Err(bad("the vocabulary is empty".into(), TOKENS));
        }
        if len >= i32::MAX as usize {
            return Err(Error::new(ErrorKind::Limit, format!("{len} tokens are too many")).key(TOKENS));
        }
        let kinds = match types {
            None => vec![TokenKind::Normal; len],
            Some(types) if types.len() != len => {
                return Err(bad(format!("{} types for {len} tokens", types.len()), TYPES));
            }
            Some(types) => {
                let named =
                    |(i, &number)| kind(number).ok_or_else(|| bad(format!("token {i} has type {number}"), TYPES));
                types.iter().enumerate().map(named).collect::<Result<_>>()?
            }
        };
        let seed = Seed::random();
        let mut this = Self {
            bytes: Vec::with_capacity(texts.text_len()),
            ends: Vec::with_capacity(len),
            by_text: IdTable::new(len)?,
            plain: IdTable::new(len)?,
            byte_tokens: [None; 256],
            longest: 0,
            texts,
            kinds,
            seed,
            spelling,
        };
        for id in 0..len as TokenId {
            this.index(id)?;
        }
        Ok(this)
    }

    fn index(&mut self, id: TokenId) -> Result<()> {
        let text = self.texts.get(id as usize).unwrap_or_default();
        let kind = self.kind(id).unwrap_or(TokenKind::Normal);
        let start = self.bytes.len();
        match (kind, self.spelling) {
            (TokenKind::Byte, _) => {
                let Some(byte) = byte_of(text) else {
                    let shown: String = text.chars().take(20).collect();
                    let message = format!("token {id} has type byte, but its text '{shown}' is not like '<0x0A>'");
                    return Err(Error::new(ErrorKind::Malformed, message).key(TOKENS));
                };
                self.bytes.push(byte);
                self.byte_tokens[usize::from(byte)].get_or_insert(id);
            }
            (TokenKind::Normal | TokenKind::Unused, Spelling::ByteLevel) => {
                if !alphabet::decode(text, &mut self.bytes) {
                    self.bytes.extend_from_slice(text.as_bytes());
                }
            }
            (TokenKind::Normal | TokenKind::UserDefined, Spelling::Sentence) => {
                for (i, part) in text.split(META_SPACE).enumerate() {
                    self.bytes.extend_from_slice(if i > 0 { b" " } else { b"" });
                    self.bytes.extend_from_slice(part.as_bytes());
                }
            }
            _ => self.bytes.extend_from_slice(text.as_bytes()),
        }
        self.ends.push(self.bytes.len());
        if text.is_empty() {
            return Ok(());
        }
        let hash = self.seed.bytes(text.as_bytes());
        if self.by_text.get(hash, |other| self.texts.get(other as usize) == Some(text)).is_none() {
            self.by_text.insert(hash, id);
        }
        // Plain text never becomes a mark, and a byte token stands for its byte, not for its text.
        if matches!(kind, TokenKind::Control | TokenKind::Unknown | TokenKind::Byte) {
            return Ok(());
        }
        let key = match self.spelling {
            Spelling::ByteLevel => self.bytes.get(start..).unwrap_or_default(),
            Spelling::Sentence => text.as_bytes(),
        };
        let hash = self.seed.bytes(key);
        if self.plain(key, hash).is_none() {
            self.longest = self.longest.max(key.len());
            self.plain.insert(hash, id);
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    pub(super) fn seed(&self) -> Seed {
        self.seed
    }

    pub(super) fn text(&self, id: TokenId) -> Option<&str> {
        self.texts.get(id as usize)
    }

    pub(super) fn kind(&self, id: TokenId) -> Option<TokenKind> {
        self.kinds.get(id as usize).copied()
    }

    /// Texts and kinds in order of id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TokenId, &str, TokenKind)> {
        (0..).zip(self.texts.iter()).zip(&self.kinds).map(|((id, text), &kind)| (id, text, kind))
    }

    /// The bytes that a token prints.
    #[inline]
    pub(super) fn bytes(&self, id: TokenId) -> Option<&[u8]> {
        let id = id as usize;
        let end = *self.ends.get(id)?;
        let start = id.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.bytes.get(start..end)
    }

    /// The first token with this text, of whatever kind.
    pub(super) fn find(&self, text: &str) -> Option<TokenId> {
        self.by_text.get(self.seed.bytes(text.as_bytes()), |id| self.text(id) == Some(text))
    }

    /// The first token that plain text may become, by its key (see [`Vocab::plain`]'s field) and the key's hash.
    #[inline]
    pub(super) fn plain(&self, key: &[u8], hash: u64) -> Option<TokenId> {
        match self.spelling {
            Spelling::ByteLevel => self.plain.get(hash, |id| self.bytes(id) == Some(key)),
            Spelling::Sentence => self.plain.get(hash, |id| self.text(id).map(str::as_bytes) == Some(key)),
        }
    }

    /// The token of type byte for a byte.
    pub(super) fn byte_token(&self, byte: u8) -> Option<TokenId> {
        self.byte_tokens[usize::from(byte)]
    }

    /// Length in bytes of the longest key of [`Vocab::plain`].
    pub(super) fn longest(&self) -> usize {
        self.longest
    }
}

fn kind(number: i32) -> Option<TokenKind> {
    Some(match number {
        0 | 1 => TokenKind::Normal,
        2 => TokenKind::Unknown,
        3 => TokenKind::Control,
        4 => TokenKind::UserDefined,
        5 => TokenKind::Unused,
        6 => TokenKind::Byte,
        _ => return None,
    })
}

/// The byte of a text such as `<0x0A>`.
fn byte_of(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 || digits.starts_with('+') {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}
