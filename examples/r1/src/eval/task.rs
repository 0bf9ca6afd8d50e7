//! Task files.

use std::path::Path;

use r1core::answer::{AnswerKind, Pattern};
use serde::Deserialize;

use super::hash;
use crate::output::{Failure, Outcome};

/// One task.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) prompt: String,
    /// The right answer.
    pub(super) answer: String,
    pub(super) kind: AnswerKind,
    /// Reported apart from other groups.
    pub(super) group: Option<String>,
    /// Names the task in result files.
    pub(super) key: String,
}

#[derive(Deserialize)]
struct Line {
    prompt: String,
    answer: serde_json::Value,
    kind: Option<String>,
    pattern: Option<String>,
    group: Option<String>,
}

/// The tasks of a file, at most `limit`.
pub(super) fn read(path: &Path, limit: Option<usize>) -> Outcome<Vec<Task>> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|e| Failure::File(name.clone(), e))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let tasks: Vec<Task> = lines
        .take(limit.unwrap_or(usize::MAX))
        .map(|(at, line)| parse(line).map_err(|why| Failure::Usage(format!("{name}:{}: {why}", at + 1))))
        .collect::<Outcome<_>>()?;
    if tasks.is_empty() {
        return Err(Failure::Usage(format!("{name}: no tasks")));
    }
    Ok(tasks)
}

fn parse(line: &str) -> Result<Task, String> {
    let line: Line = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let answer = match line.answer {
        serde_json::Value::String(text) => text,
        serde_json::Value::Number(number) => number.to_string(),
        _ => return Err("the answer is neither text nor a number".into()),
    };
    let kind = match (line.kind.as_deref(), line.pattern) {
        (Some("regex"), Some(pattern)) => Pattern::new(&pattern).map(AnswerKind::Regex).map_err(|e| e.to_string())?,
        (Some("regex"), None) => return Err("a task of kind regex needs a \"pattern\"".into()),
        (_, Some(_)) => return Err("only tasks of kind regex have a \"pattern\"".into()),
        (Some(kind), None) => kind.parse().map_err(|e: r1core::Error| e.to_string())?,
        (None, None) => AnswerKind::default(),
    };
    let key = hash::name(&[line.prompt.as_bytes(), answer.as_bytes(), kind.to_string().as_bytes()]);
    Ok(Task { prompt: line.prompt, answer, kind, group: line.group, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_of_every_kind_are_read() {
        let task = parse(r#"{"prompt": "2+2?", "answer": 4, "kind": "integer", "group": "sums"}"#).unwrap();
        assert_eq!(
            (task.answer.as_str(), &task.kind, task.group.as_deref()),
            ("4", &AnswerKind::Integer, Some("sums"))
        );
        assert_eq!(parse(r#"{"prompt": "p", "answer": "1/2"}"#).unwrap().kind, AnswerKind::Math);
        let regex = parse(r#"{"prompt": "p", "answer": "7", "kind": "regex", "pattern": "n=(\\d+)"}"#).unwrap();
        assert_eq!(regex.kind.to_string(), r"regex:n=(\d+)");
        assert_eq!(parse(r#"{"prompt": "p", "answer": "7", "kind": "regex:n=(\\d+)"}"#).unwrap().key, regex.key);
    }

    #[test]
    fn bad_tasks_are_refused() {
        for bad in [
            "{}",
            r#"{"prompt": "p"}"#,
            r#"{"prompt": "p", "answer": [1]}"#,
            r#"{"prompt": "p", "answer": "1", "kind": "essay"}"#,
            r#"{"prompt": "p", "answer": "1", "kind": "regex"}"#,
            r#"{"prompt": "p", "answer": "1", "kind": "regex", "pattern": "("}"#,
            r#"{"prompt": "p", "answer": "1", "kind": "math", "pattern": "x"}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
