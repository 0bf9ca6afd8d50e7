//! Grammars, by the crate `llguidance`.
//!
//! Its parsers are bounded by fuel, so that a hostile grammar costs an error, not the host; what they say on failure
//! becomes our error. llguidance catches its own panics, for which it wraps the process's panic hook once.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use llguidance::api::{ParserLimits, StopReason, TopLevelGrammar};
use llguidance::toktrie::{INVALID_TOKEN, TokRxInfo, TokTrie, TokenizerEnv};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use super::Grammar;
use crate::sampler::TokenMask;
use crate::tokenizer::{TokenKind, Tokenizer};
use crate::{Error, ErrorKind, Result};

/// Bytes of a grammar's text at most.
const LONGEST: usize = 1 << 18;

/// Compiling recurses as deep as rules refer to each other, which the text's length bounds: so much stack for a byte of it
/// was never exceeded (6 KiB for a reference that takes 37 bytes), and pages that are not touched cost nothing.
const STACK_PER_BYTE: usize = 2048;
const LEAST_STACK: usize = 4 << 20;

/// Compiled grammars that a model remembers at most.
const REMEMBERED: usize = 8;

/// Bytes of a token, beyond which the trie does not go; no text is lost with those that are longer.
const LONGEST_TOKEN: usize = 1000;

/// Nodes of the trie, and tokens, at most.
const MOST_NODES: usize = (1 << 22) - 2;
const MOST_TOKENS: usize = (1 << 24) - 2;

/// White space between the parts of a JSON text: a space, or a new line and its indentation.
const WHITE_SPACE: &str = r"( |\r?\n[ \t]{0,40})";

/// Characters of llguidance's messages that are passed on.
const MESSAGE: usize = 800;

fn limits() -> ParserLimits {
    ParserLimits {
        // A state takes 1 to 2 kB: some 40 MB.
        max_lexer_states: 20_000,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

/// The grammar engine of one model, built when first asked for.
#[derive(Default)]
pub(super) struct Engine {
    made: Mutex<Option<Made>>,
}

struct Made {
    factory: ParserFactory,
    newlines: Arc<[u32]>,
    /// Parsers at the beginning of a text, the one asked for last at the end.
    compiled: Vec<(Grammar, Matcher)>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}

impl Engine {
    pub(super) fn parser(&self, tokenizer: &Tokenizer, grammar: &Grammar) -> Result<Parser> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let made = match &mut *made {
            Some(made) => made,
            none => none.insert(Made::new(tokenizer)?),
        };
        let matcher = match made.compiled.iter().position(|(of, _)| of == grammar) {
            Some(at) => {
                let entry = made.compiled.remove(at);
                let matcher = entry.1.deep_clone();
                made.compiled.push(entry);
                matcher
            }
            None => {
                let matcher = compile(&made.factory, grammar)?;
                if made.compiled.len() == REMEMBERED {
                    made.compiled.remove(0);
                }
                let copy = matcher.deep_clone();
                made.compiled.push((grammar.clone(), matcher));
                copy
            }
        };
        Ok(Parser { matcher, newlines: made.newlines.clone() })
    }
}

impl Made {
    fn new(tokenizer: &Tokenizer) -> Result<Made> {
        let vocabulary = Arc::new(Vocabulary { trie: trie(tokenizer)? });
        let env: Arc<dyn TokenizerEnv + Sync> = vocabulary;
        let mut factory = ParserFactory::new_simple(&env)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("no grammar engine for this vocabulary: {e}")))?;
        factory.quiet();
        *factory.limits_mut() = limits();
        let newline = |id: &u32| text(tokenizer, *id).iter().all(|byte| matches!(byte, b'\n' | b'\r'));
        let newlines = (0..tokenizer.len() as u32).filter(|id| !text(tokenizer, *id).is_empty()).filter(newline);
        Ok(Made { factory, newlines: newlines.collect(), compiled: Vec::new() })
    }
}

