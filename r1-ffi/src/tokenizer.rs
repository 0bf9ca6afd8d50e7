//! Text to tokens and back.

use std::ffi::c_char;

use engine::gguf::{Gguf, LoadMode};
use engine::tokenizer::{EncodeOptions, Tokenizer};

use crate::error::r1_error;
use crate::fail::{Fail, Result};
use crate::handle::{self, object};
use crate::sized;
use crate::status::*;

/// A vocabulary with its rules. Immutable: any number of threads may use one at once.
pub struct r1_tokenizer {
    _private: (),
}

object!(Tokenizer, r1_tokenizer, Tokenizer);

/// Adds what the model adds around a text: BOS before it, EOS after it, each if the file says so.
pub const R1_ENCODE_BOS: u32 = 1;
/// Recognises control tokens in the text. Only for text from a chat template, never for a user's.
pub const R1_ENCODE_SPECIAL: u32 = 2;
/// Takes text that is not UTF-8; bytes that are no character are replaced as the vocabulary can.
pub const R1_ENCODE_BYTES: u32 = 4;

/// Prints control tokens, too.
pub const R1_DECODE_SPECIAL: u32 = 1;

/// Begins a sequence.
pub const R1_TOKEN_BOS: i32 = 1;
/// Ends a sequence.
pub const R1_TOKEN_EOS: i32 = 2;
/// Ends a turn.
pub const R1_TOKEN_EOT: i32 = 3;

/// Loads the tokenizer of a GGUF file without its weights; a vocabulary-only file will do. Free it with
/// `r1_tokenizer_free`.
///
/// Errors: those of `r1_model_load` that concern the header.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_tokenizer_load(
    path: *const c_char,
    path_len: usize,
    out: *mut *mut r1_tokenizer,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let out = caller.out(out, "out")?;
        let path = caller.path(path, path_len, "path")?;
        let gguf = Gguf::open(&path, LoadMode::HeaderOnly)?;
        let tokenizer = Tokenizer::from_metadata(gguf.metadata()).map_err(|e| e.file(&path))?;
        out.set(handle::give(tokenizer)?);
        Ok(R1_OK)
    })
}

/// Writes the tokens of a text, `R1_ENCODE_*` in `flags`. `(NULL, 0)` for the buffer writes `count` only.
///
/// Errors: `R1_ERR_UTF8`; `R1_ERR_BUFFER` where the tokens do not fit, with their number in `count`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_tokenizer_encode(
    tokenizer: *const r1_tokenizer,
    text: *const c_char,
    text_len: usize,
    flags: u32,
    tokens: *mut u32,
    capacity: usize,
    count: *mut usize,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let tokenizer = handle::get::<Tokenizer>(tokenizer, "tokenizer")?;
        let out = caller.buffer(tokens, capacity, count, "tokens")?;
        let bytes = caller.bytes(text, text_len, "text")?;
        if flags & R1_ENCODE_BYTES == 0 {
            caller.text(text, text_len, "text")?;
        }
        out.fill(&tokenizer.encode_bytes(bytes, encode_options(flags)?))
    })
}

/// Writes the bytes that tokens print, `R1_DECODE_*` in `flags`; no NUL is added. They need not be UTF-8, since a
/// token may hold a part of a character. `(NULL, 0)` for the buffer writes `len` only.
///
/// Errors: `R1_ERR_RANGE` for a token beyond the vocabulary; `R1_ERR_BUFFER` where the bytes do not fit, with their
/// number in `len`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_tokenizer_decode(
    tokenizer: *const r1_tokenizer,
    tokens: *const u32,
    count: usize,
    flags: u32,
    text: *mut c_char,
    capacity: usize,
    len: *mut usize,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let tokenizer = handle::get::<Tokenizer>(tokenizer, "tokenizer")?;
        let out = caller.buffer(text.cast::<u8>(), capacity, len, "text")?;
        let tokens = caller.items(tokens, count, "tokens")?;
        let flags = sized::flags(flags, R1_DECODE_SPECIAL, "r1_tokenizer_decode")?;
        if let Some(token) = tokens.iter().find(|token| **token as usize >= tokenizer.len()) {
            return Err(Fail::range("tokens", format_args!("has {token}, beyond {} tokens", tokenizer.len())));
        }
        out.fill(&tokenizer.decode(tokens, flags & R1_DECODE_SPECIAL != 0))
    })
}

