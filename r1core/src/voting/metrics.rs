//! What a set of tasks says about a model: pass@1, cons@k, length of thought.

use std::collections::BTreeMap;

use super::{Ballot, Tally, Voters};

/// One sample of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleResult {
    /// The normalised answer; `None` if the reply has none.
    pub answer: Option<String>,
    /// Whether it equals the reference.
    pub correct: bool,
    /// Tokens of the thought.
    pub thought: u64,
}

/// All samples of one task, by sample index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskResult {
    /// The group under which the task is reported (`arithmetic`, `AIME 2024` ...).
    pub kind: String,
    /// The samples.
    pub samples: Vec<SampleResult>,
}

/// pass@1 as in the DeepSeek-R1 report: for each task the share of its samples that are correct, averaged over tasks. A
/// task without samples counts as failed.
///
/// ```
/// use r1core::voting::{PassAtOne, SampleResult, TaskResult};
/// let sample = |correct| SampleResult { answer: None, correct, thought: 0 };
/// let mut pass = PassAtOne::default();
/// pass.add(&TaskResult { kind: "a".into(), samples: vec![sample(true), sample(false)] });
/// assert_eq!(pass.value(), 0.5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PassAtOne {
    sum: f64,
    tasks: usize,
}

impl PassAtOne {
    /// Adds a task.
    pub fn add(&mut self, task: &TaskResult) {
        let correct = task.samples.iter().filter(|sample| sample.correct).count();
        self.sum += ratio(correct as f64, task.samples.len());
        self.tasks += 1;
    }

    /// The metric, between 0 and 1; 0 without tasks.
    pub fn value(&self) -> f64 {
        ratio(self.sum, self.tasks)
    }
}

/// cons@k: the share of tasks whose most frequent answer among the first k samples is correct. Samples without an answer do
/// not vote; ties are broken as in [`Tally::winner`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consensus {
    k: usize,
    correct: usize,
    tasks: usize,
}

impl Consensus {
    /// An empty metric over the first `k` samples of every task (fewer where a task has fewer).
    pub fn new(k: usize) -> Self {
        Self { k, correct: 0, tasks: 0 }
    }

    /// Adds a task.
    pub fn add(&mut self, task: &TaskResult) {
        self.correct += usize::from(is_consensus_correct(task, self.k));
        self.tasks += 1;
    }

    /// The number of samples that vote.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The metric, between 0 and 1; 0 without tasks.
    pub fn value(&self) -> f64 {
        ratio(self.correct as f64, self.tasks)
    }
}

fn is_consensus_correct(task: &TaskResult, k: usize) -> bool {
    let samples = task.samples.get(..k).unwrap_or(&task.samples);
    let mut tally = Tally::with_voters(Voters::All);
    for (index, sample) in samples.iter().enumerate() {
        // Indices are distinct and the weight is 1, so no ballot is refused.
        let _ = tally.add(Ballot::new(index, sample.answer.as_deref()));
    }
    let winner = tally.winner();
    winner.is_some() && samples.iter().any(|sample| sample.answer == winner && sample.correct)
}

/// The figures of one group of tasks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KindReport {
    /// Number of tasks.
    pub n: usize,
    /// pass@1.
    pub pass_at_1: f64,
    /// cons@k.
    pub consensus: f64,
    /// Mean tokens of thought over all samples.
    pub mean_thought: f64,
}

/// The figures of a whole evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The k of cons@k.
    pub k: usize,
    /// All tasks together.
    pub total: KindReport,
    /// By kind of task, sorted by name.
    pub by_kind: BTreeMap<String, KindReport>,
}

impl Report {
    /// Measures the tasks, with votes of `k` samples.
    pub fn new<'t>(tasks: impl IntoIterator<Item = &'t TaskResult>, k: usize) -> Self {
        let mut total = Meter::new(k);
        let mut kinds: BTreeMap<String, Meter> = BTreeMap::new();
        for task in tasks {
            total.add(task);
            kinds.entry(task.kind.clone()).or_insert_with(|| Meter::new(k)).add(task);
        }
        Self {
            k,
            total: total.report(),
            by_kind: kinds.into_iter().map(|(kind, meter)| (kind, meter.report())).collect(),
        }
    }
}

/// The running figures of a group.
struct Meter {
    pass: PassAtOne,
    consensus: Consensus,
    thought: f64,
    samples: usize,
}

impl Meter {
    fn new(k: usize) -> Self {
        Self { pass: PassAtOne::default(), consensus: Consensus::new(k), thought: 0.0, samples: 0 }
    }

    fn add(&mut self, task: &TaskResult) {
        self.pass.add(task);
        self.consensus.add(task);
        self.thought += task.samples.iter().map(|sample| sample.thought as f64).sum::<f64>();
        self.samples += task.samples.len();
    }

    fn report(&self) -> KindReport {
        KindReport {
            n: self.pass.tasks,
            pass_at_1: self.pass.value(),
            consensus: self.consensus.value(),
            mean_thought: ratio(self.thought, self.samples),
        }
    }
}

/// `sum / count`, 0 for a count of 0.
fn ratio(sum: f64, count: usize) -> f64 {
    if count == 0 { 0.0 } else { sum / count as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples from `answer`, right if it is "r"; thoughts of 10, 20, ... tokens.
    fn task(kind: &str, answers: &[&str]) -> TaskResult {
        let sample = |(index, answer): (usize, &&str)| SampleResult {
            answer: (!answer.is_empty()).then(|| (*answer).to_owned()),
            correct: *answer == "r",
            thought: 10 * (index as u64 + 1),
        };
        TaskResult { kind: kind.into(), samples: answers.iter().enumerate().map(sample).collect() }
    }

    #[test]
    fn pass_at_one_averages_tasks_not_samples() {
        let report = Report::new(&[task("a", &["r"]), task("a", &["x", "x", "x", "r"])], 4);
        assert_eq!(report.total.pass_at_1, (1.0 + 0.25) / 2.0);
    }

    #[test]
    fn consensus_takes_the_most_frequent_answer_of_the_first_k() {
        let tasks = [task("a", &["x", "r", "r", "x", "x"])];
        assert_eq!(Report::new(&tasks, 3).total.consensus, 1.0);
        assert_eq!(Report::new(&tasks, 5).total.consensus, 0.0);
        assert_eq!(Report::new(&[task("a", &["", "", "r"])], 3).total.consensus, 1.0);
        assert_eq!(Report::new(&[task("a", &["", ""])], 2).total.consensus, 0.0);
    }

    #[test]
    fn kinds_are_reported_apart() {
        let report = Report::new(&[task("sum", &["r", "r"]), task("product", &["x", "r"]), task("sum", &["x"])], 2);
        assert_eq!(report.by_kind.keys().collect::<Vec<_>>(), ["product", "sum"]);
        assert_eq!(report.by_kind["sum"].pass_at_1, 0.5);
        assert_eq!(report.by_kind["sum"].n, 2);
        assert_eq!(report.total.n, 3);
        assert_eq!(report.total.mean_thought, 70.0 / 5.0);
        let empty = Report::new([], 4);
        assert_eq!((empty.total.n, empty.total.pass_at_1, empty.total.consensus), (0, 0.0, 0.0));
    }
}
