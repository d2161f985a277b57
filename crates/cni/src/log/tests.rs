//! Time stamps against known dates.

use super::timestamp;

#[test]
fn time_stamps_are_utc_dates() {
    assert_eq!(timestamp(0, 0), "1970-01-01T00:00:00.000Z");
    assert_eq!(timestamp(951_782_399, 7), "2000-02-28T23:59:59.007Z");
    assert_eq!(timestamp(951_782_400, 0), "2000-02-29T00:00:00.000Z");
    assert_eq!(timestamp(1_798_761_599, 999), "2026-12-31T23:59:59.999Z");
}
