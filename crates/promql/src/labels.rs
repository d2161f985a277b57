//! Names of a series, and what a selector asks of them.

use std::fmt;
use std::sync::Arc;

use regex::Regex;

use crate::{Error, NAME};

/// The labels of a series, in the order of their names; none of them is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// The value of a label; empty if there is none.
    pub fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(of, _)| &**of == name);
        found.map_or("", |(_, value)| value)
    }

    /// All labels in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Those labels that `keeps` wants.
    #[must_use]
    pub fn only(&self, keeps: impl Fn(&str) -> bool) -> Self {
        if self.0.iter().all(|(name, _)| keeps(name)) {
            return self.clone();
        }
        let kept = self.0.iter().filter(|(name, _)| keeps(name));
        Self(kept.cloned().collect())
    }

    /// All but the name of the metric.
    #[must_use]
    pub fn nameless(&self) -> Self {
        self.only(|name| name != NAME)
    }

    /// With a label set, or taken away by an empty value.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let others = self.0.iter().filter(|(of, _)| &**of != name).cloned();
        let mut all: Vec<_> = others.collect();
        if !value.is_empty() {
            let place = all.partition_point(|(of, _)| &**of < name);
            all.insert(place, (name.into(), value.into()));
        }
        Self(all.into())
    }
}

impl<N: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let pairs = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        let mut all: Vec<(Arc<str>, Arc<str>)> = pairs
            .filter(|(_, value): &(_, Arc<str>)| !value.is_empty())
            .collect();
        all.sort_unstable();
        all.dedup_by(|of, kept| of.0 == kept.0);
        Self(all.into())
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.get(NAME))?;
        let mut before = "{";
        for (name, value) in self.iter().filter(|(name, _)| *name != NAME) {
            write!(to, "{before}{name}={value:?}")?;
            before = ", ";
        }
        match (before, self.get(NAME)) {
            ("{", "") => to.write_str("{}"),
            ("{", _) => Ok(()),
            _ => to.write_str("}"),
        }
    }
}

/// How a value is compared.
#[derive(Clone, Debug)]
pub enum Test {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, of the whole value.
    Match(Regex),
    /// `!~`
    NotMatch(Regex),
}

/// What a selector asks of one label. A label that a series lacks is as one that is empty.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// Of which label.
    pub name: String,
    /// What is asked.
    pub test: Test,
    /// The value or the expression as it was written.
    pub value: String,
}

/// Most bytes a compiled expression may take.
const EXPRESSION: usize = 1 << 20;

impl Matcher {
    /// A matcher by its operator: `=`, `!=`, `=~` or `!~`.
    pub fn new(name: &str, operator: &str, value: &str) -> Result<Self, Error> {
        let compiled = || anchored(value);
        let test = match operator {
            "=" => Test::Equal,
            "!=" => Test::NotEqual,
            "=~" => Test::Match(compiled()?),
            _ => Test::NotMatch(compiled()?),
        };
        Ok(Self {
            name: name.to_owned(),
            test,
            value: value.to_owned(),
        })
    }

    /// Whether a value is what is asked for.
    pub fn accepts(&self, value: &str) -> bool {
        match &self.test {
            Test::Equal => value == self.value,
            Test::NotEqual => value != self.value,
            Test::Match(expression) => expression.is_match(value),
            Test::NotMatch(expression) => !expression.is_match(value),
        }
    }

    /// Whether a series is what all of `matchers` ask for.
    pub fn all(matchers: &[Self], labels: &Labels) -> bool {
        matchers
            .iter()
            .all(|matcher| matcher.accepts(labels.get(&matcher.name)))
    }
}

/// An expression that has to match the whole.
pub(crate) fn anchored(expression: &str) -> Result<Regex, Error> {
    regex::RegexBuilder::new(&format!("^(?s:{expression})$"))
        .size_limit(EXPRESSION)
        .build()
        .map_err(|error| {
            Error::bad(format!(
                "invalid regular expression {expression:?}: {error}"
            ))
        })
}