/// The bytes by which grammars know a token: none for marks, which no grammar writes, and for bytes that begin no text.
fn text(tokenizer: &Tokenizer, id: u32) -> &[u8] {
    let plain = matches!(tokenizer.kind(id), Some(TokenKind::Normal | TokenKind::UserDefined | TokenKind::Byte));
    let bytes = tokenizer.piece(id).filter(|_| plain).unwrap_or_default();
    // llguidance marks its special tokens with FF, which is no byte of UTF-8.
    if bytes.len() > LONGEST_TOKEN || bytes.contains(&TokTrie::SPECIAL_TOKEN_MARKER) { &[] } else { bytes }
}

fn trie(tokenizer: &Tokenizer) -> Result<TokTrie> {
    let words: Vec<Vec<u8>> = (0..tokenizer.len() as u32).map(|id| text(tokenizer, id).to_vec()).collect();
    if words.len() > MOST_TOKENS || words.iter().map(Vec::len).sum::<usize>() > MOST_NODES {
        return Err(Error::new(ErrorKind::Limit, "the vocabulary is too large for grammars"));
    }
    let ends = tokenizer.ends_of_generation();
    let info = TokRxInfo::new(words.len() as u32, ends.first().copied().unwrap_or(INVALID_TOKEN));
    let trie = TokTrie::from(&info, &words);
    Ok(if ends.is_empty() { trie } else { trie.with_eos_tokens(ends) })
}

/// What llguidance knows of a tokenizer.
struct Vocabulary {
    trie: TokTrie,
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<u32> {
        self.trie.greedy_tokenize(bytes)
    }

    /// The model chooses how it spells: texts that the grammar forces are not cut into tokens here.
    fn tokenize_is_canonical(&self) -> bool {
        false
    }
}

fn compile(factory: &ParserFactory, grammar: &Grammar) -> Result<Matcher> {
    let length = grammar.text().len();
    if length > LONGEST {
        let what = format!("the {} has {length} bytes, more than the limit of {LONGEST}", grammar.kind());
        return Err(Error::new(ErrorKind::Limit, what));
    }
    let stack = LEAST_STACK + STACK_PER_BYTE * length;
    let work = || {
        let grammar = read(grammar).map_err(|e| e.to_string())?;
        let mut matcher = Matcher::new(factory.create_parser(grammar));
        // Finds out now whether any text can begin.
        matcher.compute_mask_or_eos().map_err(|e| format!("{e:#}"))?;
        Ok::<_, String>(matcher)
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("r1-grammar".into()).stack_size(stack);
        let thread = thread.spawn_scoped(scope, work).map_err(|e| {
            Error::new(ErrorKind::OutOfMemory, format!("no stack of {stack} bytes to read the grammar on")).source(e)
        })?;
        match thread.join() {
            Ok(Ok(matcher)) => Ok(matcher),
            Ok(Err(e)) => {
                let what = format!("the {} cannot be used: {}", grammar.kind(), said(&e));
                Err(Error::new(ErrorKind::Argument, what).remedy("correct it; docs/reasoning.md says what it may hold"))
            }
            Err(_) => Err(Error::new(ErrorKind::Internal, format!("the {} made its reader panic", grammar.kind()))),
        }
    })
}

fn read(grammar: &Grammar) -> serde_json::Result<TopLevelGrammar> {
    Ok(match grammar {
        Grammar::Json => TopLevelGrammar::from_json_schema(spaced(json!({"type": "object"}))),
        Grammar::JsonSchema(text) => TopLevelGrammar::from_json_schema(spaced(serde_json::from_str(text)?)),
        Grammar::Regex(text) => TopLevelGrammar::from_regex(text),
        Grammar::Lark(text) => TopLevelGrammar::from_lark(text.clone()),
    })
}

