//! Steps that a person watches: each one's seconds, and the sum.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Steps since a moment.
pub(super) struct Steps {
    begun: Instant,
}

impl Steps {
    pub(super) fn begin() -> Steps {
        Steps {
            begun: Instant::now(),
        }
    }

    /// Does one step; its name is part of its error.
    pub(super) fn step<T>(&self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let begun = self.begun.elapsed();
        let done = work().with_context(|| name.to_owned())?;
        let took = self.begun.elapsed().saturating_sub(begun);
        println!("{:>7.1} s  {name}", took.as_secs_f64());
        Ok(done)
    }

    pub(super) fn close(&self, what: &str) {
        println!("{:>7.1} s  {what}", self.begun.elapsed().as_secs_f64());
    }
}

/// Asks again until it is so; what was answered last is the error.
pub(super) fn wait_until(limit: Duration, mut ask: impl FnMut() -> Result<Wait>) -> Result<()> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(50);
    loop {
        let Wait::For(what) = ask()? else {
            return Ok(());
        };
        if begun.elapsed() > limit {
            bail!("after {} s still: {what}", limit.as_secs());
        }
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_millis(500));
    }
}

/// Whether something waited for has come.
pub(super) enum Wait {
    Done,
    /// What is missing.
    For(String),
}
