//! Maglev: a table that maps hashes to backends evenly, computed alike on every node, and hardly changed when a backend
//! goes (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4).

use std::net::IpAddr;

use super::BackendAddress;

/// Table sizes that can be configured: primes, so that every skip visits every place.
pub const SIZES: [u32; 10] = [
    251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071,
];

/// The seed when none is configured. Nodes that share traffic must use the same.
pub const DEFAULT_SEED: u64 = 0x6178_6f6e_656d_6531;

/// FNV-1a with a last mixing step, since FNV alone leaves the high bits of short inputs poor.
fn hash(seed: u64, address: &BackendAddress) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325 ^ seed;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes {
            state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    match address.address {
        IpAddr::V4(v4) => eat(&v4.octets()),
        IpAddr::V6(v6) => eat(&v6.octets()),
    }
    eat(&address.port.to_be_bytes());
    eat(&[address.protocol.number()]);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// The table: for each place the index of a backend in `backends`. Empty without backends.
///
/// The order of `backends` decides only where two want the same place in the same round: give them sorted, as rows do.
/// `size` must be one of [`SIZES`].
pub fn table(backends: &[BackendAddress], size: u32, seed: u64) -> Vec<u32> {
    const FREE: u32 = u32::MAX;
    if backends.is_empty() || size < 2 {
        return Vec::new();
    }
    let mut preferences: Vec<(u32, u32)> = backends
        .iter()
        .map(|address| {
            let hash = hash(seed, address);
            let (offset, skip) = ((hash >> 32) as u32 % size, hash as u32 % (size - 1) + 1);
            (offset, skip)
        })
        .collect();
    let mut table = vec![FREE; size as usize];
    let mut filled = 0;
    // Places start free and each step of the inner loop moves on to another place: size is prime, so all are reached.
    'rounds: loop {
        for (index, (next, skip)) in preferences.iter_mut().enumerate() {
            while table[*next as usize] != FREE {
                *next = (*next + *skip) % size;
            }
            table[*next as usize] = index as u32;
            filled += 1;
            if filled == size {
                break 'rounds;
            }
        }
    }
    table
}
