use super::*;

#[test]
fn resident_memory_is_read_in_bytes() {
    assert_eq!(resident("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
    assert_eq!(resident("Name:\tkthreadd\n"), None);
}

#[test]
fn an_age_is_as_short_as_it_can_be() {
    assert_eq!(
        [5, 65, 3600, 90_061].map(clock),
        ["5s", "1m05s", "1h00m", "25h01m"]
    );
}
