//! When to stop sampling.

use std::fmt;
use std::str::FromStr;

use super::beta::leader_probability;
use super::tally::{Count, Tally, count, share};
use crate::{Error, ErrorKind, Result};

/// A rule that ends a vote before all samples have finished. The samples that still run can then be cancelled.
///
/// Every rule but [`EarlyStop::Never`] also stops as soon as the result is certain.
///
/// ```
/// use r1core::voting::EarlyStop;
/// assert_eq!("beta:0.95".parse::<EarlyStop>().unwrap(), EarlyStop::Beta { threshold: 0.95 });
/// assert_eq!(EarlyStop::Window(4).to_string(), "window:4");
/// assert!("window:0".parse::<EarlyStop>().is_err());
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum EarlyStop {
    /// Waits for all samples.
    Never,
    /// Stops when the leader is ahead by more than the samples that still run could give: the same winner as
    /// [`EarlyStop::Never`], always.
    #[default]
    Certain,
    /// Stops when the last n samples to finish all gave one answer; the majority of all wins (ESC, arXiv 2401.10480,
    /// with a sliding window).
    Window(usize),
    /// Stops when the leader stays ahead of the second with at least this posterior probability (Adaptive-Consistency,
    /// arXiv 2305.11860, which uses 0.95).
    Beta {
        /// Between 0.5 and 1.
        threshold: f64,
    },
    /// Stops when m samples have finished with an answer; the majority among those m wins, and of equal answers the one
    /// with the shortest thought (short-m@k, arXiv 2505.17813).
    First(usize),
}

/// Why a vote ended.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// All samples have finished.
    Exhausted,
    /// The rest could not change the winner.
    Certain,
    /// [`EarlyStop::Window`] held.
    Window,
    /// [`EarlyStop::Beta`] held.
    Beta,
    /// [`EarlyStop::First`] held.
    First,
}

/// The end of a vote.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The winning answer; `None` if all samples have finished and none has an answer.
    pub answer: Option<String>,
    /// The winner's share of the weight that counted.
    pub confidence: f64,
    /// Why it ended.
    pub reason: StopReason,
}

impl Decision {
    fn of(counts: Vec<Count>, reason: StopReason) -> Self {
        let confidence = share(&counts);
        Self { answer: counts.into_iter().next().map(|count| count.answer), confidence, reason }
    }
}

impl EarlyStop {
    /// Whether the vote can end now, with `remaining` samples still running. Call it after every ballot.
    ///
    /// While only cut thoughts have voted (see [`Voters`](super::Voters)), nothing ends a vote but its last sample.
    pub fn decide(&self, tally: &Tally, remaining: usize) -> Option<Decision> {
        if let Self::First(wanted) = *self {
            return first(tally, wanted.max(1), remaining);
        }
        let counts = tally.counts();
        let reason = if remaining == 0 {
            Some(StopReason::Exhausted)
        } else if *self == Self::Never || tally.is_provisional() {
            None
        } else if is_certain(&counts, remaining) {
            Some(StopReason::Certain)
        } else {
            match *self {
                Self::Window(length) => is_unanimous(tally, length.max(1)).then_some(StopReason::Window),
                Self::Beta { threshold } => (posterior(&counts)? >= threshold).then_some(StopReason::Beta),
                Self::Never | Self::Certain | Self::First(_) => None,
            }
        };
        reason.map(|reason| Decision::of(counts, reason))
    }

