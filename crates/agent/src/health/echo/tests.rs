use std::net::{Ipv4Addr, Ipv6Addr};

use netlink::{Handle, Namespace, link};

use super::*;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

#[test]
fn a_request_sums_up_to_all_ones() {
    let packet = request(V4, 0xbeef, 0x0107);
    assert_eq!(packet[..2], [8, 0]);
    assert_eq!(packet[4..], [0xbe, 0xef, 0x01, 0x07]);
    assert_eq!(
        checksum(packet),
        0,
        "with its checksum in place nothing is left"
    );
    assert_eq!(request(V6, 1, 2), [128, 0, 0, 0, 0, 1, 0, 2]);
}

#[test]
fn a_reply_is_one_to_that_request_only() {
    let v6 = [129, 0, 0xaa, 0xbb, 0, 1, 0, 2];
    assert!(is_reply(V6, &v6, 1, 2));
    assert!(!is_reply(V6, &v6, 1, 3) && !is_reply(V6, &v6, 2, 2));
    assert!(
        !is_reply(V6, &request(V6, 1, 2), 1, 2),
        "a request is no reply"
    );
    assert!(!is_reply(V6, &v6[..7], 1, 2));
    for words in [5_u8, 6] {
        let mut v4 = vec![0x40 | words];
        v4.resize(usize::from(words) * 4, 0);
        v4.extend([0, 0, 0xaa, 0xbb, 0, 1, 0, 2]);
        assert!(is_reply(V4, &v4, 1, 2), "a header of {words} words");
        v4.truncate(20);
        assert!(!is_reply(V4, &v4, 1, 2));
    }
    assert!(!is_reply(V4, &[], 1, 2));
}

/// Loopback of a namespace of its own: it answers when it is up, and nobody does when it is not.
#[test]
fn a_host_that_is_up_answers_and_one_without_a_way_to_it_does_not() {
    if !rustix::process::geteuid().is_root() {
        assert!(
            std::env::var("CI").map_or(true, |ci| ci != "true"),
            "needs root"
        );
        println!("skipped, needs root");
        return;
    }
    let namespace = Namespace::unnamed().expect("namespace");
    let ask = |to: IpAddr| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        runtime.block_on(Echo::new(2).send(to))
    };
    let (down, up) = namespace
        .run(|| {
            let down = ask(V4);
            let handle = Handle::open().expect("netlink");
            handle.run(&link::set_up("lo")).expect("loopback");
            (down, [ask(V4), ask(V6)])
        })
        .expect("enter");
    let error = down.expect_err("loopback is down");
    assert_eq!(error.kind(), io::ErrorKind::NetworkUnreachable, "{error}");
    for took in up {
        let took = took.expect("an answer");
        assert!(took > Duration::ZERO && took < PATIENCE, "{took:?}");
    }
}
