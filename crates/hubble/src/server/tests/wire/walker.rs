//! Messages as text, read from their bytes by a list of field numbers that owes nothing to the generated types.

use std::{collections::HashMap, fmt::Write as _, sync::LazyLock};

/// A message's fields by their numbers: name and type.
type Fields = HashMap<u64, (&'static str, &'static str)>;

/// Numbers and types as Hubble's readers know them; `varint`, `text`, `double`, or the name of a message.
static DEFINITIONS: LazyLock<HashMap<&str, Fields>> = LazyLock::new(|| {
    let lines = include_str!("definitions.txt").lines();
    lines
        .filter_map(|line| line.split_once(": "))
        .map(|(message, fields)| {
            let fields = fields.split("; ").map(|field| {
                let mut words = field.split(' ');
                let number = words.next().unwrap().parse().unwrap();
                (number, (words.next().unwrap(), words.next().unwrap()))
            });
            (message, fields.collect())
        })
        .collect()
});

/// The message as lines of `number name = value`, in the order of its bytes. A field that the list does not have, or
/// not with this wire type, is an error.
pub(super) fn text(message: &str, bytes: &[u8]) -> Result<String, String> {
    let mut out = String::new();
    walk(message, bytes, 0, &mut out)?;
    Ok(out)
}

fn walk(message: &str, mut bytes: &[u8], depth: usize, out: &mut String) -> Result<(), String> {
    let fields = DEFINITIONS
        .get(message)
        .ok_or_else(|| format!("{message} is not in the list"))?;
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let (number, wire) = (key >> 3, key & 7);
        let (name, kind) = fields
            .get(&number)
            .ok_or_else(|| format!("{message} has no field {number}"))?;
        let _ = write!(out, "{:1$}{number} {name}", "", depth * 2);
        match (*kind, wire) {
            ("varint", 0) => {
                let _ = writeln!(out, " = {}", varint(&mut bytes)?);
            }
            ("double", 1) => {
                let value = take(&mut bytes, 8)?;
                let value = f64::from_le_bytes(value.try_into().map_err(|_| "8 bytes")?);
                let _ = writeln!(out, " = {value}");
            }
            ("text", 2) => {
                let length = varint(&mut bytes)?;
                let value = std::str::from_utf8(take(&mut bytes, length)?);
                let _ = writeln!(out, " = {:?}", value.map_err(|error| error.to_string())?);
            }
            (inner, 2) if DEFINITIONS.contains_key(inner) => {
                let length = varint(&mut bytes)?;
                out.push('\n');
                walk(inner, take(&mut bytes, length)?, depth + 1, out)?;
            }
            _ => {
                return Err(format!(
                    "{message}.{name} ({number}) has the wire type {wire}, which is not that of {kind}"
                ));
            }
        }
    }
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = *take(bytes, 1)? else {
            return Err("one byte".into());
        };
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a number of more than ten bytes".into())
}

fn take<'a>(bytes: &mut &'a [u8], count: u64) -> Result<&'a [u8], String> {
    let count = usize::try_from(count).map_err(|error| error.to_string())?;
    let (taken, rest) = bytes
        .split_at_checked(count)
        .ok_or_else(|| format!("{count} bytes wanted, {} are there", bytes.len()))?;
    *bytes = rest;
    Ok(taken)
}

#[test]
fn bytes_of_another_number_or_type_are_refused() {
    let right = [0x08, 0x01, 0x12, 0x01, b'x'];
    assert_eq!(
        text("NetworkInterface", &right).unwrap(),
        "1 index = 1\n2 name = \"x\"\n"
    );
    for wrong in [
        &[0x18, 0x01][..],   // a number that it does not have
        &[0x0a, 0x01, b'x'], // the first with the second's type
        &[0x12, 0x05, b'x'], // cut off
        &[0x08, 0xff],       // a number that goes on
    ] {
        text("NetworkInterface", wrong).unwrap_err();
    }
}
