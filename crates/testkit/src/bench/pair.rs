//! Pairs: every contender in turn with the baseline, round after round, until each is decided.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use super::statistics::{FEWEST_ROUNDS, Interval, Target, Verdict};
use super::table::Row;

/// One measurement, a positive number.
pub type Measure<'a> = Box<dyn FnMut() -> anyhow::Result<f64> + 'a>;

/// What is compared with the baseline.
pub struct Contender<'a> {
    /// Name of its row.
    pub name: String,
    /// What is wanted of the ratio.
    pub target: Option<Target>,
    /// Measures it.
    pub measure: Measure<'a>,
}

/// What all are compared with.
pub struct Baseline<'a> {
    /// Its name.
    pub name: String,
    /// Unit of the values.
    pub unit: &'static str,
    /// Measures it.
    pub measure: Measure<'a>,
}

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most rounds.
    pub rounds: usize,
    /// When no further round begins than the fewest.
    pub deadline: Instant,
}

impl Limits {
    /// So many rounds, in so much time from now.
    pub fn new(rounds: usize, time: Duration) -> Self {
        Self {
            rounds,
            deadline: Instant::now() + time,
        }
    }

    fn may_go_on(&self, done: usize) -> bool {
        done < self.rounds && (done < FEWEST_ROUNDS || Instant::now() < self.deadline)
    }
}

/// Measures; a row for each contender. The order turns with each round, so that nobody always comes after the same one.
pub fn compare(
    limits: Limits,
    baseline: &mut Baseline<'_>,
    contenders: &mut [Contender<'_>],
) -> anyhow::Result<Vec<Row>> {
    let mut pairs: Vec<Vec<(f64, f64)>> = vec![Vec::new(); contenders.len()];
    let mut round = 0;
    while limits.may_go_on(round) {
        let seats = contenders.len() + 1;
        let mut values = vec![0.0; seats];
        for turn in 0..seats {
            let seat = (turn + round) % seats;
            values[seat] = match seat.checked_sub(1) {
                None => (baseline.measure)()?,
                Some(index) => (contenders[index].measure)()?,
            };
        }
        for (index, pairs) in pairs.iter_mut().enumerate() {
            pairs.push((values[index + 1], values[0]));
        }
        round += 1;
        if round >= FEWEST_ROUNDS && all_decided(contenders, &pairs) {
            break;
        }
    }
    let rows = contenders.iter().zip(&pairs).map(|(contender, pairs)| {
        Row::ratio(
            contender.name.as_str(),
            pairs,
            &baseline.name,
            baseline.unit,
            contender.target,
        )
    });
    rows.collect()
}

fn all_decided(contenders: &[Contender<'_>], pairs: &[Vec<(f64, f64)>]) -> bool {
    contenders.iter().zip(pairs).all(|(contender, pairs)| {
        let Some(target) = contender.target else {
            return true;
        };
        let ratios: Vec<f64> = pairs.iter().map(|(ours, theirs)| ours / theirs).collect();
        Interval::of(&ratios).is_some_and(|it| target.judge(it) != Verdict::Undecided)
    })
}
