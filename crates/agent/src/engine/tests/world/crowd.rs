//! A node of a large cluster in memory: many pods here and elsewhere, many policies, many services.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use super::*;

/// Pods of other nodes that a policy selects: as many in a large cluster as in a small one.
const TEAM: usize = 10;
/// Port of the first policy; the next ones follow.
const FIRST_PORT: usize = 8000;
const FIRST_IDENTITY: usize = 10_000;

/// How large.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine::tests) struct Size {
    /// Pods of this node, each with an identity of its own.
    pub(in crate::engine::tests) pods: usize,
    /// Pods of other nodes, each with an identity of its own.
    pub(in crate::engine::tests) identities: usize,
    pub(in crate::engine::tests) policies: usize,
    pub(in crate::engine::tests) services: usize,
    /// Of each service.
    pub(in crate::engine::tests) backends: usize,
}

impl Size {
    /// The label by which policies select peers.
    fn team(self, number: usize) -> String {
        format!("t{}", number % (self.identities / TEAM).max(1))
    }
}

fn address(first: u8, place: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, first, 0, 0)) + place as u32)
}

/// Its expressions take longer to compile than all else here.
static FILTER: LazyLock<LabelFilter> = LazyLock::new(|| LabelFilter::standard().unwrap());

fn labels(app: &str, team: &str) -> LabelSet {
    let facts = PodLabels {
        pod: [("app", app), ("team", team)],
        namespace: "shop",
        namespace_labels: std::iter::empty(),
        service_account: Some("default"),
        cluster: "default",
    };
    pod_labels(facts, &FILTER)
}

fn elsewhere(number: usize) -> (PodName, RemoteEndpoint) {
    let node = Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 30, 1, 0)) + (number / 100) as u32);
    let row = RemoteEndpoint {
        identity: Identity((FIRST_IDENTITY + number) as u32),
        node: Some(node.into()),
        addresses: [address(200, number).into()].into(),
        named_ports: Box::default(),
    };
    (name(&format!("r{number}")), row)
}

/// Lets the pods of one team come in to one app, on a port.
fn team_policy(number: usize, team: &str, app: &str, port: usize) -> (ObjectKey, PolicyRow) {
    let spec = json!({
        "endpointSelector": { "matchLabels": { "app": app } },
        "ingress": [{
            "fromEndpoints": [{ "matchLabels": { "team": team } }],
            "toPorts": [{ "ports": [{ "port": port.to_string(), "protocol": "TCP" }] }],
        }],
    });
    let name = format!("p{number}");
    let object = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": { "namespace": "shop", "name": name }, "spec": spec,
    });
    good_policy(key_of(Kind::CiliumNetworkPolicy, &name), &object)
}

fn many_backends(service: usize, number: usize) -> Vec<String> {
    let first = service * number;
    (first..first + number)
        .map(|place| address(128, place).to_string())
        .collect()
}

impl World {
    /// A node of a cluster of that size, in force.
    pub(in crate::engine::tests) fn crowd(size: Size) -> Self {
        let mut world = Self::new(kernel::Config::default());
        world.restart();
        world.deliver_crowd(size);
        for number in 0..size.pods {
            world.create_numbered(number).expect("created");
        }
        world.settle();
        world.faults.take_written();
        world
    }

    /// Tells the engine everything that is so far away that it does not fit into [`Store`].
    pub(in crate::engine::tests) fn deliver_crowd(&mut self, size: Size) {
        let writers = self.writers.as_mut().unwrap();
        let remote = (0..size.identities).map(|number| {
            let id = Identity((FIRST_IDENTITY + number) as u32);
            (id, labels(&format!("r{number}"), &size.team(number)))
        });
        let local = (0..size.pods).map(|number| {
            let id = Identity((FIRST_IDENTITY + size.identities + number) as u32);
            (id, labels(&format!("a{number}"), &size.team(number)))
        });
        writers.identities.replace(remote.chain(local));
        writers
            .endpoints
            .replace((0..size.identities).map(elsewhere));
        let apps = size.pods.max(1);
        writers.cilium.replace((0..size.policies).map(|number| {
            let app = format!("a{}", number % apps);
            team_policy(number, &size.team(number), &app, FIRST_PORT + number)
        }));
        writers
            .services
            .replace((0..size.services).flat_map(|number| {
                let of = format!("s{number}");
                service(&of, &address(96, number).to_string())
            }));
        for number in 0..size.services {
            self.set_backends(number, &many_backends(number, size.backends));
        }
        self.size = size;
    }

    fn set_backends(&mut self, service: usize, backends: &[String]) {
        let of = format!("s{service}");
        let addresses: Vec<&str> = backends.iter().map(String::as_str).collect();
        let writers = self.writers.as_mut().unwrap();
        for (key, row) in slice(&of, &addresses) {
            writers.slices.set(key, row);
        }
    }

    pub(in crate::engine::tests) fn create_numbered(
        &mut self,
        number: usize,
    ) -> Result<EndpointRow, Error> {
        let (app, index) = (format!("a{number}"), 100 + number as u32);
        let own = labels(&app, &self.size.team(number));
        let row = PodRow {
            labels: BTreeMap::from([
                ("app".into(), app.as_str().into()),
                ("team".into(), self.size.team(number).as_str().into()),
            ]),
            service_account: Some("default".into()),
            ..PodRow::default()
        };
        let writers = self.writers.as_mut().unwrap();
        writers.pods.set(name(&app), row);
        let device = format!("lxc{app}");
        let mut shared = self.interfaces.shared.lock().unwrap();
        shared.names.insert(index, device);
        drop(shared);
        let identity = Identity((FIRST_IDENTITY + self.size.identities + number) as u32);
        let address = IpAddr::V4(address(9, 256 + number));
        let row = endpoint(&app, index, address, own, Some(identity));
        self.engine.as_mut().unwrap().create(row)
    }

    /// A further pod, which no policy selects; its number.
    pub(in crate::engine::tests) fn create_alone(&mut self) -> Result<usize, Error> {
        let number = self.size.pods;
        let id = Identity((FIRST_IDENTITY + self.size.identities + number) as u32);
        let own = labels(&format!("a{number}"), &self.size.team(number));
        self.writers.as_mut().unwrap().identities.set(id, own);
        self.create_numbered(number).map(|_| number)
    }

    /// A policy for one pod alone: its first one if no other selects it, else a further one.
    pub(in crate::engine::tests) fn set_policy(&mut self, number: usize, pod: usize, port: usize) {
        let (key, row) = team_policy(number, &self.size.team(number), &format!("a{pod}"), port);
        self.writers.as_mut().unwrap().cilium.set(key, row);
    }

    /// A service loses its last backend, or gets it back.
    pub(in crate::engine::tests) fn change_service(&mut self, number: usize, lost: usize) {
        let mut backends = many_backends(number, self.size.backends);
        backends.truncate(self.size.backends - lost);
        self.set_backends(number, &backends);
    }

    /// A pod of another node comes or goes.
    pub(in crate::engine::tests) fn set_remote(&mut self, number: usize, there: bool) {
        let (key, row) = elsewhere(number);
        let writers = self.writers.as_mut().unwrap();
        let id = Identity((FIRST_IDENTITY + number) as u32);
        if there {
            let of = labels(&format!("r{number}"), &self.size.team(number));
            writers.identities.set(id, of);
            writers.endpoints.set(key, row);
        } else {
            writers.endpoints.remove(&key);
            writers.identities.remove(&id);
        }
    }
}
