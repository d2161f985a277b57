//! The files in which endpoints are saved over a restart.

use model::endpoint::saved::{decode, encode};

use super::{Shape, Target};

pub(super) const TARGET: Target = Target {
    name: "states",
    shape: Shape::Json,
    seeds,
    run,
};

fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(row) = decode(text) {
        let written = encode(&row).expect("what was read can be written");
        let again = decode(&written).expect("what was written can be read");
        let rewritten = encode(&again).expect("and written");
        assert_eq!(written, rewritten);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    vec![SEED.as_bytes().to_vec()]
}

const SEED: &str = r#"{"version":1,"endpoint":{"id":7,"namespace":"shop","pod":"web","pod-uid":"u","container-id":"c","container-interface":"eth0","netns":"/run/netns/p","netns-cookie":5,"ipv4":"10.0.1.5","ipv6":"fd01::5","mac":"02:00:00:00:00:01","host-mac":"02:00:00:00:00:02","ifname":"lxc1","ifindex":5,"labels":["k8s:app=web"],"identity":1234,"named-ports":[{"name":"http","port":80,"protocol":"TCP"}],"service-account":"sa","policy-revision":3}}"#;
