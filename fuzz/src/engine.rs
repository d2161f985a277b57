//! One target in this process: runs inputs, keeps those that reach something new, and stops at the first that fails.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::coverage::Coverage;
use crate::dice::Dice;
use crate::mutate::Mutator;
use crate::targets::Target;

/// Memory that the process may take, all of it together.
const MEMORY: u64 = 1 << 30;
/// Processor time that one input may take.
const TIME: Duration = Duration::from_secs(3);
/// The stack that threads of a runtime have, and so the one that recursion must do with.
const STACK: usize = 2 << 20;

/// Number of inputs that were begun; the watchdog looks at it.
static BEGUN: AtomicU64 = AtomicU64::new(0);
/// What the last panic said. The hook of panics has no other way to hand it over.
static SAID: Mutex<String> = Mutex::new(String::new());

/// What a run came to.
pub(crate) struct Found {
    /// Inputs that were run.
    pub(crate) inputs: u64,
    /// Edges of the program that they went through.
    pub(crate) edges: usize,
    /// Inputs that were kept, because they reached something new.
    pub(crate) kept: usize,
    /// What failed, and the smallest input found that still does.
    pub(crate) failure: Option<(String, Vec<u8>)>,
}

/// Runs a target for `limit`. `current` is where the input that is being run can be found when the process dies of it.
pub(crate) fn run(
    target: Target,
    limit: Duration,
    seed: u64,
    current: &Path,
) -> anyhow::Result<Found> {
    restrict()?;
    let current = File::create(current).with_context(|| current.display().to_string())?;
    let work = move || Run::new(target, current, seed).until(Instant::now() + limit);
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(work)?;
    match thread.join() {
        Ok(found) => Ok(found),
        Err(_) => bail!("the engine itself failed: {}", said()),
    }
}

/// Sets the limits of this process and its end with its parent.
fn restrict() -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let memory = Rlimit {
        current: Some(MEMORY),
        maximum: Some(MEMORY),
    };
    setrlimit(Resource::As, memory).context("limit the memory")?;
    std::panic::set_hook(Box::new(|panic| {
        if let Ok(mut said) = SAID.lock() {
            *said = panic.to_string();
        }
    }));
    std::thread::spawn(watch);
    Ok(())
}

fn said() -> String {
    SAID.lock().map(|said| said.clone()).unwrap_or_default()
}

/// Ends the process when one input takes too much processor time; a machine that is busy elsewhere is no fault of it.
fn watch() {
    let used = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let (mut input, mut since) = (0, used());
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let now = BEGUN.load(Ordering::Relaxed);
        if now != input {
            (input, since) = (now, used());
        } else if used().saturating_sub(since) > TIME {
            // Not a panic: that would end this thread alone.
            std::process::exit(crate::TOO_SLOW);
        }
    }
}

struct Run {
    target: Target,
    current: File,
    coverage: Coverage,
    corpus: Vec<Vec<u8>>,
    dice: Dice,
    inputs: u64,
}

impl Run {
    fn new(target: Target, current: File, seed: u64) -> Self {
        Self {
            target,
            current,
            coverage: Coverage::new(),
            corpus: Vec::new(),
            dice: Dice::new(seed),
            inputs: 0,
        }
    }

    fn until(mut self, end: Instant) -> Found {
        let seeds = self.target.inputs();
        let mutator = Mutator::new(self.target.shape, &seeds);
        for seed in seeds {
            if self.fails(&seed) {
                return self.close(Some(seed));
            }
            self.coverage.take();
            self.corpus.push(seed);
        }
        while Instant::now() < end {
            let input = self.next(&mutator);
            if self.fails(&input) {
                return self.close(Some(input));
            }
            if self.coverage.take() {
                self.corpus.push(input);
            }
        }
        self.close(None)
    }

    /// The newest inputs lead furthest, so half of the time one of them is changed.
    fn next(&mut self, mutator: &Mutator) -> Vec<u8> {
        let length = self.corpus.len();
        let recent = (length / 8).max(8).min(length);
        let at = match self.dice.below(2) {
            0 => length - 1 - self.dice.below(recent),
            _ => self.dice.below(length),
        };
        let other = self.dice.below(length);
        mutator.mutate(&self.corpus[at], &self.corpus[other], &mut self.dice)
    }

    fn fails(&mut self, input: &[u8]) -> bool {
        self.inputs += 1;
        BEGUN.fetch_add(1, Ordering::Relaxed);
        let length = (input.len() as u64).to_le_bytes();
        // Should it not be written, a crash is still seen; only its input is not.
        let _ = self.current.write_all_at(&[&length, input].concat(), 0);
        catch_unwind(AssertUnwindSafe(|| (self.target.run)(input))).is_err()
    }

    fn close(mut self, failed: Option<Vec<u8>>) -> Found {
        let failure = failed.map(|input| {
            let small = self.smallest(input);
            self.fails(&small);
            (said(), small)
        });
        Found {
            inputs: self.inputs,
            edges: self.coverage.edges(),
            kept: self.corpus.len(),
            failure,
        }
    }

    /// Cuts pieces out as long as it still fails.
    fn smallest(&mut self, mut input: Vec<u8>) -> Vec<u8> {
        let end = Instant::now() + Duration::from_secs(5);
        let mut piece = input.len() / 2;
        while piece > 0 && Instant::now() < end {
            let mut at = 0;
            while at < input.len() && Instant::now() < end {
                let mut shorter = input.clone();
                shorter.drain(at..(at + piece).min(input.len()));
                if self.fails(&shorter) {
                    input = shorter;
                } else {
                    at += piece;
                }
            }
            piece /= 2;
        }
        input
    }
}

/// The input that a process died of.
pub(crate) fn last_input(current: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(current).ok()?;
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    rest.get(..u64::from_le_bytes(*length) as usize)
        .map(<[u8]>::to_vec)
}
