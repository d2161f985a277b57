//! How many tests passed, failed and were skipped, as cargo and the demo print it.

use std::fmt;

/// Sums of test results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Tests that ran and held.
    pub(crate) passed: u64,
    /// Tests that ran and did not hold, and steps that broke before any test.
    pub(crate) failed: u64,
    /// Tests that did not run.
    pub(crate) skipped: u64,
}

impl Count {
    /// Reads one line of output: `test result: ok. 3 passed; 0 failed; 1 ignored; …` or `3 passed, 0 failed, 1 skipped`.
    /// Any other line counts nothing.
    pub(crate) fn read(line: &str) -> Count {
        let parts = match line.strip_prefix("test result: ") {
            Some(rest) => rest.split_once(". ").map_or("", |(_, counts)| counts),
            None if is_closing(line) => line,
            None => "",
        };
        let mut count = Count::default();
        for part in parts.split([';', ',']) {
            let Some((number, word)) = part.trim().split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match word {
                "passed" => count.passed += number,
                "failed" => count.failed += number,
                "ignored" | "skipped" => count.skipped += number,
                _ => {}
            }
        }
        count
    }

    /// Adds another sum to this one.
    pub(crate) fn add(&mut self, other: &Count) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// Whether the line is exactly `N passed, N failed, N skipped`.
fn is_closing(line: &str) -> bool {
    let words: Vec<&str> = line.split(", ").collect();
    let ends = ["passed", "failed", "skipped"];
    words.len() == ends.len()
        && words.iter().zip(ends).all(|(word, end)| {
            word.strip_suffix(end)
                .and_then(|number| number.strip_suffix(' '))
                .is_some_and(|number| {
                    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
                })
        })
}

impl fmt::Display for Count {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}
