//! Query parameters.

use std::collections::BTreeMap;

use crate::error::ApiError;

/// Parameters of a request; of one given twice the first counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    /// Reads what follows the question mark.
    pub(crate) fn parse(text: &str) -> Self {
        let mut parameters = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters
                .entry(decode(&key.replace('+', " ")))
                .or_insert_with(|| decode(&value.replace('+', " ")));
        }
        Self(parameters)
    }

    /// A parameter; empty when absent.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    /// Whether a switch is on: `1`, `true`, or named without a value.
    pub(crate) fn is_set(&self, key: &str) -> bool {
        self.0
            .get(key)
            .is_some_and(|value| matches!(value.as_str(), "" | "1" | "true" | "True"))
    }

    /// A number, where there is one.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>, ApiError> {
        match self.get(key) {
            "" => Ok(None),
            text => {
                let number = text
                    .parse()
                    .map_err(|_| ApiError::bad_request(format!("{key}: \"{text}\" is no number")));
                number.map(Some)
            }
        }
    }
}

/// Resolves `%XX`; what is no valid escape stays as it is.
pub(super) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let escape = bytes
            .get(index + 1..index + 3)
            .filter(|_| bytes[index] == b'%');
        let escape = escape
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(escape.unwrap_or(bytes[index]));
        index += if escape.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Query, decode};

    #[test]
    fn escapes_are_resolved_and_broken_ones_stay() {
        assert_eq!(decode("app%3Dweb%2C"), "app=web,");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz%4"), "%zz%4");
    }

    #[test]
    fn parameters_are_read() {
        let query = Query::parse("watch&labelSelector=a+in+%28b%29&timeoutSeconds=7&x=1&x=2");
        assert!(query.is_set("watch"));
        assert_eq!(query.get("labelSelector"), "a in (b)");
        assert_eq!(query.number("timeoutSeconds").unwrap(), Some(7));
        assert_eq!(query.get("x"), "1");
        assert_eq!(query.number("labelSelector").unwrap_err().code(), 400);
        assert!(!Query::parse("watch=false").is_set("watch"));
    }
}
