use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::prelude::*;

use super::super::Lasting;
use super::*;

fn ranges(of: &[(&str, &[&str])]) -> Ranges {
    let nets = |nets: &[&str]| nets.iter().map(|net| net.parse().unwrap()).collect();
    of.iter()
        .map(|(pool, texts)| ((*pool).into(), nets(texts)))
        .collect()
}

fn wants(ahead: &[(&str, u32)]) -> Wants {
    Wants {
        families: vec![Family::Ipv4],
        ahead: ahead.iter().map(|(pool, n)| ((*pool).into(), *n)).collect(),
    }
}

fn count(ipv4: u128) -> Count {
    Count { ipv4, ipv6: 0 }
}

fn give(ipam: &mut Ipam, pool: &str) -> IpAddr {
    let given = ipam.allocate(
        &pool.into(),
        Family::Ipv4,
        &"a".into(),
        Lasting::UntilReleased,
    );
    given.expect("an address is free").0
}

#[test]
fn what_is_asked_for_is_what_is_used_and_waited_for_and_a_buffer_in_steps() {
    assert_eq!(
        [0, 1, 15, 16, 17].map(|used| rounded(used, 16)),
        [16, 32, 32, 32, 48]
    );
    let mut ipam = Ipam::new(&ranges(&[
        ("default", &["10.0.0.0/28"]),
        ("blue", &["10.1.0.0/29"]),
        ("unused", &["10.2.0.0/29"]),
    ]));
    for pool in ["default", "blue", "blue"] {
        give(&mut ipam, pool);
    }
    let waiting: [(Arc<str>, Family); 2] =
        [("blue".into(), Family::Ipv4), ("red".into(), Family::Ipv4)];
    let waiting = waiting.iter().map(|(pool, family)| (pool, *family));
    let needed = ipam.needed(&wants(&[("default", 8), ("extra", 4)]), waiting);
    let expected = [
        ("blue", count(3)),
        ("default", count(16)),
        ("extra", count(4)),
        ("red", count(1)),
    ];
    assert_eq!(needed, expected.map(|(pool, n)| (pool.into(), n)).into());
}

#[test]
fn what_is_left_over_goes_last_come_first_and_never_what_is_used_or_needed() {
    let three: &[&str] = &["10.1.0.0/30", "10.1.0.4/30", "10.1.0.8/30"];
    let mut ipam = Ipam::new(&ranges(&[("blue", three)]));
    let texts =
        |nets: Vec<IpNet>| -> Vec<String> { nets.iter().map(ToString::to_string).collect() };
    let needs = |n| BTreeMap::from([("blue".into(), count(n))]);
    assert_eq!(texts(ipam.excess(&needs(5))), [""; 0]);
    assert_eq!(texts(ipam.excess(&needs(3))), ["10.1.0.8/30"]);
    let last = "10.1.0.9".parse().unwrap();
    ipam.allocate_at(last, &"a".into(), Lasting::UntilReleased)
        .unwrap();
    assert_eq!(texts(ipam.excess(&needs(3))), ["10.1.0.4/30"]);
    assert_eq!(
        texts(ipam.excess(&BTreeMap::new())),
        ["10.1.0.4/30", "10.1.0.0/30"]
    );
    // What somebody has used since it was looked for stays.
    ipam.leave("10.1.0.8/30".parse().unwrap());
    ipam.leave("10.1.0.4/30".parse().unwrap());
    let says = ranges(&[("blue", three)]);
    let said = ipam.said(&says);
    assert_eq!(said, ranges(&[("blue", &["10.1.0.0/30", "10.1.0.8/30"])]));
    // As long as the object has it, it may not have been written yet; nothing is given from it all the same.
    assert_eq!(ipam.take_in(&says), Taken::default());
    let given: BTreeSet<String> = (0..3)
        .map(|_| give(&mut ipam, "blue").to_string())
        .collect();
    assert_eq!(
        given,
        ["10.1.0.1", "10.1.0.10", "10.1.0.2"]
            .map(str::to_owned)
            .into()
    );
    let full = ipam.allocate(
        &"blue".into(),
        Family::Ipv4,
        &"b".into(),
        Lasting::UntilReleased,
    );
    assert_eq!(
        full.unwrap_err().to_string(),
        "no free IPv4 address in 10.1.0.0/30, 10.1.0.8/30 of pool blue: all 4 are in use"
    );
    let went = vec!["10.1.0.4/30".parse().unwrap()];
    assert_eq!(ipam.take_in(&said).went, went);
    assert_eq!(
        ipam.take_in(&says).came,
        went,
        "it is given to the node anew"
    );
}

#[test]
fn a_range_in_use_that_somebody_takes_out_of_the_object_is_said_again_and_given_no_more() {
    let mut ipam = Ipam::new(&ranges(&[("blue", &["10.1.0.0/29"])]));
    let used = give(&mut ipam, "blue");
    let lost = ipam.take_in(&Ranges::new()).lost;
    assert_eq!(lost, ["10.1.0.0/29".parse().unwrap()]);
    assert_eq!(
        ipam.said(&Ranges::new()),
        ranges(&[("blue", &["10.1.0.0/29"])])
    );
    let refused = ipam.allocate(
        &"blue".into(),
        Family::Ipv4,
        &"b".into(),
        Lasting::UntilReleased,
    );
    assert_eq!(
        refused.unwrap_err().to_string(),
        "the node has no range of IPv4 addresses of pool blue"
    );
    // Six fit into it: who gives must be asked for five more than are needed, or gives nothing.
    let waiting: Arc<str> = "blue".into();
    let needed = ipam.needed(&wants(&[]), std::iter::once((&waiting, Family::Ipv4)));
    assert_eq!(needed, [("blue".into(), count(7))].into());
    ipam.release(used).unwrap();
    let says = ranges(&[("blue", &["10.1.0.0/29"])]);
    assert_eq!(ipam.said(&says), Ranges::new());
    assert_eq!(ipam.take_in(&Ranges::new()).lost, []);
}

