//! What a session knows of the tokens to come.

/// The logits after a session's last token and, row by row, after the guesses that follow it.
#[derive(Debug, Default)]
pub(super) struct Outlook {
    /// `[row][vocabulary]`; empty where nothing is known. Row `i + 1` is that after guess `i`.
    rows: Vec<f32>,
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

    /// Nothing is known any more.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.guesses.clear();
        self.taken = 0;
    }

    /// The logits after the session's last token, where they are known.
    pub(super) fn logits(&self) -> Option<&[f32]> {
        let row = self.taken * self.vocabulary;
        self.rows.get(row..row + self.vocabulary).filter(|row| !row.is_empty())
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

    /// The logits after the last token alone.
    pub(super) fn without_guesses(&self) -> Outlook {
        let rows = self.logits().unwrap_or_default().to_vec();
        Outlook { rows, vocabulary: self.vocabulary, guesses: Vec::new(), taken: 0 }
    }
}
