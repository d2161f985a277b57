use super::{TYPES_HASH, maps};
use crate::config::Config;

#[test]
fn map_names_are_unique_and_the_hash_was_made() {
    let specs = maps(&Config::default());
    let mut names: Vec<_> = specs.iter().map(|spec| spec.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), specs.len());
    assert_ne!(TYPES_HASH, 0);
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
