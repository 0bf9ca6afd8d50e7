//! Counting ballots.

use std::collections::{BTreeSet, HashMap};

use super::Ballot;
use crate::{Error, ErrorKind, Result};

/// Whose answers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Voters {
    /// Samples whose thought closed naturally. As long as none of them has an answer, the others count.
    #[default]
    Natural,
    /// All samples with an answer.
    All,
}

/// The votes for one answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    /// The normalised answer.
    pub answer: String,
    /// Samples that gave it.
    pub votes: usize,
    /// Sum of their weights.
    pub weight: f64,
}

/// The ballots of one question, in the order in which the samples finished.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    ballots: Vec<Ballot>,
    samples: BTreeSet<usize>,
    voters: Voters,
}

impl Tally {
    /// An empty tally of [`Voters::Natural`].
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty tally with a choice of voters.
    pub fn with_voters(voters: Voters) -> Self {
        Self { voters, ..Self::default() }
    }

    /// Adds the ballot of the sample that finished next.
    ///
    /// Fails with [`ErrorKind::Argument`] if the sample has voted already, or the weight is not above 0 and at most 1.
    pub fn add(&mut self, ballot: Ballot) -> Result<()> {
        if !(ballot.weight > 0.0 && ballot.weight <= 1.0) {
            return Err(Error::new(
                ErrorKind::Argument,
                format!("the weight {} of a vote is not in (0, 1]", ballot.weight),
            ));
        }
        if !self.samples.insert(ballot.sample) {
            return Err(Error::new(ErrorKind::Argument, format!("sample {} has voted already", ballot.sample)));
        }
        self.ballots.push(ballot);
        Ok(())
    }

    /// All ballots, in the order in which they were added.
    pub fn ballots(&self) -> &[Ballot] {
        &self.ballots
    }

    /// Finished samples, with and without an answer.
    pub fn finished(&self) -> usize {
        self.ballots.len()
    }

    /// Tokens of all thoughts.
    pub fn tokens(&self) -> u64 {
        self.ballots.iter().fold(0, |sum, ballot| sum.saturating_add(ballot.tokens))
    }

    /// Whether a ballot votes by right, not for want of better ones.
    pub(super) fn is_full(&self, ballot: &Ballot) -> bool {
        ballot.answer.is_some() && (ballot.natural || self.voters == Voters::All)
    }

    /// Whether the votes that count now stop counting once a better one comes in.
    pub(super) fn is_provisional(&self) -> bool {
        !self.ballots.iter().any(|ballot| self.is_full(ballot))
    }

    /// The ballots that count, with their answers, in the order in which they were added.
    pub(super) fn votes(&self) -> Vec<(&Ballot, &str)> {
        let provisional = self.is_provisional();
        let counting = self.ballots.iter().filter(|ballot| provisional || self.is_full(ballot));
        counting.filter_map(|ballot| Some((ballot, ballot.answer.as_deref()?))).collect()
    }

    /// The votes for every answer, most first; answers with equal weight in the order that [`Tally::winner`] prefers.
    pub fn counts(&self) -> Vec<Count> {
        let mut votes = self.votes();
        votes.sort_by_key(|(ballot, _)| ballot.sample);
        count(&votes)
    }

    /// The answer with the most weight.
    ///
    /// A tie goes to the answer that reached the winning weight first when the ballots are read by sample index, so the
    /// winner does not depend on the order in which samples finish. `None` without an answer.
    pub fn winner(&self) -> Option<String> {
        self.counts().into_iter().next().map(|count| count.answer)
    }

    /// This tally with `count` more votes for its winner.
    pub(super) fn with_leader_votes(&self, count: usize) -> Tally {
        let mut tally = self.clone();
        let answer = self.winner().unwrap_or_default();
        let next = self.samples.last().map_or(0, |last| last + 1);
        for sample in next..next.saturating_add(count) {
            // New indices and the weight 1: no ballot is refused.
            let _ = tally.add(Ballot::new(sample, Some(&answer)));
        }
        tally
    }

