//! Faults on purpose, so that a test can see that each kind is found and called by its name.

use super::{Shape, Target};

const fn planted(name: &'static str, run: fn(&[u8])) -> Target {
    Target {
        name,
        shape: Shape::Bytes,
        seeds: || vec![b"begin".to_vec()],
        run,
    }
}

/// Not run unless they are named.
pub(crate) const PLANTED: &[Target] = &[
    planted("planted-panic", |data| {
        assert!(data.first() != Some(&b'!'), "planted");
    }),
    planted("planted-loop", |data| {
        while data.first() == Some(&b'!') {
            std::hint::spin_loop();
        }
    }),
    planted("planted-memory", |data| {
        if data.first() == Some(&b'!') {
            std::hint::black_box(vec![1_u8; 2 << 30]);
        }
    }),
    planted("planted-recursion", |data| {
        if data.first() == Some(&b'!') {
            std::hint::black_box(deep(data, 1_000_000));
        }
    }),
];

fn deep(data: &[u8], left: u32) -> u32 {
    let here = std::hint::black_box([data.len() as u32; 16]);
    match left {
        0 => here[3],
        left => deep(data, left - 1).wrapping_add(here[left as usize % 16]),
    }
}
