//! Mutations: bytes, words of other inputs, and for JSON its parts.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::targets::Shape;

/// Numbers at which code takes another branch.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0xffff_ffff,
    u64::MAX,
];

/// Makes new inputs of old ones.
pub(crate) struct Mutator {
    shape: Shape,
    /// The longest input.
    limit: usize,
    /// Words that the first inputs hold.
    words: Vec<Vec<u8>>,
}

impl Mutator {
    /// One that knows the words of these inputs.
    pub(crate) fn new(shape: Shape, seeds: &[Vec<u8>]) -> Self {
        let limit = match shape {
            Shape::Bytes => 4 << 10,
            Shape::Text | Shape::Json => 32 << 10,
        };
        let mut words = BTreeSet::new();
        if shape != Shape::Bytes {
            for seed in seeds {
                let is_part =
                    |octet: &u8| !(octet.is_ascii_alphanumeric() || b"./:-_".contains(octet));
                words.extend(
                    seed.split(is_part)
                        .filter(|word| !word.is_empty())
                        .map(<[u8]>::to_vec),
                );
            }
        }
        Self {
            shape,
            limit,
            words: words.into_iter().collect(),
        }
    }

    /// A changed copy of `input`, perhaps with parts of `other`.
    pub(crate) fn mutate(&self, input: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
        if self.shape == Shape::Json
            && dice.below(8) != 0
            && let Some(text) = self.mutate_json(input, other, dice)
        {
            return text;
        }
        let mut bytes = input.to_vec();
        for _ in 0..=dice.below(6) {
            self.mutate_bytes(&mut bytes, other, dice);
        }
        bytes.truncate(self.limit);
        bytes
    }

    fn mutate_bytes(&self, bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
        let at = dice.below(bytes.len() + 1);
        let end = at + dice.below((bytes.len() - at).min(64) + 1);
        match dice.below(9) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.truncate(at),
            2 => {
                let copy = bytes[at..end].to_vec();
                let to = dice.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            3 => {
                let from = dice.below(other.len() + 1);
                let part = &other[from..from + dice.below((other.len() - from).min(64) + 1)];
                bytes.splice(at..end, part.iter().copied());
            }
            4 => {
                let number = dice.pick(&EDGES).copied().unwrap_or_default().to_be_bytes();
                overwrite(bytes, at, &number[8 - (1 << dice.below(4))..]);
            }
            5 => {
                let word = dice.pick(&self.words).map_or(&[0; 4][..], Vec::as_slice);
                let end = if dice.below(2) == 0 { at } else { end };
                bytes.splice(at..end, word.iter().copied());
            }
            6 => {
                if let Some(octet) = bytes.get_mut(at) {
                    *octet = octet.wrapping_add(dice.below(17) as u8).wrapping_sub(8);
                }
            }
            7 => {
                if let Some(octet) = bytes.get_mut(at) {
                    *octet ^= 1 << dice.below(8);
                }
            }
            _ => overwrite(bytes, at, &[dice.throw() as u8]),
        }
    }

    fn mutate_json(&self, input: &[u8], other: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
        let mut value: Value = serde_json::from_slice(input).ok()?;
        for _ in 0..=dice.below(3) {
            let mut at = dice.below(size(&value));
            let new = match dice.below(3) {
                0 => serde_json::from_slice(other).ok().map(|mut other: Value| {
                    let mut at = dice.below(size(&other));
                    part(&mut other, &mut at).map_or(Value::Null, Value::take)
                }),
                _ => None,
            };
            let place = part(&mut value, &mut at)?;
            self.mutate_part(place, new, dice);
        }
        let text = serde_json::to_vec(&value).ok()?;
        (text.len() <= self.limit).then_some(text)
    }

    fn mutate_part(&self, place: &mut Value, new: Option<Value>, dice: &mut Dice) {
        if let Some(new) = new {
            *place = new;
            return;
        }
        match place {
            Value::Object(members) if dice.below(4) != 0 => {
                let names: Vec<String> = members.keys().cloned().collect();
                let Some(name) = dice.pick(&names) else {
                    return;
                };
                let member = members.remove(name);
                if dice.below(2) == 0 {
                    members.insert(self.word(dice), member.unwrap_or_default());
                }
            }
            Value::Array(items) if !items.is_empty() && dice.below(4) != 0 => {
                if let Some(item) = dice.pick(items).cloned() {
                    items.insert(dice.below(items.len()), item);
                }
                if dice.below(2) == 0 {
                    items.swap_remove(dice.below(items.len()));
                }
            }
            Value::String(text) if dice.below(4) != 0 => {
                let mut bytes = std::mem::take(text).into_bytes();
                self.mutate_bytes(&mut bytes, &[], dice);
                *text = String::from_utf8_lossy(&bytes).into_owned();
            }
            _ => *place = self.strange(dice),
        }
    }

    fn word(&self, dice: &mut Dice) -> String {
        let word = dice.pick(&self.words).map_or(&b""[..], Vec::as_slice);
        String::from_utf8_lossy(word).into_owned()
    }

    fn strange(&self, dice: &mut Dice) -> Value {
        match dice.below(9) {
            0 => Value::Null,
            1 => json!({}),
            2 => json!([]),
            3 => json!(true),
            4 => json!(-1),
            5 => json!(1.5e300),
            6 => json!(dice.pick(&EDGES)),
            _ => json!(self.word(dice)),
        }
    }
}

fn overwrite(bytes: &mut [u8], at: usize, new: &[u8]) {
    for (octet, new) in bytes.iter_mut().skip(at).zip(new) {
        *octet = *new;
    }
}

/// Number of values in a value, itself included.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members.values().map(size).sum(),
        _ => 0,
    }
}

/// The value with number `at` in a walk through all of them.
fn part<'a>(value: &'a mut Value, at: &mut usize) -> Option<&'a mut Value> {
    if *at == 0 {
        return Some(value);
    }
    *at -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| part(item, at)),
        Value::Object(members) => members.values_mut().find_map(|member| part(member, at)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_input_of_any_shape_can_be_changed() {
        let mut dice = Dice::new(1);
        let seed = br#"{"a":[],"b":[1,{"c":"d"}],"e":{},"f":null}"#.to_vec();
        for shape in [Shape::Bytes, Shape::Text, Shape::Json] {
            let mutator = Mutator::new(shape, std::slice::from_ref(&seed));
            let mut input = seed.clone();
            let mut different = 0;
            for _ in 0..20_000 {
                let new = mutator.mutate(&input, &seed, &mut dice);
                different += usize::from(new != input);
                input = if new.is_empty() || new.len() > 2000 {
                    seed.clone()
                } else {
                    new
                };
            }
            assert!(different > 15_000, "{shape:?}: {different}");
        }
    }
}
