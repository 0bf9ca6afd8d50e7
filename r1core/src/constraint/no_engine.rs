//! Stands in for the grammar engine in builds without it.

use super::Grammar;
use crate::sampler::TokenMask;
use crate::tokenizer::Tokenizer;
use crate::{Error, ErrorKind, Result};

/// No engine.
#[derive(Debug, Default)]
pub(super) struct Engine;

impl Engine {
    pub(super) fn parser(&self, _: &Tokenizer, grammar: &Grammar) -> Result<Parser> {
        let what = format!("this build has no grammars, so no {} can govern an answer", grammar.kind());
        Err(Error::new(ErrorKind::Unsupported, what).remedy("build r1core with the feature 'grammar'"))
    }
}

/// There is none.
#[derive(Debug)]
pub(crate) enum Parser {}

impl Parser {
    pub(crate) fn mask(&mut self, _: &mut TokenMask) -> Result<()> {
        match *self {}
    }

    pub(crate) fn takes(&mut self, _: u32) -> Result<bool> {
        match *self {}
    }

    pub(crate) fn accept(&mut self, _: u32) -> Result<()> {
        match *self {}
    }

    pub(crate) fn is_accepting(&mut self) -> Result<bool> {
        match *self {}
    }

    pub(crate) fn is_over(&self) -> bool {
        match *self {}
    }

    pub(crate) fn newlines(&self) -> &[u32] {
        match *self {}
    }
}
