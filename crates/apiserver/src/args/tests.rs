use clap::Parser;

use super::Args;
use crate::config::TlsSource;

fn config(arguments: &[&str]) -> Result<crate::Config, String> {
    let arguments = ["axoneme-apiserver", "--data-dir", "/d"]
        .iter()
        .chain(arguments);
    Args::try_parse_from(arguments)
        .map_err(|error| error.to_string())?
        .config()
        .map_err(|error| error.to_string())
}

#[test]
fn the_default_is_loopback_and_a_socket_alone_is_only_that() {
    assert_eq!(
        config(&[]).unwrap().listen,
        ["127.0.0.1:6443".parse().unwrap()]
    );
    let socket = config(&["--socket", "/s"]).unwrap();
    assert!(socket.listen.is_empty());
    assert!(
        config(&["--socket", "/s", "--write-kubeconfig", "/k"])
            .unwrap_err()
            .contains("--listen")
    );
}

#[test]
fn certificate_and_key_come_together_or_self_made() {
    assert_eq!(
        config(&["--tls-cert", "self-made"]).unwrap().tls,
        Some(TlsSource::SelfMade)
    );
    assert!(
        config(&["--tls-cert", "/c"])
            .unwrap_err()
            .contains("--tls-key")
    );
    assert!(
        config(&["--tls-key", "/k"])
            .unwrap_err()
            .contains("--tls-cert")
    );
    assert!(matches!(
        config(&["--tls-cert", "/c", "--tls-key", "/k"])
            .unwrap()
            .tls,
        Some(TlsSource::Files { .. })
    ));
}

#[test]
fn faults_name_their_flag() {
    assert!(
        config(&["--token-file", "/nowhere/token"])
            .unwrap_err()
            .contains("--token-file")
    );
    assert!(
        config(&["--service-node-port-range", "x"])
            .unwrap_err()
            .contains("--service-node-port-range")
    );
    assert!(
        config(&["--service-cluster-ip-range", "10.0.0.0/99"])
            .unwrap_err()
            .contains("--service-cluster-ip-range")
    );
    let ranges = config(&["--service-cluster-ip-range", "10.1.0.0/16,fd01::/112"])
        .unwrap()
        .service_ranges;
    assert_eq!(ranges.len(), 2);
}
