//! Which tests are meant: expressions on names, some of them excluding.

use regex::Regex;

/// Expressions of the flag `--test`.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    included: Vec<Regex>,
    excluded: Vec<Regex>,
}

impl Filter {
    /// Reads expressions; `!` before one excludes what it matches.
    pub(super) fn new(expressions: &[String]) -> anyhow::Result<Self> {
        let mut filter = Self::default();
        for text in expressions {
            let (list, text) = match text.strip_prefix('!') {
                Some(text) => (&mut filter.excluded, text),
                None => (&mut filter.included, text.as_str()),
            };
            let expression = Regex::new(text);
            list.push(expression.map_err(|error| anyhow::anyhow!("--test {text}: {error}"))?);
        }
        Ok(filter)
    }

    /// Whether a scenario of a test is meant: expressions are looked for in `test/scenario`.
    pub(super) fn takes(&self, test: &str, scenario: &str) -> bool {
        let name = format!("{test}/{scenario}");
        let found = |all: &[Regex]| all.iter().any(|of| of.is_match(&name) || of.is_match(test));
        let included = self.included.is_empty() || found(&self.included);
        included && !found(&self.excluded)
    }
}

#[cfg(test)]
mod tests;
