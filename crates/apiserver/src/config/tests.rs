use super::{Config, ConfigError, TlsSource};

#[test]
fn beyond_loopback_tls_and_a_token_are_both_needed_and_the_flag_is_named() {
    let mut config = Config::new("/nowhere");
    config.check().unwrap();
    let address = "0.0.0.0:6443".parse().unwrap();
    config.listen.push(address);
    assert_eq!(config.check(), Err(ConfigError::NoTls(address)));
    assert!(
        config
            .check()
            .unwrap_err()
            .to_string()
            .contains("--tls-cert")
    );
    config.tls = Some(TlsSource::SelfMade);
    assert_eq!(config.check(), Err(ConfigError::NoToken(address)));
    assert!(
        config
            .check()
            .unwrap_err()
            .to_string()
            .contains("--token-file")
    );
    config.token = Some(String::new());
    assert_eq!(config.check(), Err(ConfigError::EmptyToken));
    config.token = Some("t".into());
    config.check().unwrap();
}

#[test]
fn ranges_are_checked() {
    let mut config = Config::new("/nowhere");
    config.service_ranges = vec![
        "10.0.0.0/16".parse().unwrap(),
        "10.1.0.0/16".parse().unwrap(),
    ];
    assert!(matches!(config.check(), Err(ConfigError::SameFamily(..))));
    config.service_ranges = vec!["10.0.0.0/30".parse().unwrap()];
    assert!(matches!(config.check(), Err(ConfigError::SmallRange(_))));
    config.service_ranges.clear();
    assert_eq!(config.check(), Err(ConfigError::NoRange));
    let mut config = Config::new("/nowhere");
    config.node_ports = std::ops::RangeInclusive::new(2, 1);
    assert_eq!(config.check(), Err(ConfigError::NodePorts(2, 1)));
    config.node_ports = 1..=2;
    config.listen.clear();
    assert_eq!(config.check(), Err(ConfigError::NoAddress));
}