/// A schema that says where white space may be, unless its own `x-guidance` does: a model must not be able to go on with
/// white space for ever.
fn spaced(mut schema: Value) -> Value {
    if schema == Value::Bool(true) {
        schema = json!({});
    }
    if let Some(schema) = schema.as_object_mut()
        && let Some(options) = schema.entry("x-guidance").or_insert_with(|| json!({})).as_object_mut()
        && !options.contains_key("whitespace_flexible")
    {
        options.entry("whitespace_pattern").or_insert_with(|| WHITE_SPACE.into());
    }
    schema
}

/// llguidance's words without its marks, cut to what a message can hold.
fn said(message: &str) -> String {
    let message = message.split("<backtrace>").next().unwrap_or_default();
    let message = message.replace("<non-verbose/>", "");
    let message = match message.trim() {
        "NoExtensionBias" => "no text satisfies it",
        // Control tokens are no text, so the vocabulary was given without them.
        "panic: missing special token prefix" => "an answer has no control tokens such as <|name|>",
        message => message,
    };
    message.chars().take(MESSAGE).collect()
}

/// Follows one text through a grammar.
pub(crate) struct Parser {
    matcher: Matcher,
    newlines: Arc<[u32]>,
}

impl fmt::Debug for Parser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parser")
    }
}

impl Parser {
    /// Makes `mask` the tokens that may come. Ends of the reply are among them where the text may end here; where it must
    /// end here, nothing else is.
    ///
    /// # Errors
    /// `Limit` where finding out is too costly; `Internal` where the parser fails; `State` where nothing may come.
    pub(crate) fn mask(&mut self, mask: &mut TokenMask) -> Result<()> {
        mask.clear();
        if self.is_over() {
            return Ok(());
        }
        match self.matcher.compute_mask() {
            Ok(allowed) => mask.copy_bits(allowed.as_slice()),
            Err(e) => return Err(self.failure(&e)),
        }
        Ok(())
    }

    /// Whether this token may come.
    ///
    /// # Errors
    /// As [`mask`](Self::mask).
    pub(crate) fn takes(&mut self, id: u32) -> Result<bool> {
        match self.matcher.validate_tokens(&[id]) {
            Ok(count) => Ok(count == 1),
            Err(e) => Err(self.failure(&e)),
        }
    }

    /// Goes on with a token that may come.
    ///
    /// # Errors
    /// As [`mask`](Self::mask).
    pub(crate) fn accept(&mut self, id: u32) -> Result<()> {
        let consumed = self.matcher.consume_token(id);
        consumed.map_err(|e| self.failure(&e))
    }

    /// Whether the text may end here.
    ///
    /// # Errors
    /// As [`mask`](Self::mask).
    pub(crate) fn is_accepting(&mut self) -> Result<bool> {
        if self.is_over() {
            return Ok(true);
        }
        let accepting = self.matcher.is_accepting();
        accepting.map_err(|e| self.failure(&e))
    }

    /// Whether the text is complete and nothing may follow.
    pub(crate) fn is_over(&self) -> bool {
        self.matcher.is_stopped() && self.matcher.stop_reason().is_ok()
    }

    /// Tokens that are nothing but line breaks.
    pub(crate) fn newlines(&self) -> &[u32] {
        &self.newlines
    }

    fn failure(&self, error: &impl fmt::Display) -> Error {
        let text = said(&error.to_string());
        let costly = matches!(self.matcher.stop_reason(), StopReason::LexerTooComplex | StopReason::ParserTooComplex);
        if costly || ["max is", "fuel", "too many", "too large"].iter().any(|sign| text.contains(sign)) {
            return Error::new(ErrorKind::Limit, format!("the grammar is too costly to follow: {text}"))
                .remedy("make it simpler: fewer alternatives, shorter repetitions, left recursion");
        }
        Error::new(ErrorKind::Internal, format!("the grammar's parser failed: {text}"))
            .remedy("report the grammar and the text so far")
    }
}
