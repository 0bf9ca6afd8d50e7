//! Tokens that may be forbidden.

use super::ToolInThink;
use super::symbols::{Meaning, Tags};
use crate::sampler::Steer;

/// The tags that are tokens and the ends of the reply, in neighbouring groups, so that any row of groups is one list:
/// the open tags, the close tags, the ends; and the same with the calls, for thoughts.
#[derive(Debug)]
pub(super) struct Masks {
    ids: Vec<u32>,
    open: usize,
    close: usize,
    /// For thoughts, with tool calls in every row where they are forbidden: nothing, ends, close tags, both.
    thinking: [Vec<u32>; 4],
}

impl Masks {
    pub(super) fn new(tags: Option<&Tags>, tools: &ToolInThink, ends: &[u32]) -> Self {
        let ids = |meaning| tags.into_iter().flat_map(move |tags| tags.ids(meaning));
        // An end of the reply that closes thoughts is no end in them.
        let inner: Vec<u32> = ends.iter().copied().filter(|id| !tags.is_some_and(|tags| tags.knows(*id))).collect();
        let close: Vec<u32> = ids(Meaning::Close).collect();
        let calls = matches!(tools, ToolInThink::Forbid(_)).then(|| ids(Meaning::Implicit));
        let calls: Vec<u32> = calls.into_iter().flatten().collect();
        let thinking = [
            calls.clone(),
            [&calls[..], &inner].concat(),
            [&calls[..], &close].concat(),
            [&calls[..], &close, &inner].concat(),
        ];
        let mut all: Vec<u32> = ids(Meaning::Open).collect();
        let open = all.len();
        all.extend(close);
        let close = all.len();
        all.extend_from_slice(ends);
        Self { ids: all, open, close, thinking }
    }

    /// Close tags that can be forbidden as one token.
    pub(super) fn closes(&self) -> usize {
        self.close - self.open
    }

    /// What no mask of the host may take away.
    pub(super) fn keep(&self) -> Steer<'_> {
        Steer { keep: &self.ids, ..Steer::default() }
    }

    /// What is forbidden inside a thought: closing it, ending the reply.
    pub(super) fn thinking(&self, close: bool, ends: bool) -> &[u32] {
        self.thinking.get(2 * usize::from(close) + usize::from(ends)).map_or(&[], Vec::as_slice)
    }

    /// What is forbidden outside: opening a thought, close tags, ending the reply.
    pub(super) fn answering(&self, open: bool, close: bool, ends: bool) -> &[u32] {
        let from = if open {
            0
        } else if close {
            self.open
        } else {
            self.close
        };
        let to = if ends {
            self.ids.len()
        } else if close {
            self.close
        } else {
            self.open
        };
        self.ids.get(from..to).unwrap_or_default()
    }
}
