//! How far an evaluation is, on standard error.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar where there is a terminal, else a line for every tenth.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    pass: String,
    total: usize,
    done: usize,
    right: usize,
}

impl Progress {
    pub(super) fn new(pass: String, total: usize) -> Progress {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total as u64);
            match ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg} {eta}") {
                Ok(style) => bar.with_style(style).with_prefix(pass.clone()),
                Err(_) => bar,
            }
        });
        Progress { bar, pass, total, done: 0, right: 0 }
    }

    /// Notes one more task, and whether its vote is right.
    pub(super) fn step(&mut self, right: bool) {
        self.done += 1;
        self.right += usize::from(right);
        let share = 100.0 * self.right as f64 / self.done as f64;
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{share:.1} % right"));
            bar.inc(1);
            if self.done == self.total {
                bar.finish_and_clear();
            }
        } else if self.done * 10 / self.total > (self.done - 1) * 10 / self.total {
            eprintln!("r1: {}: {}/{} tasks, votes {share:.1} % right", self.pass, self.done, self.total);
        }
    }
}
