//! The simple JSON paths of printer columns.

use serde_json::Value;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
    All,
    Filter(String, String),
}

/// Values at `path`: fields with `\.` escapes or `['…']`, `[n]`, `[*]`, and `[?(@.field=='text')]`. A path that is not
/// understood has none.
pub(super) fn values<'a>(object: &'a Value, path: &str) -> Vec<&'a Value> {
    let Some(steps) = parse(path) else {
        return Vec::new();
    };
    let mut found = vec![object];
    for step in &steps {
        found = found
            .into_iter()
            .flat_map(|value| take(value, step))
            .collect();
    }
    found
}

fn take<'a>(value: &'a Value, step: &Step) -> Vec<&'a Value> {
    let items = value.as_array().into_iter().flatten();
    match step {
        Step::Field(name) => value.get(name).into_iter().collect(),
        Step::Index(index) => value.get(index).into_iter().collect(),
        Step::All => items.collect(),
        Step::Filter(field, text) => items
            .filter(|item| item.get(field).and_then(Value::as_str) == Some(text.as_str()))
            .collect(),
    }
}

fn parse(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let end = inner.find(']')?;
            steps.push(bracket(&inner[..end])?);
            rest = &inner[end + 1..];
        } else {
            let field = rest.strip_prefix('.').unwrap_or(rest);
            let (name, after) = plain(field);
            if name.is_empty() {
                return None;
            }
            steps.push(Step::Field(name));
            rest = after;
        }
    }
    Some(steps)
}

fn plain(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
            '.' | '[' => return (name, &text[index..]),
            _ => name.push(character),
        }
    }
    (name, "")
}

fn bracket(inner: &str) -> Option<Step> {
    let quoted = |text: &str| {
        let text = text.trim();
        let inside = text
            .strip_prefix('\'')
            .and_then(|text| text.strip_suffix('\''));
        inside
            .or_else(|| {
                text.strip_prefix('"')
                    .and_then(|text| text.strip_suffix('"'))
            })
            .map(str::to_owned)
    };
    if inner == "*" {
        return Some(Step::All);
    }
    if let Some(filter) = inner
        .strip_prefix("?(@.")
        .and_then(|filter| filter.strip_suffix(')'))
    {
        let (field, text) = filter.split_once("==")?;
        return Some(Step::Filter(field.trim().to_owned(), quoted(text)?));
    }
    quoted(inner)
        .map(Step::Field)
        .or_else(|| inner.parse().ok().map(Step::Index))
}
