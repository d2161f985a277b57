//! What an API server would say of an object by the schema of its kind: a second, small reading of the part of OpenAPI that
//! structural schemas are made of (apiextensions.k8s.io/v1). Validation rules in CEL are not evaluated.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use regex::Regex;
use serde_json::Value;

/// The schemas of the stored versions of all kinds.
pub struct Schemas {
    kinds: BTreeMap<String, Value>,
    patterns: BTreeMap<String, Regex>,
}

impl Schemas {
    /// Those of the definitions.
    pub fn new() -> Self {
        let mut schemas = Self {
            kinds: BTreeMap::new(),
            patterns: BTreeMap::new(),
        };
        for definition in crds::definitions() {
            let kind = definition.spec["names"]["kind"]
                .as_str()
                .unwrap_or_default();
            let schema = &definition.spec["versions"][0]["schema"]["openAPIV3Schema"];
            schemas.keep_patterns(schema);
            schemas.kinds.insert(kind.to_owned(), schema.clone());
        }
        schemas
    }

    fn keep_patterns(&mut self, schema: &Value) {
        match schema {
            Value::Object(map) => {
                if let Some(text) = map.get("pattern").and_then(Value::as_str)
                    && let Ok(pattern) = Regex::new(text)
                {
                    self.patterns.insert(text.to_owned(), pattern);
                }
                map.values().for_each(|below| self.keep_patterns(below));
            }
            Value::Array(list) => list.iter().for_each(|below| self.keep_patterns(below)),
            _ => {}
        }
    }

    /// What is wrong with an object of the kind, with the path of the field; `None` if an API server would take it.
    pub fn refusal(&self, kind: &str, object: &Value) -> Option<String> {
        let Some(schema) = self.kinds.get(kind) else {
            return Some(format!("{kind} is not a kind"));
        };
        self.check("", schema, object).err()
    }

    /// Fields of an object of the kind that an API server would take away, because the schema does not name them.
    pub fn lost(&self, kind: &str, object: &Value) -> Vec<String> {
        let schema = self.kinds.get(kind).unwrap_or(&Value::Null);
        let mut lost = Vec::new();
        unnamed("", schema, object, &mut lost);
        lost
    }

    fn check(&self, path: &str, schema: &Value, value: &Value) -> Result<(), String> {
        check_type(path, schema, value)?;
        self.check_scalar(path, schema, value)?;
        self.check_list(path, schema, value)?;
        self.check_object(path, schema, value)?;
        let holds = |one: &Value| self.check(path, one, value).is_ok();
        let holding = |word: &str| {
            let list = schema.get(word).and_then(Value::as_array)?;
            Some((list.iter().filter(|one| holds(one)).count(), list.len()))
        };
        if holding("allOf").is_some_and(|(hold, all)| hold != all) {
            return Err(format!("{path}: allOf"));
        }
        if holding("anyOf").is_some_and(|(hold, _)| hold == 0) {
            return Err(format!("{path}: anyOf"));
        }
        if holding("oneOf").is_some_and(|(hold, _)| hold != 1) {
            return Err(format!("{path}: oneOf"));
        }
        if schema.get("not").is_some_and(holds) {
            return Err(format!("{path}: not"));
        }
        Ok(())
    }