    /// The winner's share of the weight of all answers that count, 0 without an answer.
    pub fn confidence(&self) -> f64 {
        share(&self.counts())
    }
}

/// The first answer's share of the weight.
pub(super) fn share(counts: &[Count]) -> f64 {
    let total: f64 = counts.iter().map(|count| count.weight).sum();
    counts.first().map_or(0.0, |leader| leader.weight / total)
}

/// Counts votes in the order given; of equal weights the one that was reached first comes first.
pub(super) fn count(votes: &[(&Ballot, &str)]) -> Vec<Count> {
    let mut index: HashMap<&str, usize> = HashMap::new();
    // Each count with the place of its last vote: where it reached its weight.
    let mut counts: Vec<(Count, usize)> = Vec::new();
    for (place, (ballot, answer)) in votes.iter().enumerate() {
        let at = *index.entry(answer).or_insert(counts.len());
        if at == counts.len() {
            counts.push((Count { answer: (*answer).to_owned(), votes: 0, weight: 0.0 }, place));
        }
        if let Some((count, reached)) = counts.get_mut(at) {
            count.votes += 1;
            count.weight += ballot.weight;
            *reached = place;
        }
    }
    counts.sort_by(|(a, place_a), (b, place_b)| b.weight.total_cmp(&a.weight).then(place_a.cmp(place_b)));
    counts.into_iter().map(|(count, _)| count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voting::Ballot;

    fn tally(answers: &[(usize, Option<&str>)]) -> Tally {
        let mut tally = Tally::new();
        for (sample, answer) in answers {
            tally.add(Ballot::new(*sample, *answer)).unwrap();
        }
        tally
    }

    #[test]
    fn the_majority_wins_and_missing_answers_do_not_count() {
        let tally = tally(&[(0, Some("a")), (1, None), (2, Some("b")), (3, Some("b")), (4, None)]);
        assert_eq!(tally.winner().as_deref(), Some("b"));
        assert_eq!(tally.confidence(), 2.0 / 3.0);
        assert_eq!(tally.finished(), 5);
        assert_eq!(tally.counts().iter().map(|c| c.votes).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn a_tie_goes_to_the_answer_that_reached_it_first_by_sample_index() {
        // By index: a, b, b, a. `b` has its second vote at sample 2.
        let order = [(3, Some("a")), (0, Some("a")), (2, Some("b")), (1, Some("b"))];
        assert_eq!(tally(&order).winner().as_deref(), Some("b"));
        let mut reversed = order;
        reversed.reverse();
        assert_eq!(tally(&reversed).winner().as_deref(), Some("b"));
    }

    #[test]
    fn cut_thoughts_count_only_while_there_is_nothing_else() {
        let mut tally = Tally::new();
        tally.add(Ballot::new(0, Some("a")).cut()).unwrap();
        tally.add(Ballot::new(1, Some("a")).cut()).unwrap();
        assert_eq!(tally.winner().as_deref(), Some("a"));
        tally.add(Ballot::new(2, Some("b"))).unwrap();
        assert_eq!(tally.winner().as_deref(), Some("b"));
        let mut all = Tally::with_voters(Voters::All);
        for ballot in tally.ballots() {
            all.add(ballot.clone()).unwrap();
        }
        assert_eq!(all.winner().as_deref(), Some("a"));
    }

    #[test]
    fn bad_ballots_are_refused() {
        let mut tally = tally(&[(0, Some("a"))]);
        assert!(tally.add(Ballot::new(0, Some("b"))).is_err());
        for weight in [0.0, -1.0, 1.5, f64::NAN, f64::INFINITY] {
            assert!(tally.add(Ballot::new(1, Some("b")).weight(weight)).is_err());
        }
        tally.add(Ballot::new(1, Some("b")).weight(0.5)).unwrap();
        assert_eq!(tally.winner().as_deref(), Some("a"));
        assert!(Tally::new().winner().is_none());
        assert_eq!(Tally::new().confidence(), 0.0);
    }
}