    /// How many of the `remaining` samples can end the vote at the least: so many, if all of them give the leader's
    /// answer. Running more at a time ends the vote sooner only where they disagree.
    ///
    /// [`EarlyStop::Never`] needs all of them, and [`EarlyStop::First`] races them.
    ///
    /// ```
    /// use r1core::voting::{EarlyStop, Tally};
    /// assert_eq!(EarlyStop::Certain.fewest(&Tally::new(), 16), 9);
    /// assert_eq!(EarlyStop::Beta { threshold: 0.95 }.fewest(&Tally::new(), 16), 4);
    /// assert_eq!(EarlyStop::First(3).fewest(&Tally::new(), 16), 16);
    /// ```
    pub fn fewest(&self, tally: &Tally, remaining: usize) -> usize {
        if matches!(self, Self::Never | Self::First(_)) {
            return remaining;
        }
        // More of the leader's votes never keep a vote open, so the smallest number is found by halving.
        let (mut low, mut high) = (1, remaining);
        while low < high {
            let middle = low.midpoint(high);
            if self.decide(&tally.with_leader_votes(middle), remaining - middle).is_some() {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        high
    }
}

/// Whether the leader is ahead by more than `remaining` votes of the largest weight, 1.
fn is_certain(counts: &[Count], remaining: usize) -> bool {
    let second = counts.get(1).map_or(0.0, |count| count.weight);
    counts.first().is_some_and(|leader| leader.weight - second > remaining as f64)
}

/// Whether the last `length` samples to finish all voted, for one answer.
fn is_unanimous(tally: &Tally, length: usize) -> bool {
    let Some(start) = tally.finished().checked_sub(length) else { return false };
    let window = tally.ballots().get(start..).unwrap_or_default();
    let same = window.windows(2).all(|pair| matches!(pair, [a, b] if a.answer == b.answer));
    same && window.iter().all(|ballot| tally.is_full(ballot))
}

fn posterior(counts: &[Count]) -> Option<f64> {
    let leader = counts.first()?;
    Some(leader_probability(leader.weight, counts.get(1).map_or(0.0, |count| count.weight)))
}

fn first(tally: &Tally, wanted: usize, remaining: usize) -> Option<Decision> {
    let mut votes = tally.votes();
    let missing = remaining.min(wanted.saturating_sub(votes.len()));
    votes.truncate(wanted);
    votes.sort_by_key(|(ballot, _)| (ballot.tokens, ballot.sample));
    let mut counts = count(&votes);
    let shortest = |count: &Count| votes.iter().position(|(_, answer)| *answer == count.answer);
    counts.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(shortest(a).cmp(&shortest(b))));
    let reason = match missing {
        _ if remaining > 0 && tally.is_provisional() => return None,
        0 if votes.len() == wanted => StopReason::First,
        0 => StopReason::Exhausted,
        missing if is_certain(&counts, missing) => StopReason::Certain,
        _ => return None,
    };
    Some(Decision::of(counts, reason))
}

impl fmt::Display for EarlyStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Certain => f.write_str("certain"),
            Self::Window(length) => write!(f, "window:{length}"),
            Self::Beta { threshold } => write!(f, "beta:{threshold}"),
            Self::First(wanted) => write!(f, "first:{wanted}"),
        }
    }
}

impl FromStr for EarlyStop {
    type Err = Error;

