//! Label selectors: the syntax of Kubernetes (`k=v`, `k!=v`, `k in (a,b)`, `k`, `!k`), with the source of a label
//! before its key (`k8s:app`, `reserved:host`); without one, any source matches.

use thiserror::Error;

/// A selector that cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("label selector {selector:?}: {reason}")]
pub struct SelectorError {
    /// The text.
    pub selector: String,
    /// What is wrong with it.
    pub reason: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Condition {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

#[derive(Debug, PartialEq, Eq)]
struct Requirement {
    /// `None` is any source.
    source: Option<String>,
    key: String,
    condition: Condition,
}

/// All requirements of a text; all must hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

impl Selector {
    /// Reads a selector.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let error = |reason| SelectorError {
            selector: text.to_owned(),
            reason,
        };
        let mut parser = Parser {
            tokens: tokens(text),
            at: 0,
        };
        let requirements = parser.requirements().map_err(error)?;
        Ok(Self { requirements })
    }

    /// Whether labels of the form `source:key=value` meet all requirements.
    pub fn matches(&self, labels: &[String]) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &[String]) -> bool {
        let mut values = labels
            .iter()
            .filter_map(|label| self.value_in(label))
            .peekable();
        match &self.condition {
            Condition::Exists => values.peek().is_some(),
            Condition::Absent => values.peek().is_none(),
            Condition::In(wanted) => values.any(|value| wanted.iter().any(|w| w == value)),
            Condition::NotIn(refused) => !values.any(|value| refused.iter().any(|r| r == value)),
            Condition::Above(limit) => values.any(|v| v.parse::<i64>().is_ok_and(|v| v > *limit)),
            Condition::Below(limit) => values.any(|v| v.parse::<i64>().is_ok_and(|v| v < *limit)),
        }
    }

    /// The value of a label, if it has the key of this requirement.
    fn value_in<'l>(&self, label: &'l str) -> Option<&'l str> {
        let (name, value) = label.split_once('=').unwrap_or((label, ""));
        let (source, key) = split_source(name);
        let source_matches = match (&self.source, source) {
            (None, _) => true,
            (Some(wanted), Some(source)) => wanted == source,
            (Some(_), None) => false,
        };
        (source_matches && key == self.key).then_some(value)
    }
}

fn split_source(name: &str) -> (Option<&str>, &str) {
    match name.split_once(':') {
        Some((source, key)) => (Some(source), key),
        None => (None, name),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Sign(&'a str),
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let sign = ["==", "!=", "=", "!", ",", "(", ")", ">", "<"]
            .into_iter()
            .find(|sign| rest.starts_with(sign));
        let length = match sign {
            Some(sign) => sign.len(),
            None => rest
                .find(|c: char| c.is_whitespace() || "=!,()<>".contains(c))
                .unwrap_or(rest.len()),
        };
        let (token, tail) = rest.split_at(length);
        tokens.push(if sign.is_some() {
            Token::Sign(token)
        } else {
            Token::Word(token)
        });
        rest = tail.trim_start();
    }
    tokens
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).copied()
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn requirements(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        if self.peek().is_none() {
            return Ok(requirements);
        }
        loop {
            requirements.push(self.requirement()?);
            match self.next() {
                None => return Ok(requirements),
                Some(Token::Sign(",")) => {}
                Some(other) => return Err(format!("expected a comma, found {}", shown(other))),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        if self.peek() == Some(Token::Sign("!")) {
            self.next();
            return self.key().map(|key| requirement(key, Condition::Absent));
        }
        let key = self.key()?;
        let condition = match self.peek() {
            None | Some(Token::Sign(",")) => Condition::Exists,
            Some(token) => {
                self.next();
                match token {
                    Token::Sign("=" | "==") => Condition::In(vec![self.value()]),
                    Token::Sign("!=") => Condition::NotIn(vec![self.value()]),
                    Token::Sign(">") => Condition::Above(self.number()?),
                    Token::Sign("<") => Condition::Below(self.number()?),
                    Token::Word("in") => Condition::In(self.values()?),
                    Token::Word("notin") => Condition::NotIn(self.values()?),
                    other => return Err(format!("expected an operator, found {}", shown(other))),
                }
            }
        };
        Ok(requirement(key, condition))
    }

    fn key(&mut self) -> Result<&'a str, String> {
        match self.next() {
            Some(Token::Word(word)) => Ok(word),
            Some(other) => Err(format!("expected a key, found {}", shown(other))),
            None => Err("expected a key at the end".into()),
        }
    }

    /// A value; nothing is the empty value.
    fn value(&mut self) -> String {
        match self.peek() {
            Some(Token::Word(word)) => {
                self.next();
                word.to_owned()
            }
            _ => String::new(),
        }
    }

    fn number(&mut self) -> Result<i64, String> {
        let value = self.value();
        value.parse().map_err(|_| format!("{value:?} is no number"))
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        if self.next() != Some(Token::Sign("(")) {
            return Err("expected '(' after in or notin".into());
        }
        let mut values = Vec::new();
        loop {
            values.push(self.value());
            match self.next() {
                Some(Token::Sign(")")) => return Ok(values),
                Some(Token::Sign(",")) => {}
                Some(other) => return Err(format!("expected ',' or ')', found {}", shown(other))),
                None => return Err("the list has no ')'".into()),
            }
        }
    }
}

fn requirement(name: &str, condition: Condition) -> Requirement {
    let (source, key) = split_source(name);
    Requirement {
        source: source
            .filter(|source| *source != "any")
            .map(ToOwned::to_owned),
        key: key.to_owned(),
        condition,
    }
}

fn shown(token: Token<'_>) -> String {
    match token {
        Token::Word(text) | Token::Sign(text) => format!("{text:?}"),
    }
}
