//! Choosing a slot: the same arithmetic as in the data plane, for simulation and tests.

/// A slot below `slots`, from 32 random bits. Even to within one part in 2³² · slots, without a division.
/// `None` without slots.
pub fn random_slot(slots: u32, random: u32) -> Option<u32> {
    (slots > 0).then(|| ((u64::from(random) * u64::from(slots)) >> 32) as u32)
}

/// The backend that a Maglev table gives to a hash of a connection. `None` if the table is empty.
pub fn maglev_backend(table: &[u32], hash: u32) -> Option<u32> {
    let size = u32::try_from(table.len()).ok().filter(|size| *size > 0)?;
    table.get((hash % size) as usize).copied()
}
