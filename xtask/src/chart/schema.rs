//! values.schema.json: the names that there are, and the types of those that work.
//!
//! What upstream has and this chart has not may have any type here: templates refuse it, with a sentence.

use serde_json::{Value, json};

use super::table::{Row, State};

pub(super) fn of(rows: &[Row]) -> Value {
    let mut root = object();
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    // What a chart above this one says to all below it.
    root["properties"]["global"] = json!({});
    for row in rows {
        let mut at = &mut root;
        let mut words = row.name.split('.').peekable();
        while let Some(word) = words.next() {
            if words.peek().is_none() {
                at["properties"][word] = leaf(row);
                break;
            }
            if at["properties"][word].is_null() {
                at["properties"][word] = object();
            }
            at = &mut at["properties"][word];
        }
    }
    root
}

fn object() -> Value {
    json!({ "type": ["object", "null"], "additionalProperties": false, "properties": {} })
}

/// Null is what takes a default away.
fn leaf(row: &Row) -> Value {
    if row.state != State::Works {
        return json!({});
    }
    if row.types.is_empty() {
        let mut accepts = row.accepts.clone();
        accepts.push(Value::Null);
        return json!({ "enum": accepts });
    }
    let mut types = row.types.clone();
    types.push("null".to_owned());
    json!({ "type": types })
}
