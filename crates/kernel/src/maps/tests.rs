use super::{SIZES, parse_cpus};
use crate::config::Config;
use crate::layout;

#[test]
fn every_handle_has_the_sizes_of_its_map() {
    let specs = layout::maps(&Config::default());
    assert_eq!(
        SIZES.len() + 2,
        specs.len(),
        "one handle per map, the rings apart"
    );
    for (name, key, value) in SIZES {
        let spec = specs.iter().find(|spec| spec.name == *name).expect(name);
        assert_eq!(
            (spec.key_size, spec.value_size),
            (*key as u32, *value as u32),
            "{name}"
        );
    }
}

#[test]
fn cpu_lists_are_counted_to_their_highest_id() {
    assert_eq!(parse_cpus("0-3\n"), Some(4));
    assert_eq!(parse_cpus("0"), Some(1));
    assert_eq!(parse_cpus("0-1,4-7"), Some(8));
    assert_eq!(parse_cpus(""), None);
}
