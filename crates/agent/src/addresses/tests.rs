use super::*;
use model::endpoint::{EndpointId, LifeCycle, Mac, PodName};
use model::identity::Identity;
use model::labels::LabelSet;
use model::node::IpPair;

fn node() -> Addressing {
    Addressing {
        node_ipv4: Some([172, 30, 0, 11].into()),
        node_ipv6: None,
        pods_ipv4: Some("10.9.1.0/27".parse().unwrap()),
        pods_ipv6: None,
    }
}

pub(super) fn endpoint(pod: usize, address: IpAddr) -> EndpointRow {
    EndpointRow {
        id: EndpointId(pod as u16 + 1),
        pod: Some(PodName {
            namespace: "shop".into(),
            name: pod.to_string().into(),
        }),
        pod_uid: None,
        container_id: pod.to_string().into(),
        container_interface: "eth0".into(),
        netns: "".into(),
        netns_cookie: 0,
        ips: IpPair::first_of([address]),
        mac: Mac::default(),
        host_mac: Mac::default(),
        ifname: "".into(),
        ifindex: 0,
        labels: LabelSet::empty(),
        identity: Some(Identity(1000)),
        named_ports: Vec::new(),
        service_account: None,
        skip_masquerade: model::endpoint::SkipMasquerade::default(),
        policy_revision: 0,
        life: LifeCycle::restored(),
    }
}

fn allocate(from: &Addresses, pod: &str) -> (IpAddr, Token) {
    let given = from.allocate(None, Family::Ipv4, pod, Lasting::UntilConfirmed);
    let (address, token) = given.expect("an address is free");
    (address, token.expect("it may expire"))
}

#[test]
fn a_token_of_a_former_run_confirms_nothing() {
    let before = Addresses::new(&node(), &[]);
    let (address, token) = allocate(&before, "shop/old");
    let after = Addresses::new(&node(), &[]);
    let (same, other) = allocate(&after, "shop/new");
    assert_eq!(same, address, "the agent knows nothing of the first pod");
    after.confirm(address, token).unwrap_err();
    after.confirm(same, other).expect("it is the second pod's");
}

/// Plugins that add and delete pods while a tenth of all calls fail, half of those after they had their effect, and while the
/// agent is restarted.
struct Node {
    addresses: Addresses,
    endpoints: BTreeMap<usize, EndpointRow>,
    seed: u64,
    failed: usize,
}

impl Node {
    fn draw(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed >> 8
    }

    /// `None`: the caller never hears of it.
    fn call<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let drawn = self.draw();
        if drawn % 100 >= 10 {
            return Some(work(self));
        }
        self.failed += 1;
        if drawn >> 20 & 1 == 0 {
            work(self);
        }
        None
    }

    /// As the plugin does it; what is not done is taken back, which may fail too.
    fn add(&mut self, pod: usize) {
        let owner = format!("shop/{pod}");
        let given = self.call(|node| {
            node.addresses
                .allocate(None, Family::Ipv4, &owner, Lasting::UntilConfirmed)
        });
        let Some(Ok((address, Some(token)))) = given else {
            return;
        };
        let made = self.call(|node| {
            node.addresses.confirm(address, token)?;
            let taken = node
                .endpoints
                .values()
                .any(|of| of.ips.iter().any(|ip| ip == address));
            assert!(!taken, "{address} is two pods'");
            node.endpoints.insert(pod, endpoint(pod, address));
            Ok::<_, IpamError>(())
        });
        if !matches!(made, Some(Ok(()))) {
            self.delete(pod);
            self.call(|node| node.addresses.release(address, &owner));
        }
    }

    fn delete(&mut self, pod: usize) {
        while self
            .call(|node| {
                if let Some(row) = node.endpoints.remove(&pod) {
                    node.addresses.release_all(&row);
                }
            })
            .is_none()
        {}
    }

    fn restart(&mut self) {
        let restored: Vec<EndpointRow> = self.endpoints.values().cloned().collect();
        self.addresses = Addresses::new(&node(), &restored);
    }
}

#[test]
fn with_a_tenth_of_all_calls_failing_no_address_is_given_twice_and_none_is_lost() {
    let mut failed = 0;
    for seed in 1..=20 {
        let mut node = Node {
            addresses: Addresses::new(&node(), &[]),
            endpoints: BTreeMap::new(),
            seed,
            failed: 0,
        };
        for _ in 0..300 {
            let pod = node.draw() as usize % 20;
            match node.draw() % 20 {
                0 => node.restart(),
                1..=11 if !node.endpoints.contains_key(&pod) => node.add(pod),
                _ => node.delete(pod),
            }
        }
        std::thread::sleep(EXPIRY);
        node.addresses.expire_due();
        let owners = node.endpoints.iter().map(|(pod, row)| {
            let address = row.ips.iter().next().expect("it has an address");
            (address, format!("shop/{pod}"))
        });
        let mut expected: BTreeMap<IpAddr, String> = owners.collect();
        expected.insert([10, 9, 1, 1].into(), "router".to_owned());
        assert_eq!(node.addresses.in_use(), expected, "seed {seed}");
        failed += node.failed;
    }
    assert!(failed > 300, "only {failed} calls failed");
}
