use super::nearest_rate;

#[test]
fn a_late_measurement_still_finds_its_rate() {
    assert_eq!(nearest_rate(249.0), 250);
    assert_eq!(nearest_rate(262.0), 250);
    assert_eq!(nearest_rate(290.0), 300);
    assert_eq!(nearest_rate(97.0), 100);
    assert_eq!(nearest_rate(930.0), 1000);
}
