use proptest::prelude::*;

use super::saved::{SavedError, decode, encode};
use super::*;

fn endpoint() -> EndpointRow {
    EndpointRow {
        id: EndpointId(42),
        pod: Some(PodName {
            namespace: "shop".into(),
            name: "web-0".into(),
        }),
        pod_uid: Some("1234".into()),
        container_id: "abcdef".into(),
        container_interface: "eth0".into(),
        netns: "/var/run/netns/x".into(),
        netns_cookie: 4711,
        ips: IpPair {
            v4: Some("10.0.0.2".parse().unwrap()),
            v6: Some("fd00::2".parse().unwrap()),
        },
        mac: "02:00:00:00:00:01".parse().unwrap(),
        host_mac: Mac([2, 0, 0, 0, 0, 0xfe]),
        ifname: "lxc0".into(),
        ifindex: 7,
        labels: LabelSet::parse(["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"]).unwrap(),
        identity: Some(Identity(300)),
        named_ports: vec![NamedPort {
            name: "http".into(),
            port: 8080,
            protocol: Protocol::Tcp,
        }],
        service_account: None,
        skip_masquerade: SkipMasquerade {
            ipv4: true,
            ipv6: false,
        },
        policy_revision: 9,
        life: LifeCycle::restored(),
    }
}

#[test]
fn an_endpoint_survives_its_file() {
    let row = endpoint();
    assert_eq!(decode(&encode(&row).unwrap()).unwrap(), row);
}

#[test]
fn files_of_other_versions_are_read_as_far_as_they_mean_the_same() {
    let text = encode(&endpoint()).unwrap();
    let newer = text.replacen("\"id\"", "\"field-of-the-future\": [1], \"id\"", 1);
    assert_eq!(decode(&newer).unwrap(), endpoint());
    let older = r#"{"version":1,"endpoint":{"id":1,"mac":"02:00:00:00:00:01","host-mac":"02:00:00:00:00:02","ifname":"lxc0","ifindex":7}}"#;
    assert_eq!(decode(older).unwrap().ips, IpPair::default());
    let other = text.replacen("\"version\": 1", "\"version\": 2", 1);
    assert!(matches!(
        decode(&other),
        Err(SavedError::Version { found: 2 })
    ));
    let bad = text.replacen("02:00:00:00:00:01", "02:00", 1);
    assert!(
        decode(&bad)
            .unwrap_err()
            .to_string()
            .contains("\"02:00\" is not a hardware address")
    );
    assert!(decode(&text[..text.len() / 2]).is_err());
}

#[test]
fn a_life_passes_the_states_that_everyone_knows() {
    let mut life = LifeCycle::created();
    let mut seen = vec![life.state().as_str()];
    for event in [
        Event::IdentityKnown,
        Event::BuildStarted,
        Event::BuildFailed,
        Event::BuildStarted,
        Event::BuildSucceeded,
        Event::BuildRequested,
        Event::BuildStarted,
        Event::BuildSucceeded,
        Event::DisconnectRequested,
        Event::Disconnected,
    ] {
        life.apply(event);
        seen.push(life.state().as_str());
    }
    assert_eq!(
        seen,
        [
            "waiting-for-identity",
            "waiting-to-regenerate",
            "regenerating",
            "not-ready",
            "regenerating",
            "ready",
            "waiting-to-regenerate",
            "regenerating",
            "ready",
            "disconnecting",
            "disconnected",
        ]
    );
}

#[test]
fn a_request_that_comes_while_the_identity_is_unknown_is_built_afterwards() {
    let mut life = LifeCycle::created();
    for event in [
        Event::IdentityKnown,
        Event::BuildStarted,
        Event::BuildSucceeded,
        Event::LabelsChanged,
        Event::BuildRequested,
    ] {
        life.apply(event);
    }
    assert_eq!(
        (life.state(), life.wants_build()),
        (State::WaitingForIdentity, false)
    );
    life.apply(Event::IdentityKnown);
    assert!(life.wants_build());
}

#[test]
fn a_request_during_a_build_leads_to_another_build() {
    let mut life = LifeCycle::created();
    for event in [
        Event::IdentityKnown,
        Event::BuildStarted,
        Event::BuildRequested,
        Event::BuildSucceeded,
    ] {
        life.apply(event);
    }
    assert_eq!(
        (life.state(), life.wants_build()),
        (State::WaitingToRegenerate, true)
    );
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::LabelsChanged),
        Just(Event::IdentityKnown),
        Just(Event::BuildRequested),
        Just(Event::BuildStarted),
        Just(Event::BuildSucceeded),
        Just(Event::BuildFailed),
    ]
}

proptest! {
    /// After any history, if identities are found and builds end well, every request made is served, and by a build
    /// that began after it.
    #[test]
    fn every_request_leads_to_a_build(events in prop::collection::vec(event(), 0..60), restored in any::<bool>()) {
        let mut life = if restored { LifeCycle::restored() } else { LifeCycle::created() };
        let mut last_request = 0;
        let mut last_served_start = 0;
        let mut started = None;
        let mut time = 0;
        let endgame = [Event::BuildSucceeded, Event::IdentityKnown, Event::BuildStarted, Event::BuildSucceeded];
        for event in events.into_iter().chain(endgame) {
            time += 1;
            match event {
                Event::BuildStarted if life.wants_build() => started = Some(time),
                Event::BuildRequested | Event::LabelsChanged => last_request = time,
                Event::BuildSucceeded => last_served_start = started.take().unwrap_or(last_served_start),
                Event::BuildFailed => started = None,
                _ => {}
            }
            life.apply(event);
            prop_assert!(life.built() <= life.requested());
            prop_assert_eq!(life.state() == State::Regenerating, started.is_some());
        }
        prop_assert_eq!(life.state(), State::Ready);
        prop_assert!(life.is_up_to_date());
        prop_assert!(last_served_start > last_request, "built at {}, asked at {}", last_served_start, last_request);
    }
}
