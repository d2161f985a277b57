//! Bodies in Kubernetes' protobuf form, for the few kinds that `kubectl create KIND NAME` sends so.
//!
//! The form is the magic `k8s\0` and a runtime.Unknown (1: {1: apiVersion, 2: kind}, 2: the object). Answers stay
//! JSON, which those clients accept.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The magic in front.
const MAGIC: &[u8] = b"k8s\0";

/// How the bytes of a field read.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    /// A list of texts.
    Texts,
    Number,
    Bool,
    Message(&'static [Field]),
    /// A list of messages.
    Messages(&'static [Field]),
    /// Text to text.
    TextMap,
    /// Text to bytes, which JSON has in base64.
    BytesMap,
    /// {1: kind, 2: number, 3: text}
    IntOrString,
}

use Shape::{Bool, BytesMap, IntOrString, Message, Messages, Number, Text, TextMap, Texts};

/// Number, name and shape of a field; what is not listed is skipped (times and other things the server sets).
type Field = (u64, &'static str, Shape);

const OWNER: &[Field] = &[
    (1, "kind", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "controller", Bool),
];
const META: &[Field] = &[
    (1, "name", Text),
    (2, "generateName", Text),
    (3, "namespace", Text),
    (5, "uid", Text),
    (6, "resourceVersion", Text),
    (11, "labels", TextMap),
    (12, "annotations", TextMap),
    (13, "ownerReferences", Messages(OWNER)),
    (14, "finalizers", Texts),
];
const NAMESPACE: &[Field] = &[(1, "metadata", Message(META))];
const CONFIG_MAP: &[Field] = &[
    (1, "metadata", Message(META)),
    (2, "data", TextMap),
    (3, "binaryData", BytesMap),
    (4, "immutable", Bool),
];
const SECRET: &[Field] = &[
    (1, "metadata", Message(META)),
    (2, "data", BytesMap),
    (3, "type", Text),
    (4, "stringData", TextMap),
    (5, "immutable", Bool),
];
const SERVICE_ACCOUNT: &[Field] = &[
    (1, "metadata", Message(META)),
    (4, "automountServiceAccountToken", Bool),
];
const SERVICE_PORT: &[Field] = &[
    (1, "name", Text),
    (2, "protocol", Text),
    (3, "port", Number),
    (4, "targetPort", IntOrString),
    (5, "nodePort", Number),
    (6, "appProtocol", Text),
];
const SERVICE_SPEC: &[Field] = &[
    (1, "ports", Messages(SERVICE_PORT)),
    (2, "selector", TextMap),
    (3, "clusterIP", Text),
    (4, "type", Text),
    (5, "externalIPs", Texts),
    (7, "sessionAffinity", Text),
    (10, "externalName", Text),
    (11, "externalTrafficPolicy", Text),
    (17, "ipFamilyPolicy", Text),
    (18, "clusterIPs", Texts),
    (19, "ipFamilies", Texts),
    (22, "internalTrafficPolicy", Text),
];
const SERVICE: &[Field] = &[
    (1, "metadata", Message(META)),
    (2, "spec", Message(SERVICE_SPEC)),
];

/// One field on the wire.
enum Wire<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Skipped,
}

/// Reads an object; the error is a sentence.
pub(super) fn parse(body: &[u8]) -> Result<Value, String> {
    let body = body
        .strip_prefix(MAGIC)
        .ok_or("it does not begin as Kubernetes' protobuf does")?;
    let (mut type_meta, mut raw): (&[u8], &[u8]) = (&[], &[]);
    for field in fields(body) {
        match field? {
            (1, Wire::Bytes(bytes)) => type_meta = bytes,
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let type_meta = message(type_meta, &[(1, "apiVersion", Text), (2, "kind", Text)])?;
    let text = |field: &str| {
        type_meta
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let known = match (api_version.as_str(), kind.as_str()) {
        ("v1", "Namespace") => NAMESPACE,
        ("v1", "ConfigMap") => CONFIG_MAP,
        ("v1", "Secret") => SECRET,
        ("v1", "ServiceAccount") => SERVICE_ACCOUNT,
        ("v1", "Service") => SERVICE,
        _ => {
            return Err(format!(
                "{kind} of {api_version} is read as JSON or YAML only"
            ));
        }
    };
    let mut object = message(raw, known)?;
    object.insert("apiVersion".to_owned(), json!(api_version));
    object.insert("kind".to_owned(), json!(kind));
    Ok(Value::Object(object))
}

/// Empty texts, zeros and empty lists are what an absent field looks like in this form, so they are left out.
fn message(bytes: &[u8], known: &[Field]) -> Result<Map<String, Value>, String> {
    let mut object = Map::new();
    for field in fields(bytes) {
        let (number, wire) = field?;
        let Some(&(_, name, shape)) = known.iter().find(|(known, ..)| *known == number) else {
            continue;
        };
        match (shape, wire) {
            (Text, Wire::Bytes(bytes)) if !bytes.is_empty() => {
                object.insert(name.to_owned(), utf8(name, bytes)?.into());
            }
            (Number, Wire::Varint(value)) if value != 0 => {
                object.insert(name.to_owned(), value.into());
            }
            (Bool, Wire::Varint(value)) => {
                object.insert(name.to_owned(), (value != 0).into());
            }
            (Message(known), Wire::Bytes(bytes)) => {
                object.insert(name.to_owned(), message(bytes, known)?.into());
            }
            (Texts, Wire::Bytes(bytes)) => push(&mut object, name, utf8(name, bytes)?.into()),
            (Messages(known), Wire::Bytes(bytes)) => {
                push(&mut object, name, message(bytes, known)?.into());
            }
            (TextMap | BytesMap, Wire::Bytes(bytes)) => {
                let (key, value) = entry(name, bytes, shape)?;
                object.entry(name).or_insert_with(|| json!({}))[key] = value;
            }
            (IntOrString, Wire::Bytes(bytes)) => {
                let parts = message(bytes, &[(2, "number", Number), (3, "text", Text)])?;
                if let Some(value) = parts.get("text").or_else(|| parts.get("number")) {
                    object.insert(name.to_owned(), value.clone());
                }
            }
            _ => {}
        }
    }
    Ok(object)
}

fn push(object: &mut Map<String, Value>, name: &str, value: Value) {
    if let Value::Array(list) = object.entry(name).or_insert_with(|| json!([])) {
        list.push(value);
    }
}

fn utf8(name: &str, bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| format!("{name} is no UTF-8"))
}

fn entry(name: &str, bytes: &[u8], shape: Shape) -> Result<(String, Value), String> {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    for field in fields(bytes) {
        match field? {
            (1, Wire::Bytes(bytes)) => key = bytes,
            (2, Wire::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    let value = if matches!(shape, BytesMap) {
        STANDARD.encode(value)
    } else {
        utf8(name, value)?
    };
    Ok((utf8(name, key)?, value.into()))
}

/// The fields of a message, in order; ends after the first that does not read.
fn fields(bytes: &[u8]) -> impl Iterator<Item = Result<(u64, Wire<'_>), String>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = field(&mut rest);
        if field.is_none() {
            rest = &[];
        }
        Some(field.ok_or_else(|| "it is cut short or malformed".to_owned()))
    })
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Wire<'a>)> {
    let key = varint(rest)?;
    let wire = match key & 7 {
        0 => Wire::Varint(varint(rest)?),
        1 => take(rest, 8).map(|_| Wire::Skipped)?,
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Wire::Bytes(take(rest, length)?)
        }
        5 => take(rest, 4).map(|_| Wire::Skipped)?,
        _ => return None,
    };
    Some((key >> 3, wire))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, left) = rest.split_first()?;
        *rest = left;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::parse;

    /// A length-delimited field.
    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let mut field = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
        field.extend_from_slice(content);
        field
    }

    fn secret() -> Vec<u8> {
        let type_meta = [bytes(1, b"v1"), bytes(2, b"Secret")].concat();
        let labels = bytes(11, &[bytes(1, b"a"), bytes(2, b"b")].concat());
        let meta = [bytes(1, b"s"), bytes(2, b""), bytes(8, b""), labels].concat();
        let data = bytes(2, &[bytes(1, b"k"), bytes(2, b"\xff\x00")].concat());
        let raw = [bytes(1, &meta), data, bytes(3, b"Opaque"), vec![5 << 3, 1]].concat();
        [b"k8s\0".to_vec(), bytes(1, &type_meta), bytes(2, &raw)].concat()
    }

    #[test]
    fn an_object_reads_as_its_json() {
        assert_eq!(
            parse(&secret()).unwrap(),
            json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "immutable": true,
            "metadata": {"name": "s", "labels": {"a": "b"}}, "data": {"k": "/wA="}})
        );
    }

    #[test]
    fn other_kinds_and_broken_bytes_are_refused_with_a_sentence() {
        let type_meta = [bytes(1, b"v1"), bytes(2, b"Pod")].concat();
        let pod = [b"k8s\0".to_vec(), bytes(1, &type_meta)].concat();
        assert_eq!(
            parse(&pod).unwrap_err(),
            "Pod of v1 is read as JSON or YAML only"
        );
        let whole = secret();
        assert!(
            parse(&whole[..whole.len() - 1])
                .unwrap_err()
                .contains("cut short")
        );
        assert!(parse(b"{}").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(tail in proptest::collection::vec(any::<u8>(), 0..200), at in 0_usize..60, byte: u8) {
            let _ = parse(&[b"k8s\0".to_vec(), tail].concat());
            let mut changed = secret();
            let at = at % changed.len();
            changed[at] = byte;
            let _ = parse(&changed);
        }
    }
}
