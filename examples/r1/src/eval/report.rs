//! The figures.

use std::collections::BTreeMap;

use r1core::voting::{Consensus, EarlyStop, KindReport, Report, TaskResult};
use serde_json::{Map, Value, json};

use super::record::{Record, Records};
use super::settings::{Pass, Settings};
use super::task::Task;

/// What all passes say about the model.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) samples: Report,
    by_group: BTreeMap<String, KindReport>,
    /// Votes, and the accuracy of that many.
    pub(super) votes: Vec<(usize, f64)>,
    /// Budget, pass@1 and consensus under it.
    pub(super) budgets: Vec<(usize, KindReport)>,
    early_stop: Vec<EarlyStopFigures>,
    tokens: u64,
}

#[derive(Debug)]
struct EarlyStopFigures {
    rule: EarlyStop,
    accuracy: f64,
    tokens: u64,
    /// Mean of the samples that ended.
    samples: f64,
}

impl Figures {
    pub(super) fn new(tasks: &[Task], records: &Records, settings: &Settings) -> Figures {
        let k = settings.samples;
        let all = results(tasks, records, Pass::Samples, |task| Some(task.kind.name().to_owned()));
        let groups = results(tasks, records, Pass::Samples, |task| task.group.clone());
        let mut figures = Figures {
            samples: Report::new(&all, k),
            by_group: Report::new(&groups, k).by_kind,
            votes: powers(k).map(|votes| (votes, consensus(&all, votes))).collect(),
            budgets: Vec::new(),
            early_stop: Vec::new(),
            tokens: total(tasks, records, Pass::Samples, |record| record.tokens),
        };
        for pass in &settings.passes {
            match *pass {
                Pass::Samples => {}
                Pass::Budget(budget) => {
                    let results = results(tasks, records, *pass, |_| Some(String::new()));
                    figures.budgets.push((budget, Report::new(&results, k).total));
                }
                Pass::EarlyStop(rule) => figures.early_stop.push(EarlyStopFigures {
                    rule,
                    accuracy: total(tasks, records, *pass, |record| record.correct.into()) as f64 / tasks.len() as f64,
                    tokens: total(tasks, records, *pass, |record| record.tokens),
                    samples: total(tasks, records, *pass, |record| record.samples.len() as u64) as f64
                        / tasks.len() as f64,
                }),
            }
        }
        figures
    }

    pub(super) fn json(&self) -> Value {
        let total = self.samples.total;
        let votes: Vec<_> = self.votes.iter().map(|(n, accuracy)| json!({"votes": n, "accuracy": accuracy})).collect();
        let budgets = self.budgets.iter().map(|(budget, report)| {
            json!({"budget": budget, "accuracy": report.pass_at_1, "cons@k": report.consensus,
                   "mean_thought": report.mean_thought})
        });
        let early_stop = self.early_stop.iter().map(|figures| {
            json!({"rule": figures.rule.to_string(), "accuracy": figures.accuracy, "tokens": figures.tokens,
                   "samples": figures.samples, "share": self.share(figures)})
        });
        json!({
            "pass@1": total.pass_at_1, "cons@k": total.consensus, "k": self.samples.k, "n": total.n,
            "mean_thought": total.mean_thought, "tokens": self.tokens,
            "by_kind": groups_json(&self.samples.by_kind), "by_group": groups_json(&self.by_group),
            "votes": votes, "budgets": budgets.collect::<Vec<_>>(), "early_stop": early_stop.collect::<Vec<_>>(),
        })
    }

    pub(super) fn print(&self) {
        let k = self.samples.k;
        println!("{:<24} {:>6} {:>8} {:>8} {:>9}", "", "tasks", "pass@1", format!("cons@{k}"), "thought");
        let total = [("all", &self.samples.total)].into_iter();
        let kinds = self.samples.by_kind.iter().chain(&self.by_group).map(|(name, report)| (name.as_str(), report));
        for (name, r) in total.chain(kinds) {
            let (pass, consensus) = (percent(r.pass_at_1), percent(r.consensus));
            println!("{name:<24} {:>6} {pass:>8} {consensus:>8} {:>9.1}", r.n, r.mean_thought);
        }
        for (budget, r) in &self.budgets {
            let (pass, consensus) = (percent(r.pass_at_1), percent(r.consensus));
            println!("{:<24} {:>6} {pass:>8} {consensus:>8} {:>9.1}", format!("budget {budget}"), r.n, r.mean_thought);
        }
        for figures in &self.early_stop {
            println!(
                "vote until {:<13} right {}; {:.1} samples a task, {} of the tokens",
                figures.rule.to_string(),
                percent(figures.accuracy),
                figures.samples,
                percent(self.share(figures)),
            );
        }
    }

    /// Tokens of an early-stopped vote as a part of those of all samples.
    fn share(&self, figures: &EarlyStopFigures) -> f64 {
        if self.tokens == 0 { 0.0 } else { figures.tokens as f64 / self.tokens as f64 }
    }
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

/// 1, 2, 4 ... and k.
fn powers(k: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1usize), |n| n.checked_mul(2)).take_while(move |n| *n < k).chain([k])
}

fn consensus(results: &[TaskResult], votes: usize) -> f64 {
    let mut consensus = Consensus::new(votes);
    results.iter().for_each(|task| consensus.add(task));
    consensus.value()
}

/// The samples of the tasks that belong to a group.
fn results(tasks: &[Task], records: &Records, pass: Pass, group: impl Fn(&Task) -> Option<String>) -> Vec<TaskResult> {
    let pass = pass.to_string();
    let result = |task: &Task| {
        let samples = records.get(&task.key, &pass).map(|record| record.samples.as_slice()).unwrap_or_default();
        Some(TaskResult { kind: group(task)?, samples: samples.iter().map(super::record::Sample::result).collect() })
    };
    tasks.iter().filter_map(result).collect()
}

fn total(tasks: &[Task], records: &Records, pass: Pass, value: impl Fn(&Record) -> u64) -> u64 {
    let pass = pass.to_string();
    tasks.iter().filter_map(|task| records.get(&task.key, &pass)).map(value).sum()
}

fn groups_json(groups: &BTreeMap<String, KindReport>) -> Map<String, Value> {
    let report = |r: &KindReport| json!({"n": r.n, "pass@1": r.pass_at_1, "cons@k": r.consensus, "mean_thought": r.mean_thought});
    groups.iter().map(|(name, r)| (name.clone(), report(r))).collect()
}

#[cfg(test)]
mod tests {
    use super::powers;

    #[test]
    fn votes_double_up_to_k() {
        assert_eq!(powers(1).collect::<Vec<_>>(), [1]);
        assert_eq!(powers(6).collect::<Vec<_>>(), [1, 2, 4, 6]);
        assert_eq!(powers(8).collect::<Vec<_>>(), [1, 2, 4, 8]);
    }
}
