use super::*;

#[test]
fn an_address_is_a_scheme_a_host_and_a_port() {
    let read = |text: &str| Collector::parse(text).unwrap();
    let plain = read("http://collector.observability:4317/");
    assert_eq!(plain.address, "collector.observability:4317");
    assert_eq!(plain.origin, "http://collector.observability:4317");
    assert!(!plain.is_encrypted());
    let encrypted = read("https://otlp.example.com");
    assert_eq!(encrypted.address, "otlp.example.com:4317");
    assert_eq!(encrypted.server_name.unwrap(), "otlp.example.com");
    let six = read("https://[fd00::1]:443");
    assert_eq!(six.address, "[fd00::1]:443");
    assert_eq!(six.server_name.unwrap(), "fd00::1");
}

#[test]
fn what_would_be_another_protocol_or_a_secret_in_a_flag_is_refused() {
    for text in [
        "",
        "collector:4317",
        "grpc://collector:4317",
        "http://collector:4318/v1/logs",
        "https://user:secret@collector",
        "http://collector?token=x",
    ] {
        assert!(Collector::parse(text).is_err(), "{text}");
    }
}
