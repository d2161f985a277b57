use super::*;

fn family(max: usize) -> Family<Counter> {
    let head = Head {
        name: "asked",
        help: "h",
        labels: vec![Label::open("who"), Label::few("how")],
        ties: Vec::new(),
    };
    Family::bounded(head, max)
}

fn values(who: &str, how: &str) -> Values {
    let mut values = Values::default();
    values.push(who);
    values.push(how);
    values
}

fn lines(family: &Family<Counter>) -> Vec<String> {
    let held = family.held.lock().unwrap();
    let mut lines: Vec<_> = held
        .series
        .iter()
        .map(|(key, series)| {
            let values: Vec<_> = split(key).collect();
            format!("{} {}", values.join(" "), series.value.get())
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn a_full_family_counts_on_without_new_series_and_keeps_few_valued_labels() {
    let (family, now) = (family(2), Instant::now());
    for (who, how) in [
        ("a", "well"),
        ("b", "well"),
        ("c", "well"),
        ("d", "badly"),
        ("e", "badly"),
        ("a", "well"),
    ] {
        family.of(&values(who, how), now).inc();
    }
    assert_eq!(
        lines(&family),
        ["a well 2", "b well 1", "other badly 2", "other well 1"]
    );
    assert_eq!(family.overflowed(), ("asked", 3));
}

#[test]
fn what_is_idle_for_long_makes_room_but_only_when_there_is_need() {
    let (family, begun) = (family(2), Instant::now());
    family.of(&values("a", ""), begun).inc();
    let later = begun + IDLE;
    family.of(&values("b", ""), later).inc();
    assert_eq!(lines(&family), ["a  1", "b  1"]);
    family.of(&values("c", ""), later).inc();
    assert_eq!(lines(&family), ["b  1", "c  1"]);
    assert_eq!(family.overflowed().1, 0);
    // The next search is a minute later at the earliest.
    let next = later + SEARCH_EVERY / 2;
    family.of(&values("d", ""), next).inc();
    assert_eq!(family.overflowed().1, 1);
}

#[test]
fn values_are_kept_apart_whatever_is_in_them() {
    let (family, now) = (family(9), Instant::now());
    family.of(&values("a", "bc"), now).inc();
    family.of(&values("ab", "c"), now).inc();
    family.of(&values("", "abc"), now).inc();
    assert_eq!(lines(&family), [" abc 1", "a bc 1", "ab c 1"]);
}
