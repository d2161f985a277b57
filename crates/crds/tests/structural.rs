//! Every schema is structural, as apiextensions.k8s.io/v1 demands: what is broken here, an API server would refuse.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use serde_json::{Map, Value, json};

/// Keywords of a structural schema that we use.
const KNOWN: &[&str] = &[
    "additionalProperties",
    "allOf",
    "anyOf",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "not",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];

/// Keywords that belong to the structure, and may not stand inside `allOf`, `anyOf`, `oneOf` and `not`.
const STRUCTURE: &[&str] = &[
    "additionalProperties",
    "default",
    "description",
    "nullable",
    "type",
];

const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];

/// Formats that are checked by the API server, of those that we use.
const FORMATS: &[&str] = &["cidr", "date-time", "int32", "int64", "ipv4", "ipv6"];

struct Check {
    faults: Vec<String>,
}

impl Check {
    fn of(schema: &Value) -> Vec<String> {
        let mut check = Self { faults: Vec::new() };
        check.schema("", schema);
        check.root(schema);
        check.faults
    }

    fn fault(&mut self, path: &str, why: impl std::fmt::Display) {
        self.faults.push(format!("{path}: {why}"));
    }

    fn root(&mut self, schema: &Value) {
        if schema["type"] != "object" {
            self.fault("", "the root must be an object");
        }
        for (field, kind) in [
            ("apiVersion", "string"),
            ("kind", "string"),
            ("metadata", "object"),
        ] {
            if schema["properties"][field] != json!({"type": kind}) {
                self.fault(field, "nothing but the type may be said");
            }
        }
    }

    fn schema(&mut self, path: &str, schema: &Value) {
        let Some(map) = schema.as_object() else {
            return self.fault(path, "must be an object");
        };
        for key in map.keys().filter(|key| !KNOWN.contains(&key.as_str())) {
            self.fault(path, format!("{key} is not known"));
        }
        self.kind(path, map);
        self.texts(path, map);
        self.lists(path, map);
        self.values(path, map);
        self.conditions(path, map, map);
        for (name, below) in properties(map) {
            self.schema(&format!("{path}.{name}"), below);
        }
        for word in ["items", "additionalProperties"] {
            if let Some(below) = map.get(word) {
                self.schema(&format!("{path}.{word}"), below);
            }
        }
    }

    /// What is required, filled in and asked by rules.
    fn values(&mut self, path: &str, map: &Map<String, Value>) {
        let described: Vec<&String> = properties(map).map(|(name, _)| name).collect();
        for name in list(map, "required").filter_map(Value::as_str) {
            if !described.iter().any(|described| *described == name) {
                self.fault(path, format!("{name} is required and not described"));
            }
        }
        if let Some(default) = map.get("default") {
            let fits = match map["type"].as_str() {
                Some("string") => default.is_string(),
                Some("integer") => default.is_i64(),
                Some("boolean") => default.is_boolean(),
                Some("array") => default.is_array(),
                _ => false,
            };
            let listed = map.get("enum").and_then(Value::as_array);
            if !fits || listed.is_some_and(|listed| !listed.contains(default)) {
                self.fault(path, format!("{default} is no default of this type"));
            }
        }
        for rule in list(map, "x-kubernetes-validations") {
            let said = |key: &str| rule[key].as_str().is_some_and(|text| !text.is_empty());
            if !said("rule") || !said("message") {
                self.fault(path, "a validation needs a rule and a message");
            }
        }
    }

    fn kind(&mut self, path: &str, map: &Map<String, Value>) {
        let set = |key: &str| map.get(key) == Some(&Value::Bool(true));
        let kind = map.get("type").and_then(Value::as_str);
        match kind {
            Some(kind) if !TYPES.contains(&kind) => self.fault(path, format!("{kind} is no type")),
            None if !set("x-kubernetes-int-or-string")
                && !set("x-kubernetes-preserve-unknown-fields") =>
            {
                self.fault(path, "the type is missing");
            }
            Some(_) if set("x-kubernetes-int-or-string") => {
                self.fault(path, "int-or-string has no type");
            }
            _ => {}
        }
        if map.contains_key("properties") && map.contains_key("additionalProperties") {
            self.fault(
                path,
                "properties and additionalProperties exclude each other",
            );
        }
        for (word, wanted) in [
            ("properties", "object"),
            ("additionalProperties", "object"),
            ("items", "array"),
        ] {
            if map.contains_key(word) && kind != Some(wanted) {
                self.fault(path, format!("{word} is for type {wanted}"));
            }
        }
        if kind == Some("array") && !map.contains_key("items") {
            self.fault(path, "items are missing");
        }
        if kind == Some("object")
            && !["properties", "additionalProperties"]
                .iter()
                .any(|word| map.contains_key(*word))
        {
            // `metadata` is described by the server.
            if path != ".metadata" && !set("x-kubernetes-preserve-unknown-fields") {
                self.fault(path, "everything below would be taken away");
            }
        }
        if map
            .get("enum")
            .is_some_and(|listed| listed.as_array().is_none_or(Vec::is_empty))
        {
            self.fault(path, "enum must name values");
        }
    }

