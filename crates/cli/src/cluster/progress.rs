//! What goes on, on standard error: a line that is rewritten where a person looks, else one line for each change.

use std::io::{self, IsTerminal, Write};
use std::time::Instant;

/// Who is told.
pub(crate) struct Progress {
    terminal: bool,
    began: Instant,
    last: String,
}

impl Progress {
    /// To standard error.
    pub(crate) fn new() -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
            began: Instant::now(),
            last: String::new(),
        }
    }

    /// What is being done or waited for. The same again only moves the seconds of a terminal.
    pub(crate) fn say(&mut self, what: &str) {
        let seconds = self.began.elapsed().as_secs();
        let mut out = io::stderr().lock();
        // Nobody reads progress who cannot be written to.
        if self.terminal {
            let _ = write!(out, "\r\x1b[K[{seconds:>3} s] {what}");
            let _ = out.flush();
        } else if what != self.last {
            let _ = writeln!(out, "[{seconds:>3} s] {what}");
        }
        what.clone_into(&mut self.last);
    }

    /// Takes the rewritten line away, before something else is printed.
    pub(crate) fn clear(&mut self) {
        if self.terminal && !self.last.is_empty() {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
        self.last.clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
