//! How many tests passed, failed and were skipped, and the names of the skipped, as cargo and the demo print it.

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

/// What a program printed of its tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// How many.
    pub(crate) count: Count,
    /// Names of what was skipped, with the reason.
    pub(crate) skipped: Vec<String>,
    /// What was measured.
    pub(crate) figures: Vec<String>,
}

/// Reads the output of `cargo test -- --show-output` line by line.
///
/// A test that finds out that it cannot run here prints `skipped, needs …` and returns; to cargo it has passed.
/// Its output is shown only because of `--show-output`, under its name; so this is where it is found out. What tests
/// print otherwise counts nothing, however much it looks like a result.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// What was counted so far.
    pub(crate) count: Count,
    /// Tests that said they were skipped, with the reason they gave.
    pub(crate) skipped: Vec<String>,
    /// What tests and programs measured: the rest of lines `figure: …`.
    pub(crate) figures: Vec<String>,
    /// The test whose output is being read.
    test: String,
    section: Section,
}

/// Where in cargo's output a line stands. Each kind of result has a heading twice: before outputs, and before names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Section {
    /// Cargo's own lines.
    #[default]
    Results,
    /// What tests printed that passed.
    SuccessOutputs,
    /// Their names.
    SuccessNames,
    /// What tests printed that failed.
    FailureOutputs,
    /// Their names.
    FailureNames,
}

/// Whether the line is cargo's `running N tests`.
fn is_heading(line: &str) -> bool {
    line.strip_prefix("running ")
        .and_then(|rest| rest.split_once(' '))
        .is_some_and(|(number, word)| {
            number.parse::<u64>().is_ok() && matches!(word, "test" | "tests")
        })
}

impl Section {
    fn after(self, line: &str) -> Section {
        match (self, line) {
            (Section::SuccessOutputs, "successes:") => Section::SuccessNames,
            (Section::FailureOutputs, "failures:") => Section::FailureNames,
            (Section::Results, "successes:") => Section::SuccessOutputs,
            (Section::Results | Section::SuccessNames, "failures:") => Section::FailureOutputs,
            (Section::SuccessNames | Section::FailureNames, _)
                if line.starts_with("test result: ") =>
            {
                Section::Results
            }
            // The program before was killed in the middle of its output.
            _ if is_heading(line) => Section::Results,
            _ => self,
        }
    }
}

impl Reader {
    /// Takes the next line; says whether a person wants to see it.
    pub(crate) fn take(&mut self, line: &str) -> Shown {
        self.section = self.section.after(line);
        if let Some(figure) = line.strip_prefix("figure: ")
            && matches!(self.section, Section::Results | Section::SuccessOutputs)
        {
            self.figures.push(figure.to_owned());
        }
        match self.section {
            Section::Results => self.count.add(&Count::read(line)),
            Section::SuccessOutputs => self.take_output(line),
            Section::SuccessNames | Section::FailureOutputs | Section::FailureNames => {}
        }
        let said_in_passing = matches!(
            self.section,
            Section::SuccessOutputs | Section::SuccessNames
        );
        if said_in_passing || line.is_empty() {
            Shown::No
        } else {
            Shown::Yes
        }
    }

    fn take_output(&mut self, line: &str) {
        if let Some(name) = line
            .strip_prefix("---- ")
            .and_then(|rest| rest.strip_suffix(" stdout ----"))
        {
            name.clone_into(&mut self.test);
        } else if line.starts_with("skipped, needs ") {
            // A test that could not make two namespaces is still one test.
            let test = std::mem::take(&mut self.test);
            if !test.is_empty() {
                self.skipped.push(format!("{test}: {line}"));
            }
        }
    }

    /// The count, with those that said they were skipped as such.
    pub(crate) fn close(mut self) -> Found {
        let skipped = self.skipped.len() as u64;
        self.count.passed = self.count.passed.saturating_sub(skipped);
        self.count.skipped += skipped;
        Found {
            count: self.count,
            skipped: self.skipped,
            figures: self.figures,
        }
    }
}

/// Whether a line is worth a person's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// It is.
    Yes,
    /// It is what a test that passed has printed.
    No,
}
