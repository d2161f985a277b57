//! Keys of the ConfigMap: those that programs know, and those that the chart writes.

use std::collections::BTreeSet;

/// Names in a table of keys: `key("name", …)`, and `("name", "accepted")` of what is accepted only.
pub(super) fn named_in(source: &str) -> BTreeSet<String> {
    let first_text = |after: &str| {
        let text = after.trim_start().strip_prefix('"')?;
        Some(text.split_once('"')?.0.to_owned())
    };
    let is_key = |name: &String| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !name.is_empty() && name.chars().all(plain)
    };
    source
        .match_indices('(')
        .filter_map(|(at, _)| first_text(&source[at + 1..]))
        .filter(is_key)
        .collect()
}

/// Keys below `data:` of a rendered ConfigMap.
pub(super) fn written_in(rendered: &str) -> BTreeSet<String> {
    rendered
        .lines()
        .skip_while(|line| *line != "data:")
        .skip(1)
        .take_while(|line| *line != "---")
        .filter_map(|line| line.strip_prefix("  ")?.split_once(": "))
        .map(|(key, _)| key.to_owned())
        .collect()
}

/// Keys of the YAML file that a rendered ConfigMap holds.
pub(super) fn written_in_file(rendered: &str) -> BTreeSet<String> {
    rendered
        .lines()
        .skip_while(|line| !line.ends_with(": |"))
        .skip(1)
        .filter_map(|line| line.strip_prefix("    ")?.split_once(": "))
        .map(|(key, _)| key.to_owned())
        .filter(|key| !key.starts_with('#'))
        .collect()
}
