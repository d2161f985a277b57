use super::*;

#[test]
fn a_range_ends_behind_the_last_key_with_its_prefix() {
    assert_eq!(end_of("a/"), Bytes::from_static(b"a0"));
    assert_eq!(end_of("a\u{7f}"), Bytes::from_static(b"a\x80"));
    assert_eq!(end_of(""), Bytes::from_static(b"\0"));
    assert!(("a".."a\u{1}").contains(&after("a").as_str()) && after("a") != "a");
}
