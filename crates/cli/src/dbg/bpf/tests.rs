use datapath::abi::address::{Address, Mac, PrefixKey};
use datapath::abi::connection::{Connection, ConnectionKey, Direction, flags as connection_flags};
use datapath::abi::endpoint::{Hop, hop_kind};
use datapath::abi::event::{Count, DropKey, hook, outcome};
use datapath::abi::ipcache::AddressRow;
use datapath::abi::policy::{
    PeerKey, PolicyHead, PortKey, PortVerdict, flags as policy_flags, verdict,
};
use datapath::abi::service::{Backend, Frontend, FrontendKey, flags as service_flags};

use super::shown::Shown;
use super::*;

fn v4(a: u8, b: u8, c: u8, d: u8) -> Address {
    Address::v4([a, b, c, d])
}

fn text(table: &Table) -> String {
    let mut out = Vec::new();
    table.write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// 10.0.0.1:40000 calls 10.96.0.1:80, which is translated to 10.0.1.2:8080; the initiator is the lower end.
fn connection() -> (ConnectionKey, Connection) {
    let from = (&v4(10, 0, 0, 1), 40000u16.to_be());
    let to = (&v4(10, 96, 0, 1), 80u16.to_be());
    let (key, low) = ConnectionKey::of(from, to, 6, 0);
    assert!(low);
    let side = |packets, tcp_flags| Direction {
        packets,
        bytes: packets * 100,
        tcp_flags,
        ..Direction::default()
    };
    let value = Connection {
        flags: connection_flags::INITIATOR_LOW | connection_flags::DESTINATION_NAT,
        to: v4(10, 0, 1, 2),
        to_port: 8080u16.to_be(),
        source_identity: 1001,
        destination_identity: 1002,
        source_endpoint: 7,
        service: 3,
        backend: 5,
        egress_rule: 11,
        sent: side(12, 0x1b),
        received: side(10, 0x12),
        ..Connection::default()
    };
    (key, value)
}

#[test]
fn a_connection_is_one_line_from_initiator_to_responder() {
    let (key, value) = connection();
    let entry = ct::Entry::new(&key, &value, ct::State::Answered);
    assert_eq!(
        entry.line(),
        "TCP OUT 10.0.0.1:40000 -> 10.96.0.1:80 State=answered Packets=12 Bytes=1200 TxFlagsSeen=0x1b ReplyPackets=10 \
         ReplyBytes=1000 RxFlagsSeen=0x12 Flags=0x0003 [ InitiatorLow DestinationNAT ] RevNAT=3 SourceSecurityID=1001 \
         DestinationSecurityID=1002 BackendID=5 NatPort=0 EgressRule=11 IngressRule=0"
    );
    assert!(entry.is_of(0) && entry.is_of(7) && !entry.is_of(8));
    assert_eq!(entry.json()["translated-to"], "10.0.1.2:8080");
}

#[test]
fn the_higher_end_may_be_the_initiator_too() {
    let (key, mut value) = connection();
    value.flags &= !connection_flags::INITIATOR_LOW;
    let entry = ct::Entry::new(&key, &value, ct::State::Opening);
    assert!(
        entry
            .line()
            .starts_with("TCP OUT 10.96.0.1:80 -> 10.0.0.1:40000 State=opening"),
        "{}",
        entry.line()
    );
}

#[test]
fn translations_are_told_forth_and_back() {
    let (key, mut value) = connection();
    value.flags |= connection_flags::SOURCE_NAT;
    value.from = v4(192, 168, 0, 1);
    value.from_port = 61000u16.to_be();
    let entry = ct::Entry::new(&key, &value, ct::State::Answered);
    assert_eq!(
        entry.rewrites(),
        [
            "TCP OUT 10.0.0.1:40000 -> 10.0.1.2:8080 XLATE_SRC 192.168.0.1:61000",
            "TCP IN 10.0.1.2:8080 -> 192.168.0.1:61000 XLATE_DST 10.0.0.1:40000",
            "TCP OUT 10.0.0.1:40000 -> 10.96.0.1:80 XLATE_DST 10.0.1.2:8080",
        ]
    );
}

fn port_row(
    version: u32,
    class: u16,
    protocol: u8,
    port: u16,
    bits: u32,
    verdict: u8,
) -> (PortKey, PortVerdict) {
    let key = PortKey {
        prefix_len: PortKey::FIXED_BITS + bits,
        version,
        policy: 4,
        class,
        protocol,
        pad: 0,
        port: port.to_be(),
    };
    (
        key,
        PortVerdict {
            verdict,
            match_type: 2,
            proxy_port: 0,
            rule: 77,
        },
    )
}

#[test]
fn only_rows_of_the_versions_in_force_are_shown_with_the_peers_of_their_class() {
    let head = PolicyHead::new(policy_flags::INSTALLED | policy_flags::ENFORCED, 2, 3);
    let peer = |version, peer, class| {
        (
            PeerKey {
                policy: 4,
                version,
                peer,
            },
            class,
        )
    };
    let tables = policy::Tables {
        heads: [(4, head)].into(),
        peers: vec![peer(2, 1002, 5), peer(2, 1001, 5), peer(1, 999, 5)],
        ports: vec![
            port_row(3, 5, 6, 80, 16, verdict::ALLOW),
            port_row(3, 1, 17, 8080, 13, verdict::DENY),
            port_row(2, 5, 6, 443, 16, verdict::ALLOW),
        ],
    };
    let endpoint = Endpoint {
        id: 12,
        ingress_policy: 4,
        egress_policy: 9,
        ..Endpoint::default()
    };
    let lines = tables.lines(&endpoint);
    let shown = text(&policy::table(&lines, |number| vec![number.to_string()]));
    insta::assert_snapshot!(shown, @r"
    ENDPOINT  POLICY  DIRECTION  LABELS (source:key[=value])     PORT/PROTO     PROXY PORT  AUTH TYPE  BYTES  PACKETS  PREFIX  RULE
    12        Deny    Ingress    <other addresses of the world>  8080-8087/UDP  NONE        disabled   -      -        13      77
    12        Allow   Ingress    1001                            80/TCP         NONE        disabled   -      -        16      77
                                 1002
    12        Deny    Ingress    <everybody else>                ANY            NONE        disabled   -      -        0       0
    12        Deny    Egress     <everybody: not installed>      ANY            NONE        disabled   -      -        0       0
    ");
}

#[test]
fn a_policy_that_enforces_nothing_or_does_not_fit_says_so() {
    let line = |flags| {
        let tables = policy::Tables {
            heads: [(4, PolicyHead::new(flags, 0, 0))].into(),
            ..policy::Tables::default()
        };
        let endpoint = Endpoint {
            ingress_policy: 4,
            egress_policy: 4,
            ..Endpoint::default()
        };
        let line = tables.lines(&endpoint).swap_remove(0);
        (line.policy, line.peers)
    };
    assert_eq!(
        line(policy_flags::INSTALLED),
        (
            "Allow",
            vec![policy::Peer::Others("everybody: nothing is enforced")]
        )
    );
    let lockdown = policy_flags::INSTALLED | policy_flags::ENFORCED | policy_flags::LOCKDOWN;
    assert_eq!(
        line(lockdown),
        (
            "Deny",
            vec![policy::Peer::Others("everybody: does not fit its tables")]
        )
    );
}

#[test]
fn ports_are_numbers_ranges_types_or_any() {
    let of = |protocol, port, bits| policy::ports(&port_row(1, 0, protocol, port, bits, 1).0);
    assert_eq!(of(6, 80, 16), "80/TCP");
    assert_eq!(of(6, 0, 0), "TCP");
    assert_eq!(of(0, 0, 0), "ANY");
    assert_eq!(of(17, 0x8000, 1), "32768-65535/UDP");
    assert_eq!(of(1, 8 << 8, 8), "type 8/ICMP");
}

#[test]
fn a_frontend_is_followed_by_its_slots() {
    let key = FrontendKey {
        address: v4(10, 96, 0, 1),
        port: 80u16.to_be(),
        protocol: 6,
        scope: 0,
    };
    let of = Frontend {
        service: 3,
        slots: 2,
        affinity_seconds: 10800,
        flags: service_flags::AFFINITY,
        pad: 0,
    };
    let backend = Backend {
        address: v4(10, 0, 1, 2),
        port: 8080u16.to_be(),
        protocol: 6,
        state: 0,
    };
    let tables = lb::Tables {
        frontends: vec![
            (key, of),
            (
                FrontendKey { scope: 1, ..key },
                Frontend {
                    slots: 0,
                    service: 4,
                    ..of
                },
            ),
        ],
        slots: [((3, 0), 5), ((3, 1), 6), ((9, 0), 5)].into(),
        backends: [(5, backend)].into(),
    };
    insta::assert_snapshot!(text(&tables.list()), @r"
    SERVICE ADDRESS     BACKEND ADDRESS (REVNAT_ID) (SLOT)
    10.96.0.1:80/TCP    slots=2 (3) (0) [sessionAffinity]
                        10.0.1.2:8080/TCP (active) (3) (1)
                        backend 6 is missing (3) (2)
    10.96.0.1:80/TCP/i  slots=0 (4) (0) [sessionAffinity]
    ");
    assert_eq!(
        text(&tables.list_backends()),
        "ID  BACKEND ADDRESS\n5   10.0.1.2:8080/TCP (active)\n"
    );
}

#[test]
fn the_longest_prefix_says_where_an_address_is() {
    let row = |identity, hop, flags| AddressRow {
        identity,
        peer: identity,
        hop,
        ifindex: 0,
        flags,
        pad: 0,
    };
    let hop = Hop {
        kind: hop_kind::TUNNEL,
        tunnel: v4(192, 168, 1, 2),
        ..Hop::default()
    };
    let tables = ipcache::Tables {
        rows: [
            ("10.0.1.2/32".parse().unwrap(), row(1002, 17, 0)),
            ("0.0.0.0/0".parse().unwrap(), row(2, 2, 8)),
        ]
        .into(),
        hops: [(17, hop)].into(),
    };
    let (found, text) = tables.longest("10.0.1.2/32".parse().unwrap()).unwrap();
    assert_eq!(found.to_string(), "10.0.1.2/32");
    assert_eq!(
        text,
        "identity=1002 encryptkey=0 tunnelendpoint=192.168.1.2 flags=<none> peer=1002"
    );
    let (found, text) = tables.longest("8.8.8.8/32".parse().unwrap()).unwrap();
    assert_eq!(found.to_string(), "0.0.0.0/0");
    assert_eq!(
        text,
        "identity=2 encryptkey=0 tunnelendpoint=0.0.0.0 flags=nomasquerade peer=2"
    );
    assert_eq!(tables.get("8.8.8.8/32".parse().unwrap()), None);
}

#[test]
fn an_endpoint_has_a_row_per_address() {
    let of = Endpoint {
        ifindex: 12,
        identity: 1001,
        id: 7,
        mac: Mac([2, 0, 0, 0, 0, 0xab]),
        ipv4: v4(10, 0, 0, 9),
        ipv6: Address::v6([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]),
        flags: 1,
        mtu: 1450,
        ..Endpoint::default()
    };
    let shown = text(&endpoint::table(&[of]));
    let info = "id=7 sec_id=1001 flags=0x0001 [NOT_READY] ifindex=12 mac=02:00:00:00:00:AB nodemac=00:00:00:00:00:00 \
                ingress_policy=0 egress_policy=0 hop=0.0 mtu=1450";
    assert_eq!(
        shown,
        format!("IP ADDRESS  LOCAL ENDPOINT INFO\n10.0.0.9    {info}\nfd00::9     {info}\n")
    );
}

#[test]
fn drops_are_summed_over_endpoints_and_processors_and_the_rest_is_success() {
    let count = |packets| Count {
        packets,
        bytes: packets * 60,
    };
    let key = |endpoint, reason| DropKey {
        endpoint,
        reason,
        direction: 1,
        rule: u32::from(endpoint),
    };
    let drops = [
        (key(1, 133), vec![count(1), count(2)]),
        (key(2, 133), vec![count(4)]),
        (key(1, 132), vec![count(8)]),
    ];
    let hooks = [
        (
            outcome::counter(hook::FROM_CONTAINER, outcome::FORWARDED),
            vec![count(100), count(1)],
        ),
        (
            outcome::counter(hook::FROM_CONTAINER, outcome::ANSWERED),
            vec![count(500)],
        ),
        (
            outcome::counter(hook::FROM_OVERLAY, outcome::FORWARDED),
            vec![count(30)],
        ),
    ];
    insta::assert_snapshot!(text(&metrics::table(&metrics::sums(&drops, &hooks))), @r"
    REASON             DIRECTION  PACKETS  BYTES
    Invalid source ip  INGRESS    8        480
    Policy denied      INGRESS    7        420
    Success            EGRESS     101      6060
    Success            INGRESS    30       1800
    ");
}

#[test]
fn prefixes_of_both_families_are_written_as_people_write_them() {
    let v4_prefix = PrefixKey {
        prefix_len: 96 + 24,
        address: v4(10, 0, 1, 0),
    };
    assert_eq!(v4_prefix.shown(), "10.0.1.0/24");
    assert_eq!(
        PrefixKey {
            prefix_len: 64,
            address: Address::v6([0xfd; 16])
        }
        .shown()
        .rsplit_once('/')
        .unwrap()
        .1,
        "64"
    );
    assert_eq!(PrefixKey::default().shown(), "::/0");
}
