use super::*;

#[test]
fn addresses_and_names_of_services_are_ours() {
    let hosts = Hosts::default();
    for host in [
        "127.0.0.1",
        "10.1.2.3:4248",
        "[::1]:12000",
        "[fd00::1]",
        "localhost:12000",
        "LOCALHOST",
        "hubble-ui",
        "hubble-relay:4248",
        "hubble-ui.kube-system.svc",
        "hubble-ui.kube-system.svc.cluster.local.:80",
    ] {
        assert!(hosts.has(host), "{host}");
    }
}

#[test]
fn names_that_somebody_can_have_are_not() {
    let hosts = Hosts::default();
    for host in [
        "",
        "evil.example",
        "hubble-ui.com",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "hubble-ui.kube-system.svc.evil.example",
        "svc",
        "[::1].evil.example",
        "[evil.example]",
        "::1",
        "evil.example:80@localhost",
        "localhost:80.evil.example",
        "2130706433.evil",
    ] {
        assert!(!hosts.has(host), "{host}");
    }
}

#[test]
fn further_names_are_taken_from_the_configuration() {
    let hosts = Hosts::read("flows.example, *.ui.example,Hubble-UI.kube-system").unwrap();
    for host in [
        "flows.example:443",
        "FLOWS.example.",
        "west.ui.example",
        "hubble-ui.kube-system",
    ] {
        assert!(hosts.has(host), "{host}");
    }
    for host in [
        "a.flows.example",
        "ui.example",
        "a.b.ui.example",
        ".ui.example",
    ] {
        assert!(!hosts.has(host), "{host}");
    }
    assert!(Hosts::read("*").unwrap().has("whatever.example"));
}

#[test]
fn what_is_no_name_is_refused() {
    for text in [
        "flows.example:80",
        "http://flows.example",
        "a..b",
        "*.",
        "a.*",
    ] {
        assert!(Hosts::read(text).unwrap_err().contains(text), "{text}");
    }
}
