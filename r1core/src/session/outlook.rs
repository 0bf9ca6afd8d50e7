//! What a session knows of the tokens to come.

/// The logits after a session's last token and, row by row, after the guesses that follow it; or the highest logits after
/// the last token alone.
#[derive(Debug, Default)]
pub(super) struct Outlook {
    /// `[row][vocabulary]`; empty where nothing is known. Row `i + 1` is that after guess `i`.
    rows: Vec<f32>,
    /// The highest logits where `rows` is empty, with their tokens, the highest first.
    top: Vec<(u32, f32)>,
    vocabulary: usize,
    guesses: Vec<u32>,
    /// Guesses that were chosen.
    taken: usize,
}

impl Outlook {
    /// Replaces everything by `rows`, `[row][vocabulary]`, with a row more than there are `guesses`, or none.
    pub(super) fn set(&mut self, rows: &[f32], vocabulary: usize, guesses: &[u32]) {
        self.clear();
        self.vocabulary = vocabulary;
        self.rows.extend_from_slice(rows);
        self.guesses.extend_from_slice(guesses);
    }

    /// Replaces everything by the highest logits after the last token.
    pub(super) fn set_top(&mut self, top: &[(u32, f32)]) {
        self.clear();
        self.top.extend_from_slice(top);
    }

    /// Nothing is known any more.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.top.clear();
        self.guesses.clear();
        self.taken = 0;
    }

    /// The logits after the session's last token, where they are known.
    pub(super) fn logits(&self) -> Option<&[f32]> {
        let row = self.taken * self.vocabulary;
        self.rows.get(row..row + self.vocabulary).filter(|row| !row.is_empty())
    }

    /// The highest logits after the session's last token, where no others are known.
    pub(super) fn top(&self) -> &[(u32, f32)] {
        &self.top
    }

    /// Whether anything is known.
    pub(super) fn is_known(&self) -> bool {
        !self.top.is_empty() || self.logits().is_some()
    }

    /// Moves on by `token`, if that is the next guess.
    pub(super) fn take(&mut self, token: u32) -> bool {
        let is_next = self.guesses.get(self.taken) == Some(&token);
        self.taken += usize::from(is_next);
        is_next
    }

    /// Guesses of the last pass.
    pub(super) fn made(&self) -> usize {
        self.guesses.len()
    }

    /// Those that were chosen.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Keeps the logits after the last token and drops the guesses.
    pub(super) fn forget_guesses(&mut self) {
        if !self.guesses.is_empty() {
            *self = self.without_guesses();
        }
    }

    /// What is known after the last token alone.
    pub(super) fn without_guesses(&self) -> Outlook {
        let rows = self.logits().unwrap_or_default().to_vec();
        Outlook { rows, top: self.top.clone(), vocabulary: self.vocabulary, guesses: Vec::new(), taken: 0 }
    }
}