    fn texts(&mut self, path: &str, map: &Map<String, Value>) {
        if let Some(pattern) = map.get("pattern").and_then(Value::as_str) {
            let anchored = pattern.starts_with('^') && pattern.ends_with('$');
            if regex::Regex::new(pattern).is_err() || !anchored {
                self.fault(path, format!("{pattern} is no pattern for a whole text"));
            }
        }
        if let Some(format) = map.get("format").and_then(Value::as_str)
            && !FORMATS.contains(&format)
        {
            self.fault(path, format!("{format} is not known"));
        }
    }

    fn lists(&mut self, path: &str, map: &Map<String, Value>) {
        let item = &map.get("items").cloned().unwrap_or_default();
        let keys = map
            .get("x-kubernetes-list-map-keys")
            .and_then(Value::as_array);
        match map.get("x-kubernetes-list-type").and_then(Value::as_str) {
            None | Some("atomic") if keys.is_none() => {}
            Some("set") if keys.is_none() => {
                if matches!(item["type"].as_str(), Some("object" | "array")) {
                    self.fault(path, "a set has scalar items");
                }
            }
            Some("map") if keys.is_some_and(|keys| !keys.is_empty()) => {
                for key in keys.into_iter().flatten().filter_map(Value::as_str) {
                    let described = &item["properties"][key];
                    let required = item["required"]
                        .as_array()
                        .is_some_and(|names| names.contains(&json!(key)));
                    if !required && described.get("default").is_none() {
                        self.fault(
                            path,
                            format!("the key {key} must be required or have a default"),
                        );
                    }
                    if !matches!(
                        described["type"].as_str(),
                        Some("string" | "integer" | "boolean" | "number")
                    ) {
                        self.fault(path, format!("the key {key} must be a scalar"));
                    }
                }
            }
            _ => self.fault(path, "a list of type map, and no other, has keys"),
        }
    }

    /// A part of `allOf`, `anyOf`, `oneOf` or `not`: conditions on what `around` describes.
    fn condition(&mut self, path: &str, condition: &Value, around: &Map<String, Value>) {
        let int_or_string = around.get("x-kubernetes-int-or-string") == Some(&json!(true));
        if int_or_string
            && [json!({"type": "integer"}), json!({"type": "string"})].contains(condition)
        {
            return;
        }
        let Some(map) = condition.as_object() else {
            return self.fault(path, "must be an object");
        };
        for key in map.keys() {
            let extension = key.starts_with("x-kubernetes-");
            if STRUCTURE.contains(&key.as_str()) || extension || !KNOWN.contains(&key.as_str()) {
                self.fault(path, format!("{key} may not stand here"));
            }
        }
        self.texts(path, map);
        if map.is_empty() {
            self.fault(path, "says nothing");
        }
        let outside = |name: &str| properties(around).find(|(described, _)| *described == name);
        for name in list(map, "required").filter_map(Value::as_str) {
            if outside(name).is_none() {
                self.fault(path, format!("{name} is not described outside"));
            }
        }
        for (name, below) in properties(map) {
            match outside(name).and_then(|(_, outside)| outside.as_object()) {
                Some(outside) => self.condition(&format!("{path}.{name}"), below, outside),
                None => self.fault(path, format!("{name} is not described outside")),
            }
        }
        if let Some(below) = map.get("items") {
            match around.get("items").and_then(Value::as_object) {
                Some(outside) => self.condition(&format!("{path}.items"), below, outside),
                None => self.fault(path, "items are not described outside"),
            }
        }
        self.conditions(path, map, around);
    }

    fn conditions(&mut self, path: &str, map: &Map<String, Value>, around: &Map<String, Value>) {
        for word in ["allOf", "anyOf", "oneOf"] {
            for one in list(map, word) {
                self.condition(&format!("{path}.{word}"), one, around);
            }
        }
        if let Some(one) = map.get("not") {
            self.condition(&format!("{path}.not"), one, around);
        }
    }
}

fn list<'a>(map: &'a Map<String, Value>, word: &str) -> impl Iterator<Item = &'a Value> {
    let list = map.get(word).and_then(Value::as_array);
    list.into_iter().flatten()
}

fn properties(map: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let fields = map.get("properties").and_then(Value::as_object);
    fields.into_iter().flatten()
}

/// Every schema with the name of its kind and version.
fn schemas() -> Vec<(String, Value)> {
    let mut schemas = Vec::new();
    for definition in crds::definitions() {
        for version in definition.spec["versions"].as_array().unwrap() {
            let name = format!("{} {}", definition.metadata.name, version["name"]);
            schemas.push((name, version["schema"]["openAPIV3Schema"].clone()));
        }
    }
    schemas
}

