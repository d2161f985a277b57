use super::party::{Typed, typed};
use super::*;

#[test]
fn parties_are_addresses_or_names_with_or_without_ports() {
    let address = |text: &str, port| Typed::Address(text.parse().unwrap(), port);
    let name = |text: &str, port| Typed::Name(text.to_owned(), port);
    assert_eq!(typed("10.0.0.1").unwrap(), address("10.0.0.1", None));
    assert_eq!(typed("10.0.0.1:80").unwrap(), address("10.0.0.1", Some(80)));
    assert_eq!(typed("fd00::1").unwrap(), address("fd00::1", None));
    assert_eq!(typed("[fd00::1]:80").unwrap(), address("fd00::1", Some(80)));
    assert_eq!(typed("shop/web:80").unwrap(), name("shop/web", Some(80)));
    assert_eq!(typed("web").unwrap(), name("default/web", None));
    assert!(
        typed("shop/web:http")
            .unwrap_err()
            .to_string()
            .contains("\"http\" is not a port")
    );
}

#[test]
fn a_port_is_a_number_and_a_protocol() {
    assert_eq!("53/udp".parse::<Port>().unwrap().to_string(), "53/UDP");
    assert_eq!("80".parse::<Port>().unwrap().to_string(), "80/TCP");
    assert!("x".parse::<Port>().is_err());
    assert!("80/quic".parse::<Port>().unwrap_err().contains("tcp, udp"));
}
