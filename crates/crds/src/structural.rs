//! From a type's JSON schema to a structural one, the only form that apiextensions.k8s.io/v1 takes (Kubernetes' documentation
//! of CustomResourceDefinitions, "Specifying a structural schema").

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Formats that the API server knows and a type can have.
const FORMATS: &[&str] = &[
    "cidr",
    "date-time",
    "double",
    "int32",
    "int64",
    "ipv4",
    "ipv6",
];

/// The schema of a kind's objects.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    make_structural(&mut schema);
    // The server itself checks these; a definition may say nothing of them.
    for (field, kind) in [
        ("apiVersion", "string"),
        ("kind", "string"),
        ("metadata", "object"),
    ] {
        schema["properties"][field] = json!({"type": kind});
    }
    schema
}

fn make_structural(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else {
        // `true`: any value.
        *schema = json!({"x-kubernetes-preserve-unknown-fields": true});
        return;
    };
    map.remove("title");
    map.remove("$schema");
    // What serde fills in when it reads is not what the server is to fill in when it stores.
    map.remove("default");
    if let Some(default) = map.remove("x-default") {
        map.insert("default".to_owned(), default);
    }
    let known = |format: &Value| {
        format
            .as_str()
            .is_some_and(|format| FORMATS.contains(&format))
    };
    if map.get("format").is_some_and(|format| !known(format)) {
        map.remove("format");
    }
    if let Some(Value::String(text)) = map.get_mut("description") {
        *text = text
            .replace("\n\n", "\u{0}")
            .replace('\n', " ")
            .replace('\u{0}', "\n");
    }
    drop_null(map);
    merge_variants(map);
    for below in ["items", "additionalProperties"] {
        if let Some(inner) = map.get_mut(below) {
            make_structural(inner);
        }
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(make_structural);
    }
}

/// For the API server a `null` is an absent field, so no schema names it.
fn drop_null(map: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = &mut types[..] {
            let only = only.take();
            map.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = map.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let Some(Value::Array(variants)) = map.get_mut("anyOf") else {
        return;
    };
    let null = json!({"type": "null"});
    if !variants.contains(&null) {
        return;
    }
    variants.retain(|variant| *variant != null);
    if let [Value::Object(only)] = &mut variants[..] {
        let only = std::mem::take(only);
        map.remove("anyOf");
        for (key, value) in only {
            // What is said of the field goes before what is said of its type.
            map.entry(key).or_insert(value);
        }
    }
}

/// An enum whose variants carry descriptions of their own is a list of texts.
fn merge_variants(map: &mut Map<String, Value>) {
    let Some(Value::Array(variants)) = map.get("oneOf") else {
        return;
    };
    let texts: Option<Vec<Value>> = variants
        .iter()
        .map(|one| one.get("const").cloned())
        .collect();
    if let Some(texts) = texts {
        map.remove("oneOf");
        map.insert("type".to_owned(), json!("string"));
        map.insert("enum".to_owned(), Value::Array(texts));
    }
}
