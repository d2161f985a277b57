//! The kernel's jiffies, which connection entries are stamped with, and how many of them make a second.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::sys;

/// Tick rates that Linux can be built with on the processors that we run on.
const RATES: [u32; 4] = [100, 250, 300, 1000];
/// Ticks per measurement; three measurements take at most 90 ms.
const TICKS: u32 = 3;
/// An edge is noticed promptly when two reads around it are no further apart.
const PROMPT: Duration = Duration::from_micros(150);
/// Reads after which an edge is taken as it comes; some seconds.
const MAX_READS: u32 = 2_000_000;

/// Reads jiffies by running a program of three instructions: user space has no other exact way.
#[derive(Debug)]
pub struct Clock {
    low: OwnedFd,
    high: OwnedFd,
    hz: u32,
}

/// Why jiffies cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the kernel's tick counter: {0}")]
pub struct ClockError(#[from] io::Error);

/// `call bpf_jiffies64`.
const CALL_JIFFIES: u64 = instruction(0x85, 118);
/// `r0 >>= 32`.
const SHIFT: u64 = instruction(0x77, 32);
/// `exit`.
const EXIT: u64 = instruction(0x95, 0);

/// An instruction that works on register 0 only.
pub(crate) const fn instruction(code: u8, immediate: u32) -> u64 {
    code as u64 | ((immediate as u64) << 32)
}

impl Clock {
    /// Loads the programs and measures the tick rate, in 10 to 100 ms.
    pub fn start() -> Result<Self, ClockError> {
        let load = |instructions: &[u64]| {
            sys::program_load(sys::CLASSIFIER, 0, instructions).map_err(|(error, _)| error)
        };
        let mut clock = Self {
            low: load(&[CALL_JIFFIES, EXIT])?,
            high: load(&[CALL_JIFFIES, SHIFT, EXIT])?,
            hz: 0,
        };
        let mut measured = [clock.measure()?, clock.measure()?, clock.measure()?];
        measured.sort_by(f64::total_cmp);
        let [_, median, _] = measured;
        clock.hz = nearest_rate(median);
        Ok(clock)
    }

    /// Jiffies per second.
    pub fn hz(&self) -> u32 {
        self.hz
    }

    /// Jiffies now.
    pub fn now(&self) -> Result<u64, ClockError> {
        loop {
            let high = run(&self.high)?;
            let low = run(&self.low)?;
            if run(&self.high)? == high {
                return Ok(u64::from(high) << 32 | u64::from(low));
            }
        }
    }

    /// Jiffies of a span of time.
    pub fn ticks(&self, span: Duration) -> u64 {
        (span.as_millis() * u128::from(self.hz) / 1000) as u64
    }

    /// Ticks per second, from one edge of the counter to another.
    fn measure(&self) -> Result<f64, ClockError> {
        let first = self.edge(0)?;
        let last = self.edge(TICKS)?;
        let ticks = last.0.wrapping_sub(first.0);
        Ok(f64::from(ticks) / last.1.duration_since(first.1).as_secs_f64())
    }

    /// Waits until the counter has moved by `more` and then once more; gives its value and the time.
    ///
    /// An edge that was noticed late, because this thread did not run, would spoil the measurement: the next is taken.
    fn edge(&self, more: u32) -> Result<(u32, Instant), ClockError> {
        let start = run(&self.low)?;
        let (mut value, mut before) = (start, Instant::now());
        for _ in 0..MAX_READS {
            let now = run(&self.low)?;
            let after = Instant::now();
            let prompt = after.duration_since(before) < PROMPT;
            if now != value && prompt && now.wrapping_sub(start) > more {
                return Ok((now, after));
            }
            (value, before) = (now, after);
        }
        Ok((value, before))
    }
}

fn run(program: &OwnedFd) -> Result<u32, ClockError> {
    Ok(sys::test_run(program.as_fd(), &[0; 64], &mut [], 1)?.result)
}

fn nearest_rate(measured: f64) -> u32 {
    let distance = |rate: u32| (measured / f64::from(rate)).ln().abs();
    RATES
        .into_iter()
        .min_by(|a, b| distance(*a).total_cmp(&distance(*b)))
        .unwrap_or(250)
}

#[cfg(test)]
mod tests;