#[test]
fn every_schema_is_structural() {
    let schemas = schemas();
    // 21 kinds, 8 of them in two versions.
    assert_eq!(schemas.len(), 29);
    for (name, schema) in schemas {
        assert_eq!(Check::of(&schema), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn every_definition_has_one_stored_version_and_names_that_belong_together() {
    for definition in crds::definitions() {
        let spec = &definition.spec;
        let versions = spec["versions"].as_array().unwrap();
        let stored = versions.iter().filter(|version| version["storage"] == true);
        assert_eq!(stored.count(), 1, "{}", definition.metadata.name);
        assert_eq!(versions[0]["storage"], true);
        assert!(
            versions[1..]
                .iter()
                .all(|version| version["deprecated"] == true && version["name"] == "v2alpha1")
        );
        assert!(versions.iter().all(|version| version["served"] == true));
        let names = &spec["names"];
        let kind = names["kind"].as_str().unwrap();
        assert_eq!(names["singular"], kind.to_lowercase());
        assert_eq!(names["listKind"], format!("{kind}List"));
        assert_eq!(
            definition.metadata.name,
            format!("{}.cilium.io", names["plural"].as_str().unwrap())
        );
        let status = |version: &Value| {
            version["schema"]["openAPIV3Schema"]["properties"]
                .get("status")
                .is_some()
        };
        for version in versions
            .iter()
            .filter(|version| version.get("subresources").is_some())
        {
            // An identity has the resource, for those who ask for it, and nothing in it.
            assert!(status(version) || kind == "CiliumIdentity", "{kind}");
        }
    }
}

#[test]
fn an_older_version_differs_in_what_it_has_more_or_less() {
    let of = |plural: &str, at: usize| {
        let all = crds::definitions();
        let one = all
            .iter()
            .find(|one| one.spec["names"]["plural"] == plural)
            .unwrap();
        one.spec["versions"][at]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
            .clone()
    };
    let port = "/transport/properties/localPort";
    assert_eq!(of("ciliumbgppeerconfigs", 0).pointer(port), None);
    assert!(of("ciliumbgppeerconfigs", 1).pointer(port).is_some());
    let interface = "/advertisements/items/properties/interface";
    assert!(
        of("ciliumbgpadvertisements", 0)
            .pointer(interface)
            .is_some()
    );
    let old = of("ciliumbgpadvertisements", 1);
    assert_eq!(old.pointer(interface), None);
    assert!(!old.to_string().contains("nterface"), "{old}");
    assert_eq!(
        old["advertisements"]["items"]["x-kubernetes-validations"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

/// A root around a field.
fn root(field: &Value) -> Value {
    json!({"type": "object", "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}, "x": field,
    }})
}

#[test]
fn what_an_api_server_would_refuse_is_found() {
    assert_eq!(
        Check::of(&root(&json!({"type": "string"}))),
        Vec::<String>::new()
    );
    for field in [
        json!(true),
        json!({}),
        json!({"$ref": "#/x"}),
        json!({"type": "string", "title": "x"}),
        json!({"type": ["string", "null"]}),
        json!({"type": "null"}),
        json!({"type": "string", "x-kubernetes-int-or-string": true}),
        json!({"type": "object"}),
        json!({"type": "object", "properties": {}, "additionalProperties": {"type": "string"}}),
        json!({"type": "string", "properties": {}}),
        json!({"type": "object", "additionalProperties": false}),
        json!({"type": "array"}),
        json!({"type": "array", "items": {}}),
        json!({"type": "object", "properties": {}, "required": ["a"]}),
        json!({"type": "object", "properties": {}, "oneOf": [{"required": ["a"]}]}),
        json!({"type": "object", "properties": {}, "anyOf": [{"properties": {"a": {"minimum": 1}}}]}),
        json!({"type": "object", "properties": {}, "oneOf": [{"not": {"anyOf": [{"required": ["a"]}]}}]}),
        json!({"type": "string", "anyOf": [{"type": "string"}]}),
        json!({"type": "string", "anyOf": [{"format": "cidr", "description": "x"}]}),
        json!({"type": "string", "not": {}}),
        json!({"type": "string", "enum": []}),
        json!({"type": "string", "pattern": "("}),
        json!({"type": "string", "pattern": "a"}),
        json!({"type": "string", "format": "uint16"}),
        json!({"type": "string", "default": 1}),
        json!({"type": "string", "enum": ["a"], "default": "b"}),
        json!({"type": "string", "x-kubernetes-validations": [{"rule": "true"}]}),
        json!({"type": "array", "items": {"type": "object", "properties": {}}, "x-kubernetes-list-type": "set"}),
        json!({"type": "array", "items": {"type": "object", "properties": {}}, "x-kubernetes-list-type": "map"}),
        json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"],
               "items": {"type": "object", "properties": {"a": {"type": "string"}}}}),
        json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"],
               "items": {"type": "object", "required": ["a"], "properties": {"a": {"type": "array", "items": {"type": "string"}}}}}),
    ] {
        assert_ne!(Check::of(&root(&field)), Vec::<String>::new(), "{field}");
    }
    let mut described = root(&json!({"type": "string"}));
    described["properties"]["metadata"]["description"] = json!("x");
    assert_ne!(Check::of(&described), Vec::<String>::new());
}
