//! From intervals of ports to the fewest prefixes that say the same under longest-prefix lookup.

/// A region of the port space: `bits` of the port are still free below it.
enum Region {
    Uniform(u16),
    /// The choices for this region's own row that cost the fewest rows below it.
    Split(Vec<u16>, Box<Region>, Box<Region>),
}

impl Region {
    fn choices(&self) -> Vec<u16> {
        match self {
            Self::Uniform(value) => vec![*value],
            Self::Split(choices, ..) => choices.clone(),
        }
    }

    /// `starts` are the first ports of intervals, ascending from 0, with the value of each.
    fn build(starts: &[(u16, u16)], low: u32, bits: u32) -> Self {
        let high = low + (1 << bits) - 1;
        let first = starts
            .partition_point(|(start, _)| u32::from(*start) <= low)
            .saturating_sub(1);
        let beyond = starts.partition_point(|(start, _)| u32::from(*start) <= high);
        let inside = &starts[first..beyond];
        let uniform = inside
            .iter()
            .all(|(_, value)| Some(value) == inside.first().map(|(_, value)| value));
        if uniform || bits == 0 {
            return Self::Uniform(inside.first().map_or(0, |(_, value)| *value));
        }
        let lower = Self::build(inside, low, bits - 1);
        let upper = Self::build(inside, low + (1 << (bits - 1)), bits - 1);
        let (a, b) = (lower.choices(), upper.choices());
        let both: Vec<u16> = a
            .iter()
            .filter(|value| b.contains(value))
            .copied()
            .collect();
        let choices = if both.is_empty() {
            let mut either = [a, b].concat();
            either.sort_unstable();
            either
        } else {
            both
        };
        Self::Split(choices, Box::new(lower), Box::new(upper))
    }

    fn emit(&self, inherited: Option<u16>, low: u32, bits: u32, rows: &mut Vec<(u16, u8, u16)>) {
        let choices = self.choices();
        let value = inherited
            .filter(|value| choices.contains(value))
            .unwrap_or_else(|| {
                let value = choices[0];
                rows.push((low as u16, (16 - bits) as u8, value));
                value
            });
        if let Self::Split(_, lower, upper) = self {
            lower.emit(Some(value), low, bits - 1, rows);
            upper.emit(Some(value), low + (1 << (bits - 1)), bits - 1, rows);
        }
    }
}

/// Rows (port, prefix length, value) out of intervals (first port, value), which start at 0 and ascend.
///
/// Optimal in the number of rows (the ORTC construction of Draves, King, Venkatachary and Zill, 1999): first, from the
/// leaves up, which values a region could take; then, from the root down, a row wherever the one above does not do.
/// The first row is always that of length 0.
pub(crate) fn prefixes(starts: &[(u16, u16)]) -> Vec<(u16, u8, u16)> {
    let mut rows = Vec::new();
    Region::build(starts, 0, 16).emit(None, 0, 16, &mut rows);
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::prefixes;

    fn look_up(rows: &[(u16, u8, u16)], port: u16) -> Option<u16> {
        let covers = |row: &&(u16, u8, u16)| row.1 == 0 || (port ^ row.0) >> (16 - row.1) == 0;
        rows.iter()
            .filter(covers)
            .max_by_key(|row| row.1)
            .map(|row| row.2)
    }

    #[test]
    fn one_port_in_a_uniform_space_is_two_rows() {
        assert_eq!(
            prefixes(&[(0, 0), (80, 1), (81, 0)]),
            [(0, 0, 0), (80, 16, 1)]
        );
        assert_eq!(prefixes(&[(0, 5)]), [(0, 0, 5)]);
        assert_eq!(
            prefixes(&[(0, 0), (0x8000, 1)]),
            [(0, 0, 0), (0x8000, 1, 1)]
        );
    }

    #[test]
    fn a_range_over_an_edge_is_exact_at_both_ends() {
        let rows = prefixes(&[(0, 0), (1023, 1), (1026, 0)]);
        for (port, value) in [
            (0, 0),
            (1022, 0),
            (1023, 1),
            (1024, 1),
            (1025, 1),
            (1026, 0),
            (65535, 0),
        ] {
            assert_eq!(look_up(&rows, port), Some(value), "{port}");
        }
        assert_eq!(rows.len(), 3);
    }

    proptest! {
        #[test]
        fn every_port_finds_its_interval(cuts in prop::collection::btree_map(any::<u16>(), 0u16..4, 0..12), base in 0u16..4) {
            let mut starts: Vec<(u16, u16)> = cuts.into_iter().filter(|(start, _)| *start > 0).collect();
            starts.insert(0, (0, base));
            let rows = prefixes(&starts);
            prop_assert_eq!((rows[0].0, rows[0].1), (0, 0));
            for port in starts.iter().flat_map(|(start, _)| [start.wrapping_sub(1), *start, start.wrapping_add(1)]) {
                let expected = starts.iter().rev().find(|(start, _)| *start <= port).map(|(_, value)| *value);
                prop_assert_eq!(look_up(&rows, port), expected);
            }
        }
    }
}
