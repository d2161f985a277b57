use super::{TYPES, maps};
use crate::config::Config;
use crate::maps::TYPES as ENTRIES;

#[test]
fn map_names_are_unique() {
    let specs = maps(&Config::default());
    let mut names: Vec<_> = specs.iter().map(|spec| spec.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), specs.len());
}

#[test]
fn an_impossible_size_is_refused_by_its_name() {
    let config = Config {
        aliases: 7,
        ..Config::default()
    };
    let error = config.validate().expect_err("7 aliases");
    assert_eq!(
        error.to_string(),
        "aliases = 7: must lie between 256 and 16777216"
    );
    let config = Config {
        event_bytes: 5000,
        ..Config::default()
    };
    assert!(
        config
            .validate()
            .expect_err("ring")
            .to_string()
            .starts_with("event_bytes = 5000")
    );
}

/// Each map with the number of its layout and a hash of what its entries are made of. When a line differs: a map that is
/// pinned on somebody's node holds entries of the old kind. Raise the number in `maps`, say how the old ones are migrated
/// (decision 15), and take over the new line. The number stays where octets that were always zero get a meaning of which zero
/// says what was so before, and which the release before need not know.
const RECORDED: &str = "\
connections 1 09ef6716f3561bce 7158fb09ec027ae8
openings 1 09ef6716f3561bce 7158fb09ec027ae8
aliases 1 09ef6716f3561bce 42d1ac4893bf30e6
fragments 1 0c019f00521da9fe c97c6ad583cee3b8
endpoints 1 0000000000000000 131be04a72226caa
hops 1 0000000000000000 32c0a1c02a8f22ed
traffic 1 0000000000000000 bc13d0c9295142cc
addresses 1 6012b6e627ed79e9 a85ebca39d2bdf7f
cidrs 1 c8ebb104ffa3be1e a85ebca39d2bdf7f
policies 1 0000000000000000 97e7c5d2cbfe0197
policy_peers 1 0f8452c95f065d1f 0000000000000000
policy_ports 1 ea5d1d792f008c1c 0c6a781691b38940
known_identities 1 0000000000000000 0000000000000000
frontends 1 227155b441bd1d49 25d5bb283e67ddf0
service_slots 1 e78d35cb721ecfc7 0000000000000000
backends 1 0000000000000000 6da8692d8d090d55
affinity 1 a9ee52ede4ee0d9f 0890da99c6a31370
socket_peers 1 b8d5121397b9ed02 74e6e5f13e772e32
generations 1 0000000000000000 0000000000000000
node 1 0000000000000000 6d8c1a1bb333ca3b
masquerade_spare 1 c8ebb104ffa3be1e 0000000000000000
events 1 0000000000000000 a419bdc2c1f8e5a6
lost_events 1 0000000000000000 0000000000000000
samples 1 0000000000000000 f3b4fbe0c9962ea6
lost_samples 1 0000000000000000 0000000000000000
followed 1 09ef6716f3561bce 0000000000000000
drops 1 0d135a745d1d823b b68d1bf6fd17eeb8
hooks 1 0000000000000000 b68d1bf6fd17eeb8
";

#[test]
fn whoever_changes_the_types_of_a_map_raises_the_number_of_its_layout() {
    let hash = |name: &str| {
        let integer = ["u32", "u64"].contains(&name);
        let found = TYPES.iter().find(|(known, _)| *known == name);
        match found {
            Some((_, hash)) => *hash,
            None if integer => 0,
            None => panic!("{name} is not among the ABI's types"),
        }
    };
    let mut lines = String::new();
    for spec in maps(&Config::default()) {
        let entry = ENTRIES.iter().find(|(name, _)| *name == spec.name);
        // A ring has no entries, but records.
        let record = if spec.name == "samples" {
            "Sample"
        } else {
            "Event"
        };
        let types = entry.map_or(["u32", record], |(_, types)| *types);
        let [key, value] = types.map(|name| name.rsplit("::").next().unwrap_or(name));
        let (name, layout) = (spec.name, spec.layout);
        let (key, value) = (hash(key), hash(value));
        let line = format!("{name} {layout} {key:016x} {value:016x}\n");
        lines.push_str(&line);
    }
    assert_eq!(lines, RECORDED);
}
