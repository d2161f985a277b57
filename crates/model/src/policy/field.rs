//! A cursor over a JSON object that knows its own path, so that every complaint names the field.

use serde_json::{Map, Value};

/// What is wrong with an object, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Invalid {
    /// Field path, as `spec.ingress[0].fromCIDR[1]`.
    pub path: String,
    /// What is wrong there, as a sentence's tail.
    pub problem: String,
}

/// A value and the path that leads to it.
#[derive(Clone, Debug)]
pub(crate) struct Field<'a> {
    path: String,
    value: &'a Value,
}

impl<'a> Field<'a> {
    pub(crate) fn root(value: &'a Value) -> Self {
        Self {
            path: String::new(),
            value,
        }
    }

    pub(crate) fn path(&self) -> &str {
        if self.path.is_empty() {
            "object"
        } else {
            &self.path
        }
    }

    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    pub(crate) fn error(&self, problem: impl Into<String>) -> Invalid {
        Invalid {
            path: self.path().to_owned(),
            problem: problem.into(),
        }
    }

    fn below(&self, name: &str) -> String {
        let plain = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        match (plain, self.path.is_empty()) {
            (true, true) => name.to_owned(),
            (true, false) => format!("{}.{name}", self.path),
            (false, _) => format!("{}[{name:?}]", self.path),
        }
    }

    fn object(&self) -> Result<&'a Map<String, Value>, Invalid> {
        self.value
            .as_object()
            .ok_or_else(|| self.error(format!("must be an object, is {}", kind(self.value))))
    }

    /// A member; `null` counts as absent, as it does for the API server.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Field<'a>>, Invalid> {
        let value = self.object()?.get(name).filter(|value| !value.is_null());
        Ok(value.map(|value| Field {
            path: self.below(name),
            value,
        }))
    }

    pub(crate) fn required(&self, name: &str) -> Result<Field<'a>, Invalid> {
        let missing = || Invalid {
            path: self.below(name),
            problem: "is required".to_owned(),
        };
        self.get(name)?.ok_or_else(missing)
    }

    /// Refuses members that are not listed: what is not understood must not be ignored.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Invalid> {
        match self
            .object()?
            .iter()
            .find(|(name, value)| !value.is_null() && !known.contains(&name.as_str()))
        {
            None => Ok(()),
            Some((name, _)) => Err(Invalid {
                path: self.below(name),
                problem: "is not a known field".to_owned(),
            }),
        }
    }

    /// Refuses members that are known but not yet enforced.
    pub(crate) fn without(&self, unsupported: &[&str]) -> Result<(), Invalid> {
        for name in unsupported {
            if let Some(found) = self.get(name)? {
                return Err(
                    found.error("is not supported by this version; the object is not applied")
                );
            }
        }
        Ok(())
    }

    pub(crate) fn entries(&self) -> Result<Vec<(&'a str, Field<'a>)>, Invalid> {
        let member = |(name, value): (&'a String, &'a Value)| {
            (
                name.as_str(),
                Field {
                    path: self.below(name),
                    value,
                },
            )
        };
        Ok(self.object()?.iter().map(member).collect())
    }

    pub(crate) fn items(&self) -> Result<Vec<Field<'a>>, Invalid> {
        let list = self.value.as_array();
        let list =
            list.ok_or_else(|| self.error(format!("must be a list, is {}", kind(self.value))))?;
        let item = |(at, value): (usize, &'a Value)| Field {
            path: format!("{}[{at}]", self.path),
            value,
        };
        Ok(list.iter().enumerate().map(item).collect())
    }

    /// The items of a list member; `None` when the member is absent, which is not the same as empty.
    pub(crate) fn list(&self, name: &str) -> Result<Option<Vec<Field<'a>>>, Invalid> {
        self.get(name)?.map(|field| field.items()).transpose()
    }

    pub(crate) fn text(&self) -> Result<&'a str, Invalid> {
        self.value
            .as_str()
            .ok_or_else(|| self.error(format!("must be a string, is {}", kind(self.value))))
    }

    pub(crate) fn truth(&self) -> Result<bool, Invalid> {
        self.value
            .as_bool()
            .ok_or_else(|| self.error(format!("must be true or false, is {}", kind(self.value))))
    }

    pub(crate) fn integer(&self) -> Result<i64, Invalid> {
        self.value
            .as_i64()
            .ok_or_else(|| self.error(format!("must be an integer, is {}", kind(self.value))))
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
