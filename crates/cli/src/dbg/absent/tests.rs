use super::*;

#[test]
fn every_reason_is_one_sentence_and_names_are_sorted_and_unique() {
    for (name, reason) in REASONS {
        assert!(
            !reason.ends_with('.') && reason.len() > 20,
            "{name}: {reason}"
        );
    }
    assert!(REASONS.windows(2).all(|pair| pair[0].0 < pair[1].0));
}

#[test]
fn a_command_is_refused_with_its_reason_and_an_unknown_one_by_name() {
    let refuse = |parent, word: &str| refuse(parent, &[word.into()]).to_string();
    assert!(refuse("", "bgp").starts_with("bgp: this agent announces no routes"));
    assert!(refuse("bpf", "vtep").starts_with("bpf vtep: "));
    assert_eq!(
        refuse("", "vtep"),
        "there is no command 'vtep'; --help lists those that there are"
    );
}
