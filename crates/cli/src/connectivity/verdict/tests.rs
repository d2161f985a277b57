use super::super::action::{Callee, Scenario};
use super::super::lab::{Peer, Role};
use super::*;

fn action(host: &str, probe: Probe) -> Action {
    Action {
        scenario: Scenario::PodToPod,
        source: Peer {
            name: "client",
            role: Role::Client,
            pod: Pod::default(),
        },
        callee: Callee::Echo("echo-same-node"),
        target: "echo-same-node".to_owned(),
        host: host.to_owned(),
        port: 8080,
        probe,
    }
}

#[test]
fn an_answer_is_waited_for_longer_than_silence() {
    let words = |expect| command(&action("10.0.0.2", Probe::Http), expect, 12_000).join(" ");
    assert_eq!(
        words(Expect::Answer),
        "curl --silent --show-error --fail --output /dev/null --noproxy * --local-port 12000-12003 \
         --connect-timeout 6 --max-time 12 http://10.0.0.2:8080/"
    );
    assert!(words(Expect::NotAllowed(Side::Egress)).contains("--connect-timeout 2 --max-time 4"));
}

#[test]
fn an_ipv6_address_stands_in_brackets_in_a_url_and_without_in_a_ping() {
    let http = command(&action("fd00::2", Probe::Http), Expect::Answer, 12_000);
    assert_eq!(http.last().unwrap(), "http://[fd00::2]:8080/");
    let ping = command(&action("fd00::2", Probe::Ping), Expect::Answer, 12_000);
    assert_eq!(ping, ["ping", "-c", "1", "-W", "6", "fd00::2"]);
}

#[test]
fn only_a_limit_of_time_is_silence() {
    assert_eq!(outcome(Probe::Http, 0, ""), Got::Answer);
    assert_eq!(outcome(Probe::Http, 28, "timed out"), Got::Silence);
    assert_eq!(outcome(Probe::Ping, 1, ""), Got::Silence);
    let refused = outcome(Probe::Http, 7, "connection refused\n");
    assert_eq!(
        refused,
        Got::Other("curl ended with 7: connection refused".to_owned())
    );
    assert_eq!(
        outcome(Probe::Ping, 2, "bad"),
        Got::Other("ping ended with 2: bad".to_owned())
    );
}

#[test]
fn a_refused_connection_is_neither_allowed_nor_denied() {
    let refused = Got::Other(String::new());
    for expect in [
        Expect::Answer,
        Expect::NotAllowed(Side::Egress),
        Expect::Denied(Side::Ingress),
    ] {
        assert!(!agrees(expect, &refused), "{expect}");
        // And what is right is wrong when the expectation is turned around.
        for got in [Got::Answer, Got::Silence] {
            assert_ne!(
                agrees(expect, &got),
                agrees(expect.inverted(), &got),
                "{expect}, {got}"
            );
        }
    }
}
