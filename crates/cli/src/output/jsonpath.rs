//! Simple paths into JSON as `kubectl` writes them: `{.a.b}`, `{$.a[0].b}`, `{.items[*].name}`, `{.a['b.c']}`.

use std::str::FromStr;

use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
    All,
}

/// Pieces of text and paths; paths are replaced by what they lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonPath {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Path(Vec<Step>),
}

impl FromStr for JsonPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let (path, after) = after.split_once('}').ok_or("jsonpath: '{' without '}'")?;
            pieces.push(Piece::Path(steps(path)?));
            rest = after;
        }
        if !rest.is_empty() {
            // A path may stand without braces.
            pieces.push(if pieces.is_empty() {
                Piece::Path(steps(rest)?)
            } else {
                Piece::Text(rest.to_owned())
            });
        }
        if pieces.is_empty() {
            Err("jsonpath: no path is given".to_owned())
        } else {
            Ok(Self { pieces })
        }
    }
}

fn steps(path: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = path.trim().trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (inside, after) = inner
                .split_once(']')
                .ok_or_else(|| format!("jsonpath: '[' without ']' in {path:?}"))?;
            steps.push(bracket(inside).ok_or_else(|| {
                format!("jsonpath: [{inside}] is not an index, '*' or a quoted field")
            })?);
            rest = after;
        } else {
            let named = rest.strip_prefix('.').unwrap_or(rest);
            let end = named.find(['.', '[']).unwrap_or(named.len());
            let (name, after) = named.split_at(end);
            match name {
                "" if after.is_empty() => {}
                "" => return Err(format!("jsonpath: an empty field in {path:?}")),
                "*" => steps.push(Step::All),
                name => steps.push(Step::Field(name.to_owned())),
            }
            rest = after;
        }
    }
    Ok(steps)
}

fn bracket(inside: &str) -> Option<Step> {
    let quoted = |quote| {
        inside
            .strip_prefix(quote)
            .and_then(|inner| inner.strip_suffix(quote))
    };
    match (inside, quoted('\'').or_else(|| quoted('"'))) {
        ("*", _) => Some(Step::All),
        (_, Some(name)) => Some(Step::Field(name.to_owned())),
        _ => inside.parse().ok().map(Step::Index),
    }
}

impl JsonPath {
    /// What the paths lead to, several values with a space between; a path that leads nowhere is empty.
    pub(crate) fn select(&self, value: &Value) -> String {
        let text = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Path(steps) => {
                let found = steps.iter().fold(vec![value], |at, step| follow(&at, step));
                found.into_iter().map(plain).collect::<Vec<_>>().join(" ")
            }
        });
        text.collect()
    }
}

fn follow<'a>(at: &[&'a Value], step: &Step) -> Vec<&'a Value> {
    let one = |value: &'a Value| -> Vec<&'a Value> {
        match (step, value) {
            (Step::Field(name), value) => value.get(name.as_str()).into_iter().collect(),
            (Step::Index(index), value) => value.get(*index).into_iter().collect(),
            (Step::All, Value::Array(all)) => all.iter().collect(),
            (Step::All, Value::Object(all)) => all.values().collect(),
            (Step::All, _) => Vec::new(),
        }
    };
    at.iter().flat_map(|value| one(value)).collect()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
