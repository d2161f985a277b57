//! The Huffman code of HPACK (RFC 7541, section 5.2 and appendix B).
//!
//! The code is canonical: codes of one length follow each other in the order of their symbols, and shorter ones come first. So
//! the lengths say everything.

/// Length of each octet's code, and at the end that of EOS, in bits.
pub(super) const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const SHORTEST: usize = 5;
const LONGEST: usize = 30;

/// Symbol that no text may hold.
const EOS: u16 = 256;

struct Code {
    /// Symbols in the order of their codes.
    symbols: [u16; 257],
    /// For each length: the first code that is too large for it, its bits at the top.
    ends: [u32; LONGEST + 1],
    /// For each length: the first code, and where its symbol lies.
    firsts: [(u32, usize); LONGEST + 1],
}

const CODE: Code = code();

const fn code() -> Code {
    let mut built = Code {
        symbols: [0; 257],
        ends: [0; LONGEST + 1],
        firsts: [(0, 0); LONGEST + 1],
    };
    let (mut next, mut place, mut length) = (0_u32, 0, 1);
    while length <= LONGEST {
        next <<= 1;
        built.firsts[length] = (next, place);
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                built.symbols[place] = symbol as u16;
                place += 1;
                next += 1;
            }
            symbol += 1;
        }
        // The last code of all is only ones, so that its end is beyond the numbers.
        built.ends[length] = next.wrapping_shl(32 - length as u32);
        length += 1;
    }
    built
}

/// Decodes octets, of which at most so many are kept; gives the number of all with them. Nothing if they are no such code.
pub(crate) fn decode(octets: &[u8], most: usize) -> Option<(Vec<u8>, usize)> {
    let mut text = Vec::with_capacity((octets.len() * 8 / SHORTEST).min(most));
    let mut count = 0;
    let mut bits = 0_u64;
    let mut there = 0;
    let mut rest = octets.iter();
    loop {
        while there <= 56
            && let Some(octet) = rest.next()
        {
            bits |= u64::from(*octet) << (56 - there);
            there += 8;
        }
        let window = (bits >> 32) as u32;
        // What is left is padding: fewer than eight bits, all ones.
        if there < 8 && u64::from(window) >> (32 - there) == (1 << there) - 1 {
            return Some((text, count));
        }
        let fits = |length: &usize| *length == LONGEST || window < CODE.ends[*length];
        let length = (SHORTEST..=LONGEST).find(fits)?;
        let (first, place) = CODE.firsts[length];
        let symbol = CODE
            .symbols
            .get(place + ((window >> (32 - length)) - first) as usize)?;
        if *symbol == EOS || length > there {
            return None;
        }
        if text.len() < most {
            text.push(*symbol as u8);
        }
        count += 1;
        bits <<= length;
        there -= length;
    }
}