/// Two nodes, whose looks at their objects fail before or after they had their effect, and one who gives ranges of two small
/// pools that nobody has.
#[derive(Debug, Clone)]
enum Op {
    Allocate(usize, usize),
    Release(usize, usize),
    Look(usize, Failure),
    Give(usize, usize),
    Restart(usize),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Failure {
    None,
    Unwritten,
    Unheard,
}

fn op() -> impl Strategy<Value = Op> {
    let failure = prop_oneof![
        4 => Just(Failure::None),
        1 => Just(Failure::Unwritten),
        1 => Just(Failure::Unheard),
    ];
    prop_oneof![
        6 => (0_usize..2, 0_usize..2).prop_map(|(node, pool)| Op::Allocate(node, pool)),
        6 => (0_usize..2, 0_usize..40).prop_map(|(node, n)| Op::Release(node, n)),
        6 => (0_usize..2, failure).prop_map(|(node, failure)| Op::Look(node, failure)),
        4 => (0_usize..2, 0_usize..2).prop_map(|(node, pool)| Op::Give(node, pool)),
        1 => (0_usize..2).prop_map(Op::Restart),
    ]
}

const POOLS: [&str; 2] = ["blue", "red"];

struct Node {
    ipam: Ipam,
    /// What the node's object says.
    says: Ranges,
    asked: BTreeMap<Arc<str>, Count>,
}

impl Node {
    fn size(&self, pool: &str) -> u128 {
        let nets = self.says.get(pool).into_iter().flatten();
        nets.map(|net| Range::new(pool.into(), *net).size()).sum()
    }

    fn look(&mut self, failure: Failure) {
        let needed = self.ipam.needed(&wants(&[("blue", 2)]), std::iter::empty());
        for net in self.ipam.excess(&needed) {
            self.ipam.leave(net);
        }
        if failure != Failure::Unwritten {
            self.says = self.ipam.said(&self.says);
            self.asked = needed;
        }
        if failure == Failure::None {
            self.ipam.take_in(&self.says);
        }
    }
}

fn who_gives(nodes: &mut [Node; 2], to: usize, pool: usize) {
    let nets: Vec<IpNet> = (0..6)
        .map(|n| format!("10.{pool}.0.{}/30", n * 4).parse().unwrap())
        .collect();
    let free = nets.into_iter().find(|net| {
        let mut all = nodes.iter().flat_map(|node| node.says.values().flatten());
        all.all(|has| has != net)
    });
    let needed = nodes[to]
        .asked
        .get(POOLS[pool])
        .copied()
        .unwrap_or_default();
    if let Some(net) = free.filter(|_| nodes[to].size(POOLS[pool]) < needed.ipv4) {
        nodes[to]
            .says
            .entry(POOLS[pool].into())
            .or_default()
            .push(net);
    }
}

proptest! {
    #[test]
    fn no_address_is_given_twice_and_no_range_goes_while_somebody_has_an_address_of_it(
        ops in prop::collection::vec(op(), 0..200)
    ) {
        let node = || Node { ipam: Ipam::default(), says: Ranges::new(), asked: BTreeMap::new() };
        let mut nodes = [node(), node()];
        for op in ops {
            match op {
                Op::Allocate(at, pool) => {
                    let waits: Arc<str> = POOLS[pool].into();
                    let given = nodes[at].ipam.allocate(&waits, Family::Ipv4, &"a".into(), Lasting::UntilReleased);
                    if given.is_err() {
                        let waiting = std::iter::once((&waits, Family::Ipv4));
                        nodes[at].asked = nodes[at].ipam.needed(&wants(&[("blue", 2)]), waiting);
                    }
                }
                Op::Release(at, n) => {
                    let found = nodes[at].ipam.leases().keys().nth(n).copied();
                    if let Some(address) = found {
                        nodes[at].ipam.release(address).unwrap();
                    }
                }
                Op::Look(at, failure) => nodes[at].look(failure),
                Op::Give(at, pool) => who_gives(&mut nodes, at, pool),
                Op::Restart(at) => {
                    let mut ipam = Ipam::new(&nodes[at].says);
                    for (address, lease) in nodes[at].ipam.leases() {
                        ipam.restore(*address, &lease.owner).unwrap();
                    }
                    nodes[at].ipam = ipam;
                }
            }
            let mut seen = BTreeSet::new();
            for node in &nodes {
                for address in node.ipam.leases().keys() {
                    prop_assert!(seen.insert(*address), "{} is two pods'", address);
                    let is_said = node.says.values().flatten().any(|net| net.contains(address));
                    prop_assert!(is_said, "{} is of no range that the node says it has", address);
                }
            }
        }
        // Without pods, two looks leave what is kept ahead and no more.
        for node in &mut nodes {
            let used: Vec<IpAddr> = node.ipam.leases().keys().copied().collect();
            for address in used {
                node.ipam.release(address).unwrap();
            }
            node.look(Failure::None);
            node.look(Failure::None);
            prop_assert!(node.size("red") == 0 && node.size("blue") <= 2, "{:?}", node.says);
            let mut held = Ranges::new();
            for (pool, net) in node.ipam.ranges() {
                held.entry(Arc::clone(pool)).or_default().push(net);
            }
            prop_assert_eq!(&held, &node.says);
        }
    }
}
