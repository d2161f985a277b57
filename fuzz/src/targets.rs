//! The list of targets: each reads one kind of input that others write, and checks what must hold of any.

use std::fs;
use std::path::PathBuf;

mod cni;
mod conversations;
mod events;
mod filters;
mod labels;
mod objects;
mod packets;
mod planted;
mod queries;
mod states;

pub(crate) use planted::PLANTED;

/// How inputs are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As octets.
    Bytes,
    /// As octets, with words of the first inputs.
    Text,
    /// As values, members and items.
    Json,
}

/// One target.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: &'static str,
    /// How its inputs are changed.
    pub(crate) shape: Shape,
    /// What changes begin with.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    /// Takes any input whatever; a panic is a failure.
    pub(crate) run: fn(&[u8]),
}

/// All targets; those of the packet path first, because a fault in them is the worst.
pub(crate) const ALL: &[Target] = &[
    packets::HOOKS,
    packets::ICMP,
    objects::TARGET,
    labels::TARGET,
    cni::TARGET,
    events::TARGET,
    filters::TARGET,
    queries::TARGET,
    states::TARGET,
    conversations::SAMPLES,
    conversations::HTTP1,
    conversations::HTTP2,
    conversations::HPACK,
    conversations::DNS,
    conversations::KAFKA,
    conversations::TLS,
];

/// The folder of this package, as cargo and `./x` say: what was compiled may be of another checkout that is gone.
fn package() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from)
}

impl Target {
    /// The seeds, and the inputs that once failed, in `fuzz/kept/NAME`: text as it is, octets as hexadecimal digits.
    pub(crate) fn inputs(&self) -> Vec<Vec<u8>> {
        let mut inputs = (self.seeds)();
        let folder = package().join("kept").join(self.name);
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            inputs.push(match self.shape {
                Shape::Bytes => octets(&text),
                Shape::Text | Shape::Json => text.into_bytes(),
            });
        }
        inputs.push(Vec::new());
        inputs
    }
}

/// The octets of hexadecimal digits; what is none is skipped.
fn octets(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}
