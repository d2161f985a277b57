#![allow(clippy::unwrap_used, reason = "a failed step of a test ends the test")]

use super::*;

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let owned = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    owned.collect()
}

#[test]
fn what_is_no_setting_any_more_goes_and_no_key_leads_out_of_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("config-map");
    write(&at, &settings(&[("debug", "true"), ("mtu", "1500")])).unwrap();
    write(&at, &settings(&[("mtu", "9000")])).unwrap();
    assert!(!at.join("debug").exists());
    assert_eq!(std::fs::read_to_string(at.join("mtu")).unwrap(), "9000");
    assert!(write(&at, &settings(&[("../escaped", "")])).is_err());
    assert!(!directory.path().join("escaped").exists());
}
