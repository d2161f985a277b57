//! Sockets that a service sent to a backend which is gone: closed, so that their programs ask the service again.
//!
//! Only what was translated at the socket, known by its cookie from the table `socket_peers`; who asked for the pod by its own address
//! is left alone. A connected UDP socket would send into the void for ever: it goes with its backend. A TCP connection goes
//! only when the backend's address is nobody's any more: a pod that is not ready, or was taken out of the service, still answers, and its
//! connections end when it ends them, as with kube-proxy (upstream closes UDP sockets only; its TCP clients of a lost node
//! wait for their time-out). An unconnected UDP socket needs nothing: its next datagram is translated anew.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use datapath::abi::Address;
use datapath::abi::ipcache::AddressKey;
use datapath::abi::service::SocketKey;
use kernel::{MapError, Maps};
use model::endpoint::EndpointRow;
use netlink::Namespace;
use netlink::diag::{Diag, InetSocket, Protocol};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use crate::view::ViewReader;

/// A program that chose a backend just before it went writes its row just after: sockets are looked for again after this.
const SETTLE: Duration = Duration::from_millis(400);
/// Shortest time between two walks over the sockets, and the pause after one that failed.
const PACE: Duration = Duration::from_millis(50);

/// Closes sockets when the engine says that backends or addresses have gone.
pub struct Closer {
    maps: Maps,
    view: ViewReader,
    /// Addresses of pods and nodes that went, as long as a socket may be connected to one.
    dead: BTreeSet<Address>,
}

/// Sockets to close, by cookie and backend.
pub(crate) type Condemned = BTreeMap<Protocol, HashSet<(u64, SocketAddr)>>;

/// Whether a walk is the last one after a change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Walk {
    /// Rows may still come.
    Early,
    /// What is condemned now can be forgotten when it is closed.
    Last,
}

impl Closer {
    /// Over the kernel's tables and the endpoints of the view.
    pub fn new(maps: Maps, view: ViewReader) -> Self {
        Self {
            maps,
            view,
            dead: BTreeSet::new(),
        }
    }

    /// Serves the engine's notices until the stop signal.
    pub async fn run(mut self, mut gone: UnboundedReceiver<Vec<Address>>, stop: CancellationToken) {
        let mut settled = true;
        loop {
            let walk = tokio::select! {
                () = stop.cancelled() => return,
                more = gone.recv() => match more {
                    Some(more) => {
                        self.hear(more);
                        Walk::Early
                    }
                    None => return,
                },
                () = tokio::time::sleep(SETTLE), if !settled => Walk::Last,
            };
            while let Ok(more) = gone.try_recv() {
                self.hear(more);
            }
            let work = move || {
                let result = self.walk(walk);
                (self, result)
            };
            let Ok((back, result)) = tokio::task::spawn_blocking(work).await else {
                return;
            };
            self = back;
            settled = walk == Walk::Last && result.is_ok();
            match result {
                Ok(0) => {}
                Ok(closed) => tracing::info!(closed, "closed sockets to backends that are gone"),
                Err(error) => {
                    tracing::warn!(%error, "sockets to backends that are gone are not all closed, trying again");
                }
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// Looks for sockets to close in the node's namespace and in those of its pods; says how many were closed.
    fn walk(&mut self, walk: Walk) -> Result<usize, Error> {
        let (condemned, keys) = self.condemned()?;
        if keys.is_empty() {
            return Ok(0);
        }
        let mut closed = close(&Diag::open()?, &condemned)?;
        let view = self.view.get();
        for namespace in view.endpoints.iter().filter_map(namespace_of) {
            closed += close(&Diag::open_in(&namespace)?, &condemned)?;
        }
        if walk == Walk::Last {
            // Rows of sockets that their programs closed long ago are among them.
            self.maps.socket_peers.remove_all(&keys)?;
        }
        Ok(closed)
    }

    /// Takes in what the engine says has gone.
    pub(crate) fn hear(&mut self, gone: impl IntoIterator<Item = Address>) {
        self.dead.extend(gone);
    }

    /// What leads to backends that are gone.
    pub(crate) fn condemned(&mut self) -> Result<(Condemned, Vec<SocketKey>), MapError> {
        let live: HashSet<_> = self
            .maps
            .backends
            .dump()?
            .into_iter()
            .map(|(_, backend)| (backend.address, backend.port, backend.protocol))
            .collect();
        let rows = self.maps.socket_peers.dump()?;
        let used = rows.iter().map(|(key, _)| key.address).collect();
        self.forget_dead(&used)?;
        let (mut condemned, mut keys) = (Condemned::new(), Vec::new());
        for (key, peer) in rows {
            let protocol = match i32::from(peer.protocol) {
                libc::IPPROTO_UDP => Protocol::Udp,
                libc::IPPROTO_TCP if self.dead.contains(&key.address) => Protocol::Tcp,
                _ => continue,
            };
            if live.contains(&(key.address, key.port, peer.protocol)) {
                continue;
            }
            let backend = SocketAddr::new(IpAddr::from(key.address), u16::from_be(key.port));
            condemned
                .entry(protocol)
                .or_default()
                .insert((key.cookie, backend));
            keys.push(key);
        }
        Ok((condemned, keys))
    }

    /// Forgets addresses that are somebody's again, and those that no socket was sent to.
    fn forget_dead(&mut self, used: &HashSet<Address>) -> Result<(), MapError> {
        let mut still = BTreeSet::new();
        for address in self.dead.iter().filter(|address| used.contains(address)) {
            let key = AddressKey {
                address: *address,
                ..AddressKey::default()
            };
            if self.maps.addresses.get(&key)?.is_none() {
                still.insert(*address);
            }
        }
        // Only now: after an error the next walk must know of all of them.
        self.dead = still;
        Ok(())
    }
}

/// Why sockets could not be closed.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// A table could not be read.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The kernel's socket tables refused.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
}

fn close(diag: &Diag, condemned: &Condemned) -> Result<usize, netlink::Error> {
    let mut closed = 0;
    for (protocol, sockets) in condemned {
        closed += diag.destroy_all(*protocol, |socket: &InetSocket| {
            sockets.contains(&(socket.cookie(), socket.canonical_remote()))
        })?;
    }
    Ok(closed)
}

/// The pod's namespace, where the agent sees it: at the path that an agent in a pod would use, or at the runtime's own.
/// `None` if it is gone; a name that is another's by now does not count.
fn namespace_of(row: &EndpointRow) -> Option<Namespace> {
    let base = Path::new(&*row.netns).file_name()?;
    let paths = [
        Path::new(&*row.netns).to_owned(),
        Path::new(netlink::namespace::DIRECTORY).join(base),
    ];
    paths
        .iter()
        .filter_map(|path| Namespace::open(path).ok())
        .find(|namespace| {
            namespace
                .cookie()
                .is_ok_and(|cookie| cookie == row.netns_cookie)
        })
}
