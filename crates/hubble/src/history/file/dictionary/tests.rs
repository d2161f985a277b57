use proptest::prelude::*;

use super::*;

/// What a reader makes of it, by the format's own words.
fn unpacked(octets: &[u8], width: u32, count: usize) -> Vec<u32> {
    let mut numbers = Vec::new();
    let mut left = octets.iter().copied();
    while numbers.len() < count {
        let (mut header, mut shift) = (0_u64, 0);
        loop {
            let octet = left.next().unwrap();
            header |= u64::from(octet & 0x7f) << shift;
            shift += 7;
            if octet & 0x80 == 0 {
                break;
            }
        }
        let length = (header >> 1) as usize;
        if header & 1 == 0 {
            let octets = left.by_ref().take(width.div_ceil(8) as usize);
            let number = octets.enumerate().fold(0, |number, (at, octet)| {
                number | u32::from(octet) << (8 * at)
            });
            numbers.extend(std::iter::repeat_n(number, length));
        } else {
            let packed: Vec<u8> = left.by_ref().take(length * width as usize).collect();
            let bit = |at: usize| u32::from(packed[at / 8] >> (at % 8) & 1);
            let width = width as usize;
            numbers.extend((0..length * GROUP).map(|number| {
                (0..width).fold(0, |value, at| value | bit(number * width + at) << at)
            }));
        }
    }
    assert_eq!(left.next(), None, "nothing is left");
    let filled = numbers.split_off(count);
    assert!(filled.len() < GROUP, "only the last group is filled up");
    numbers
}

fn runs() -> impl Strategy<Value = Vec<u32>> {
    let run = (0..9_u32, 1..40_usize);
    let run = run.prop_map(|(number, length)| vec![number * 37; length]);
    let other = prop::collection::vec(0..400_u32, 0..20);
    let part = prop_oneof![run, other];
    prop::collection::vec(part, 1..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn what_is_packed_is_unpacked(numbers in runs(), more in 0..23_u32) {
        let most = numbers.iter().max().copied().unwrap_or_default();
        let width = (u32::BITS - most.leading_zeros()) + more;
        let mut octets = Vec::new();
        pack(&numbers, width, &mut octets);
        prop_assert_eq!(unpacked(&octets, width, numbers.len()), numbers);
    }
}

#[test]
fn what_is_alike_takes_a_few_octets_however_often_it_comes() {
    let mut octets = Vec::new();
    pack(&vec![0; 30_000], 0, &mut octets);
    assert_eq!(octets.len(), 3);
    octets.clear();
    pack(&vec![300; 30_000], 9, &mut octets);
    assert_eq!(octets.len(), 5);
}