    /// Reads `never`, `certain`, `window:N`, `beta:P` or `first:M`; fails with [`ErrorKind::Argument`] for anything else, a
    /// count of zero, or a probability that is not above 0.5 and below 1.
    fn from_str(text: &str) -> Result<Self> {
        let whole = |text: &str| text.parse().ok().filter(|count| *count > 0usize);
        let chance = |text: &str| text.parse().ok().filter(|p: &f64| *p > 0.5 && *p < 1.0);
        let rule = match text.split_once(':') {
            None if text == "never" => Some(Self::Never),
            None if text == "certain" => Some(Self::Certain),
            Some(("window", length)) => whole(length).map(Self::Window),
            Some(("beta", threshold)) => chance(threshold).map(|threshold| Self::Beta { threshold }),
            Some(("first", wanted)) => whole(wanted).map(Self::First),
            _ => None,
        };
        rule.ok_or_else(|| {
            Error::new(ErrorKind::Argument, format!("{text:?} is no rule to end a vote"))
                .remedy("use never, certain, window:N, beta:P with P above 0.5 and below 1, or first:M")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voting::Ballot;
    use proptest::prelude::*;

    fn tally(answers: &[&str]) -> Tally {
        let mut tally = Tally::new();
        for (sample, answer) in answers.iter().enumerate() {
            tally.add(Ballot::new(sample, (!answer.is_empty()).then_some(*answer))).unwrap();
        }
        tally
    }

    fn reason(rule: EarlyStop, answers: &[&str], remaining: usize) -> Option<StopReason> {
        rule.decide(&tally(answers), remaining).map(|decision| decision.reason)
    }

    #[test]
    fn a_lead_larger_than_the_rest_is_certain() {
        assert_eq!(reason(EarlyStop::Certain, &["a", "a", "b", "a"], 2), None);
        assert_eq!(reason(EarlyStop::Certain, &["a", "a", "b", "a"], 1), Some(StopReason::Certain));
        assert_eq!(reason(EarlyStop::Never, &["a", "a"], 1), None);
        assert_eq!(reason(EarlyStop::Never, &["a", "a"], 0), Some(StopReason::Exhausted));
        assert_eq!(reason(EarlyStop::Certain, &[], 0), Some(StopReason::Exhausted));
        assert_eq!(reason(EarlyStop::Beta { threshold: 0.9 }, &[""], 3), None);
    }

    #[test]
    fn a_window_needs_equal_answers_without_gaps() {
        let rule = EarlyStop::Window(3);
        assert_eq!(reason(rule, &["b", "a", "a", "a"], 9), Some(StopReason::Window));
        assert_eq!(reason(rule, &["a", "a"], 9), None);
        assert_eq!(reason(rule, &["a", "", "a", "a"], 9), None);
        assert_eq!(reason(rule, &["a", "a", "a", "b"], 9), None);
        let mut cut = tally(&["a", "a"]);
        cut.add(Ballot::new(9, Some("a")).cut()).unwrap();
        assert_eq!(rule.decide(&cut, 9), None);
    }

    #[test]
    fn the_posterior_stops_at_its_threshold() {
        // Beta(n + 1, 1) has mass 1 - 2^-(n+1) above one half.
        let rule = EarlyStop::Beta { threshold: 0.95 };
        assert_eq!(reason(rule, &["a", "a", "a"], 40), None);
        assert_eq!(reason(rule, &["a", "a", "a", "a"], 40), Some(StopReason::Beta));
        assert_eq!(reason(rule, &["a", "b", "a", "b", "a", "a"], 40), None);
    }

    #[test]
    fn the_first_to_finish_decide_and_the_shortest_breaks_ties() {
        let mut tally = Tally::new();
        tally.add(Ballot::new(5, None).tokens(1)).unwrap();
        tally.add(Ballot::new(4, Some("b")).tokens(30)).unwrap();
        assert_eq!(EarlyStop::First(3).decide(&tally, 4), None);
        assert_eq!(EarlyStop::First(2).decide(&tally, 4), None);
        tally.add(Ballot::new(0, Some("a")).tokens(20)).unwrap();
        tally.add(Ballot::new(1, Some("b")).tokens(90)).unwrap();
        let decision = EarlyStop::First(2).decide(&tally, 2).unwrap();
        assert_eq!((decision.answer.as_deref(), decision.reason), (Some("a"), StopReason::First));
        assert_eq!(EarlyStop::First(3).decide(&tally, 2).unwrap().answer.as_deref(), Some("b"));
        let two = self::tally(&["a", "a"]);
        assert_eq!(EarlyStop::First(3).decide(&two, 9).unwrap().reason, StopReason::Certain);
        assert_eq!(EarlyStop::First(9).decide(&tally, 0).unwrap().reason, StopReason::Exhausted);
    }

    #[test]
    fn the_fewest_votes_that_end_a_vote_are_found() {
        assert_eq!(EarlyStop::Window(3).fewest(&tally(&["a"]), 15), 2);
        assert_eq!(EarlyStop::Window(3).fewest(&tally(&["a", "a", "b"]), 13), 3);
        assert_eq!(EarlyStop::Beta { threshold: 0.95 }.fewest(&tally(&["a", "b"]), 14), 5);
        assert_eq!(EarlyStop::Certain.fewest(&tally(&["a", "b"]), 2), 2);
        assert_eq!(EarlyStop::Certain.fewest(&tally(&["a"]), 0), 0);
        assert_eq!(EarlyStop::Never.fewest(&tally(&["a"]), 7), 7);
        let rules = [EarlyStop::Certain, EarlyStop::Window(4), EarlyStop::Beta { threshold: 0.9 }];
        for (rule, votes) in rules.into_iter().zip([["a", "b", "a"], ["a", "a", "a"], ["", "b", ""]]) {
            let tally = tally(&votes);
            let fewest = rule.fewest(&tally, 20);
            let ends = |n| rule.decide(&tally.with_leader_votes(n), 20 - n).is_some();
            assert!(ends(fewest) && !ends(fewest - 1), "{rule}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn certainty_is_never_wrong(votes in proptest::collection::vec((0..4usize, any::<bool>()), 1..14), done in 0..14usize) {
            let names = [None, Some("a"), Some("b"), Some("c")];
            let mut tally = Tally::new();
            let mut early = None;
            for (sample, (answer, natural)) in votes.iter().enumerate() {
                let ballot = Ballot::new(sample, names[*answer]);
                tally.add(if *natural { ballot } else { ballot.cut() }).unwrap();
                if sample + 1 >= done && early.is_none() {
                    early = EarlyStop::Certain.decide(&tally, votes.len() - sample - 1);
                }
            }
            if let Some(early) = early {
                prop_assert_eq!(early.answer, tally.winner());
            }
        }
    }
}