/// Writes the number of tokens in the vocabulary.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_tokenizer_len(
    tokenizer: *const r1_tokenizer,
    out: *mut usize,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let tokenizer = handle::get::<Tokenizer>(tokenizer, "tokenizer")?;
        caller.out(out, "out")?.set(tokenizer.len());
        Ok(R1_OK)
    })
}

/// Writes the token that the file spells exactly like this text, such as `"<think>"`.
///
/// Errors: `R1_ERR_MISSING` where there is none.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_tokenizer_find(
    tokenizer: *const r1_tokenizer,
    text: *const c_char,
    text_len: usize,
    out: *mut u32,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let tokenizer = handle::get::<Tokenizer>(tokenizer, "tokenizer")?;
        let out = caller.out(out, "out")?;
        let text = caller.text(text, text_len, "text")?;
        let none = || Fail::new(R1_ERR_MISSING, "the vocabulary has no token of that text");
        out.set(tokenizer.token_id(text).ok_or_else(none)?);
        Ok(R1_OK)
    })
}

/// Writes the token with a role, `R1_TOKEN_*`.
///
/// Errors: `R1_ERR_RANGE` for an unknown role, `R1_ERR_MISSING` where the vocabulary has no such token.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_tokenizer_special(
    tokenizer: *const r1_tokenizer,
    role: i32,
    out: *mut u32,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let tokenizer = handle::get::<Tokenizer>(tokenizer, "tokenizer")?;
        let out = caller.out(out, "out")?;
        let token = match role {
            R1_TOKEN_BOS => tokenizer.bos(),
            R1_TOKEN_EOS => tokenizer.eos(),
            R1_TOKEN_EOT => tokenizer.eot(),
            _ => return Err(Fail::range("role", format_args!("is {role}, not one of R1_TOKEN_*"))),
        };
        out.set(token.ok_or_else(|| Fail::new(R1_ERR_MISSING, "the vocabulary has no token of that role"))?);
        Ok(R1_OK)
    })
}

/// Writes 1 if a reply is over after this token, else 0.
///
/// Errors: `R1_ERR_RANGE` for a token beyond the vocabulary.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_tokenizer_is_end(
    tokenizer: *const r1_tokenizer,
    token: u32,
    out: *mut i32,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let tokenizer = handle::get::<Tokenizer>(tokenizer, "tokenizer")?;
        let out = caller.out(out, "out")?;
        if token as usize >= tokenizer.len() {
            return Err(Fail::range("token", format_args!("is {token}, beyond {} tokens", tokenizer.len())));
        }
        out.set(tokenizer.is_end_of_generation(token).into());
        Ok(R1_OK)
    })
}

/// Frees a tokenizer. NULL is fine; a handle that is not live gives `R1_ERR_HANDLE`. Any thread, callbacks included.
#[unsafe(no_mangle)]
pub extern "C" fn r1_tokenizer_free(tokenizer: *mut r1_tokenizer) -> r1_status {
    guard_or!(R1_ERR_PANIC, || handle::free::<Tokenizer>(tokenizer))
}

/// `R1_ENCODE_*` as the engine takes them.
pub(crate) fn encode_options(flags: u32) -> Result<EncodeOptions> {
    let flags = sized::flags(flags, R1_ENCODE_BOS | R1_ENCODE_SPECIAL | R1_ENCODE_BYTES, "R1_ENCODE")?;
    Ok(EncodeOptions { add_bos: flags & R1_ENCODE_BOS != 0, parse_special: flags & R1_ENCODE_SPECIAL != 0 })
}
