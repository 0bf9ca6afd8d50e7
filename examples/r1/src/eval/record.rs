//! What a pass made of a task, and the file that keeps it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use r1core::voting::SampleResult;
use serde::{Deserialize, Serialize};

use crate::output::{Failure, Outcome};

/// One line of a result file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Names model and settings.
    pub(super) settings: String,
    /// Names the task.
    pub(super) task: String,
    pub(super) pass: String,
    /// The vote's answer.
    pub(super) answer: Option<String>,
    /// Whether it is right.
    pub(super) correct: bool,
    /// Tokens of all samples, cancelled ones included.
    pub(super) tokens: u64,
    /// By sample index, without cancelled ones.
    pub(super) samples: Vec<Sample>,
    /// Why there are no samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sample {
    pub(super) answer: Option<String>,
    pub(super) correct: bool,
    /// Tokens of the thought.
    pub(super) thought: u64,
    /// All tokens.
    pub(super) tokens: u64,
    pub(super) finish: String,
    pub(super) close: String,
}

impl Sample {
    pub(super) fn result(&self) -> SampleResult {
        SampleResult { answer: self.answer.clone(), correct: self.correct, thought: self.thought }
    }
}

/// All records of one run, also those of earlier runs with the same settings.
#[derive(Debug)]
pub(super) struct Records {
    settings: String,
    file: Option<(String, File)>,
    /// By task and pass.
    records: HashMap<(String, String), Record>,
}

impl Records {
    /// The records in the file that have these settings, where there is a file.
    pub(super) fn open(path: Option<&Path>, settings: &str) -> Outcome<Records> {
        let mut records = Records { settings: settings.to_owned(), file: None, records: HashMap::new() };
        let Some(path) = path else { return Ok(records) };
        let name = path.display().to_string();
        let failed = |e| Failure::File(name.clone(), e);
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        // A run that was killed may leave half a line at the end.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for (at, line) in bytes[..whole].split(|byte| *byte == b'\n').enumerate().filter(|(_, l)| !l.is_empty()) {
            let record: Record = serde_json::from_slice(line).map_err(|e| {
                Failure::Usage(format!("{name}:{}: not a result of r1 eval ({e}); choose another --out file", at + 1))
            })?;
            if record.settings == settings {
                records.keep(record);
            }
        }
        if whole < bytes.len() {
            if whole == 0 {
                return Err(Failure::Usage(format!("{name}: not a result of r1 eval; choose another --out file")));
            }
            file.set_len(whole as u64).map_err(failed)?;
        }
        records.file = Some((name, file));
        Ok(records)
    }

    pub(super) fn get(&self, task: &str, pass: &str) -> Option<&Record> {
        self.records.get(&(task.to_owned(), pass.to_owned()))
    }

    /// Keeps a record, in the file at once.
    pub(super) fn add(&mut self, mut record: Record) -> Outcome {
        record.settings.clone_from(&self.settings);
        if let Some((name, file)) = &mut self.file {
            let mut line = serde_json::to_vec(&record).map_err(|e| Failure::Io(e.into()))?;
            line.push(b'\n');
            file.write_all(&line).map_err(|e| Failure::File(name.clone(), e))?;
        }
        self.keep(record);
        Ok(())
    }

    fn keep(&mut self, record: Record) {
        self.records.insert((record.task.clone(), record.pass.clone()), record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(task: &str) -> Record {
        let sample = Sample {
            answer: Some("4".into()),
            correct: true,
            thought: 9,
            tokens: 12,
            finish: "stop".into(),
            close: "natural".into(),
        };
        Record {
            settings: String::new(),
            task: task.into(),
            pass: "samples".into(),
            answer: Some("4".into()),
            correct: true,
            tokens: 12,
            samples: vec![sample],
            error: None,
        }
    }

    #[test]
    fn a_second_run_finds_what_the_first_has_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut first = Records::open(Some(&path), "s").unwrap();
        first.add(record("a")).unwrap();
        first.add(record("b")).unwrap();
        drop(first);
        // Killed in the middle of a line.
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 7]).unwrap();
        let mut second = Records::open(Some(&path), "s").unwrap();
        assert!(second.get("a", "samples").is_some() && second.get("b", "samples").is_none());
        second.add(record("b")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        // Other settings start anew.
        assert!(Records::open(Some(&path), "t").unwrap().get("a", "samples").is_none());
    }

    #[test]
    fn files_of_others_are_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        for text in ["a note", "a note\n", "{\"prompt\": 1}\n"] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(Records::open(Some(&path), "s"), Err(Failure::Usage(_))), "{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