    fn check_scalar(&self, path: &str, schema: &Value, value: &Value) -> Result<(), String> {
        let refused = |word: &str| Err(format!("{path}: {word}"));
        let listed = schema.get("enum").and_then(Value::as_array);
        if listed.is_some_and(|listed| !listed.contains(value)) {
            return refused("enum");
        }
        if let Some(number) = value.as_f64() {
            let bound = |word: &str| schema.get(word).and_then(Value::as_f64);
            if bound("minimum").is_some_and(|least| number < least)
                || bound("maximum").is_some_and(|most| number > most)
            {
                return refused("range");
            }
        }
        let Some(text) = value.as_str() else {
            return Ok(());
        };
        if outside(schema, "minLength", "maxLength", text.chars().count()) {
            return refused("length");
        }
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
            && !self
                .patterns
                .get(pattern)
                .is_some_and(|pattern| pattern.is_match(text))
        {
            return refused("pattern");
        }
        let fits = match schema.get("format").and_then(Value::as_str) {
            Some("cidr") => text.parse::<ipnet::IpNet>().is_ok(),
            Some("ipv4") => text.parse::<Ipv4Addr>().is_ok(),
            Some("ipv6") => text.parse::<Ipv6Addr>().is_ok(),
            Some("date-time") => text.parse::<jiff::Timestamp>().is_ok(),
            _ => true,
        };
        if fits { Ok(()) } else { refused("format") }
    }

    fn check_list(&self, path: &str, schema: &Value, value: &Value) -> Result<(), String> {
        let Some(items) = value.as_array() else {
            return Ok(());
        };
        if outside(schema, "minItems", "maxItems", items.len()) {
            return Err(format!("{path}: number of items"));
        }
        if let Some(below) = schema.get("items") {
            for (at, item) in items.iter().enumerate() {
                self.check(&format!("{path}[{at}]"), below, item)?;
            }
        }
        let keys = schema
            .get("x-kubernetes-list-map-keys")
            .and_then(Value::as_array);
        let mut seen = Vec::new();
        let unique = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("set") => items.iter().collect(),
            Some("map") => items
                .iter()
                .flat_map(|item| {
                    keys.into_iter()
                        .flatten()
                        .filter_map(|key| item.get(key.as_str()?))
                })
                .collect(),
            _ => Vec::new(),
        };
        for key in unique {
            if seen.contains(&key) {
                return Err(format!("{path}: {key} is there twice"));
            }
            seen.push(key);
        }
        Ok(())
    }

    /// `null` is an absent field, and a field that nobody describes is taken away.
    fn check_object(&self, path: &str, schema: &Value, value: &Value) -> Result<(), String> {
        let Some(fields) = value.as_object() else {
            return Ok(());
        };
        for name in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let name = name.as_str().unwrap_or_default();
            if fields.get(name).is_none_or(Value::is_null) {
                return Err(format!("{path}: {name} is required"));
            }
        }
        for (name, field) in fields.iter().filter(|(_, field)| !field.is_null()) {
            let described = schema.get("properties").and_then(|all| all.get(name));
            if let Some(below) = described.or_else(|| schema.get("additionalProperties")) {
                self.check(&format!("{path}.{name}"), below, field)?;
            }
        }
        Ok(())
    }
}

impl Default for Schemas {
    fn default() -> Self {
        Self::new()
    }
}

fn unnamed(path: &str, schema: &Value, value: &Value, into: &mut Vec<String>) {
    let free = schema.get("x-kubernetes-preserve-unknown-fields").is_some();
    if free || path == ".metadata" {
        return;
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let named = schema.get("properties").and_then(|all| all.get(name));
        match named.or_else(|| schema.get("additionalProperties")) {
            Some(below) => unnamed(&path, below, value, into),
            None => into.push(path),
        }
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        unnamed(&format!("{path}[{at}]"), &schema["items"], item, into);
    }
}

fn check_type(path: &str, schema: &Value, value: &Value) -> Result<(), String> {
    let fits = match schema.get("type").and_then(Value::as_str) {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        // 8.0 is an integer too.
        Some("integer") => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        Some(_) => value.is_number(),
    };
    if fits {
        Ok(())
    } else {
        Err(format!("{path}: type"))
    }
}

fn outside(schema: &Value, least: &str, most: &str, count: usize) -> bool {
    let bound = |word: &str| schema.get(word).and_then(Value::as_u64);
    bound(least).is_some_and(|least| (count as u64) < least)
        || bound(most).is_some_and(|most| count as u64 > most)
}
