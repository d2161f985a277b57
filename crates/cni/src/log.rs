//! The plugin's log file: one line per event, `key=value`, as the node's other logs. Failing to log never fails a call.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::input::{Command, Config};

/// A log file, or nothing when none is configured.
pub(crate) struct Log {
    file: Option<File>,
    debug: bool,
    context: String,
    start: Instant,
    /// What each step took, as it is written, and when the last one ended.
    steps: RefCell<(String, Instant)>,
}

impl Log {
    pub(crate) fn open(config: &Config, command: &Command) -> Self {
        let file = config
            .log_file
            .as_ref()
            .and_then(|path| OpenOptions::new().create(true).append(true).open(path).ok());
        let attachment = command
            .attachment()
            .map(|a| format!(" attachment={a}"))
            .unwrap_or_default();
        Self {
            file,
            debug: config.debug,
            context: format!("command={}{attachment}", command.name()),
            start: Instant::now(),
            steps: RefCell::new((String::new(), Instant::now())),
        }
    }

    /// A step is over: the lines from here on say what it took.
    pub(crate) fn step(&self, name: &str) {
        let mut steps = self.steps.borrow_mut();
        let took = steps.1.elapsed().as_micros();
        let _ = write!(steps.0, " {name}-us={took}");
        steps.1 = Instant::now();
    }

    pub(crate) fn info(&self, message: &str) {
        self.line("info", message);
    }

    pub(crate) fn warning(&self, message: &str) {
        self.line("warning", message);
    }

    pub(crate) fn error(&self, message: &str) {
        self.line("error", message);
    }

    /// Only with `enable-debug`.
    pub(crate) fn debug(&self, message: &str) {
        if self.debug {
            self.line("debug", message);
        }
    }

    fn line(&self, level: &str, message: &str) {
        let Some(mut file) = self.file.as_ref() else {
            return;
        };
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let time = timestamp(since_epoch.as_secs(), since_epoch.subsec_millis());
        let elapsed = self.start.elapsed().as_micros();
        // One write per line: several plugins append to the same file.
        let text = format!(
            "time={time} level={level} msg={message:?} {} elapsed-us={elapsed}{}\n",
            self.context,
            self.steps.borrow().0
        );
        let _ = file.write_all(text.as_bytes());
    }
}

/// RFC 3339 in UTC. The calendar part is the days-to-civil conversion with years starting in March.
pub(crate) fn timestamp(seconds: u64, milliseconds: u32) -> String {
    let (days, second_of_day) = (seconds / 86400, seconds % 86400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (
        second_of_day / 3600,
        second_of_day / 60 % 60,
        second_of_day % 60,
    );
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

#[cfg(test)]
mod tests;
