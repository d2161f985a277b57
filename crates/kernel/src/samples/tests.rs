use super::*;

#[test]
fn a_record_that_ends_before_its_payload_is_none() {
    let sample = Sample {
        captured: 3,
        ..Sample::default()
    };
    let mut record = sample.as_bytes().to_vec();
    record.extend(*b"abcd");
    assert_eq!(parse(&record), Some((sample, b"abc".as_slice())));
    record.truncate(size_of::<Sample>() + 2);
    assert_eq!(parse(&record), None);
    record.truncate(size_of::<Sample>() - 1);
    assert_eq!(parse(&record), None);
}
