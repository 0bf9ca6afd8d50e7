//! A command line of `--name value`, `--flag` and one-letter forms.

use std::collections::VecDeque;
use std::str::FromStr;

use crate::Result;

/// Arguments that are taken out one by one; what is left at the end is an error.
#[derive(Debug)]
pub struct Args(VecDeque<String>);

impl Args {
    /// The arguments of this process; prints `usage` and ends when there are none or help is asked for.
    pub fn of_process(usage: &str) -> Self {
        let args: VecDeque<String> = std::env::args().skip(1).collect();
        if args.is_empty() || args.iter().any(|a| a == "-h" || a == "--help") {
            eprintln!("{usage}");
            std::process::exit(2);
        }
        Self(args)
    }

    /// Whether `name` was given.
    pub fn flag(&mut self, name: &str) -> bool {
        let found = self.0.iter().position(|a| a == name);
        found.map(|i| self.0.remove(i)).is_some()
    }

    /// The value after `name`, if `name` was given; a later one is left for the next call.
    pub fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        let Some(i) = self.0.iter().position(|a| a == name) else { return Ok(None) };
        self.0.remove(i);
        let text = self.0.remove(i).ok_or_else(|| format!("{name} needs a value"))?;
        Ok(Some(text.parse().map_err(|_| format!("{name}: '{text}' is not a value of the right kind"))?))
    }

    /// The value after `name`, which must be given.
    pub fn required<T: FromStr>(&mut self, name: &str) -> Result<T> {
        Ok(self.value(name)?.ok_or_else(|| format!("{name} is required"))?)
    }

    /// Every value of a name that may be given several times.
    pub fn values(&mut self, name: &str) -> Result<Vec<String>> {
        std::iter::from_fn(|| self.value(name).transpose()).collect()
    }

    /// Fails when something was not understood.
    pub fn finish(self) -> Result<()> {
        match self.0.front() {
            Some(word) => Err(format!("unknown argument '{word}'").into()),
            None => Ok(()),
        }
    }
}
