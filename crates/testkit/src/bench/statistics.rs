//! What paired measurements say: a 95 % interval on the mean log ratio, percentiles, and the verdict they give.

#[cfg(test)]
mod tests;

/// Rounds before an interval is believed: with fewer, two lucky pairs would decide.
pub const FEWEST_ROUNDS: usize = 6;

/// Two-sided 95 % quantiles of Student's t for 1 to 40 degrees of freedom.
const QUANTILES: [f64; 40] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042, 2.040, 2.037, 2.035, 2.032, 2.030, 2.028, 2.026, 2.024, 2.023,
    2.021,
];

/// A ratio with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Geometric mean of the ratios.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Of paired ratios, all positive, at least two; by Student's t on their logarithms, so that a ratio and its
    /// inverse weigh the same.
    pub fn of(ratios: &[f64]) -> Option<Self> {
        let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
        if logs.len() < 2 || logs.iter().any(|log| !log.is_finite()) {
            return None;
        }
        let count = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / count;
        let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0);
        // Above 40 degrees of freedom the last value is on the safe side.
        let quantile = QUANTILES[(logs.len() - 2).min(QUANTILES.len() - 1)];
        let half = quantile * (variance / count).sqrt();
        Some(Self {
            mean: mean.exp(),
            low: (mean - half).exp(),
            high: (mean + half).exp(),
        })
    }
}

/// What is wanted of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// Whether the target is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Met,
    /// It is not.
    Missed,
    /// The interval holds the target.
    Undecided,
    /// There is no target: a figure to compare with.
    Reference,
}

impl Target {
    /// Of a ratio with its interval: decided only when the whole interval lies on one side.
    pub fn judge(self, interval: Interval) -> Verdict {
        let (met, missed) = match self {
            Self::AtLeast(target) => (interval.low >= target, interval.high < target),
            Self::AtMost(target) => (interval.high <= target, interval.low > target),
        };
        match (met, missed) {
            (true, _) => Verdict::Met,
            (_, true) => Verdict::Missed,
            _ => Verdict::Undecided,
        }
    }

    /// Of a figure without a baseline, which is what it is.
    pub fn judge_figure(self, value: f64) -> Verdict {
        let met = match self {
            Self::AtLeast(target) => value >= target,
            Self::AtMost(target) => value <= target,
        };
        if met { Verdict::Met } else { Verdict::Missed }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(value) => write!(f, "≥ {value}"),
            Self::AtMost(value) => write!(f, "≤ {value}"),
        }
    }
}

impl Verdict {
    /// The word in tables and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Undecided => "undecided",
            Self::Reference => "reference",
        }
    }
}

/// The smallest value that at least `percent` of all do not exceed (nearest rank); nothing of nothing.
pub fn percentile(values: &[f64], percent: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// The middle value.
pub fn median(values: &[f64]) -> Option<f64> {
    percentile(values, 50.0)
}
