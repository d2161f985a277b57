//! Services at the socket: what a program asks for becomes a backend when it connects or sends, and back when it looks.
//!
//! Translated once per connection (or datagram), so that no packet has to be: the client's packets go to the backend as
//! if it had been asked for. IPv4 addresses on IPv6 sockets need nothing special, because [`Address`] holds both alike.

use crate::abi::{
    Address,
    ipcache::{self, AddressKey},
    service::{
        Affinity, AffinityKey, Backend, Frontend, FrontendKey, SlotKey, SocketKey, SocketPeer,
        backend_state, flags,
    },
};
use crate::maps::Maps;
use crate::stages::service::scope;

/// What a hook on a socket sees and may change.
pub trait Socket {
    /// The address in question: where to, or where from.
    fn address(&self) -> Address;
    /// Its port, network order.
    fn port(&self) -> u16;
    /// IP protocol number of the socket.
    fn protocol(&self) -> u8;
    /// Puts another address and port (network order) in their place.
    fn set(&mut self, address: &Address, port: u16);
    /// Cookie of the socket, unique since boot.
    fn cookie(&self) -> u64;
    /// Cookie of the socket's network namespace.
    fn namespace(&self) -> u64;
    /// 32 random bits.
    fn random(&self) -> u32;
    /// Jiffies.
    fn jiffies(&self) -> u64;
    /// Jiffies per second.
    fn hz(&self) -> u32;
}

/// What becomes of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketVerdict {
    /// It goes on, with the address as it stands now.
    Pass,
    /// It fails with ECONNREFUSED: a service without backends.
    Refuse,
}

/// How often another slot is tried when a row is just being removed.
const TRIES: u32 = 4;

/// `connect` and `sendmsg` with an address.
#[inline(always)]
pub fn translate(socket: &mut impl Socket, maps: &impl Maps) -> SocketVerdict {
    let (address, port) = (socket.address(), socket.port());
    let Some(frontend) = frontend(maps, &address, port, socket.protocol()) else {
        return SocketVerdict::Pass;
    };
    if frontend.slots == 0 {
        return SocketVerdict::Refuse;
    }
    let Some((id, backend)) = choose(socket, maps, frontend) else {
        return SocketVerdict::Refuse;
    };
    let (to, to_port) = (backend.address, backend.port);
    if frontend.flags & flags::AFFINITY != 0 {
        let value = Affinity {
            last_used: socket.jiffies(),
            backend: id,
            pad: 0,
        };
        maps.record_affinity(&affinity_key(socket, frontend.service), &value);
    }
    let key = SocketKey {
        cookie: socket.cookie(),
        address: to,
        port: to_port,
        pad: [0; 3],
    };
    let peer = SocketPeer {
        address,
        service: frontend.service,
        port,
        protocol: socket.protocol(),
        pad: 0,
    };
    // Without the row the socket works; its program only sees the backend as its peer.
    let _ = maps.record_socket_peer(&key, &peer);
    socket.set(&to, to_port);
    SocketVerdict::Pass
}

/// `recvmsg` and `getpeername`: the backend becomes the service that was asked for.
#[inline(always)]
pub fn restore(socket: &mut impl Socket, maps: &impl Maps) {
    let key = SocketKey {
        cookie: socket.cookie(),
        address: socket.address(),
        port: socket.port(),
        pad: [0; 3],
    };
    if let Some(peer) = maps.socket_peer(&key) {
        socket.set(&peer.address, peer.port);
    }
}

/// The frontend of an address: its own for clients inside, the one for everybody, or a NodePort of this node.
#[inline(always)]
fn frontend<'a>(
    maps: &'a impl Maps,
    address: &Address,
    port: u16,
    protocol: u8,
) -> Option<&'a Frontend> {
    let mut key = FrontendKey {
        address: *address,
        port,
        protocol,
        scope: scope::INSIDE,
    };
    if let Some(frontend) = maps.frontend(&key) {
        return Some(frontend);
    }
    key.scope = scope::ALL;
    if let Some(frontend) = maps.frontend(&key) {
        return Some(frontend);
    }
    if !is_this_node(maps, address) {
        return None;
    }
    key.address = if address.is_v4() {
        Address::v4([0; 4])
    } else {
        Address::NONE
    };
    key.scope = scope::INSIDE;
    if let Some(frontend) = maps.frontend(&key) {
        return Some(frontend);
    }
    key.scope = scope::ALL;
    maps.frontend(&key)
}

#[inline(always)]
fn is_this_node(maps: &impl Maps, address: &Address) -> bool {
    let key = AddressKey {
        address: *address,
        net: 0,
        pad: 0,
    };
    maps.address(&key)
        .is_some_and(|row| row.flags & ipcache::flags::LOCAL_NODE != 0)
}

#[inline(always)]
fn affinity_key(socket: &impl Socket, service: u32) -> AffinityKey {
    let namespace = socket.namespace();
    AffinityKey {
        client: Address([namespace as u32, (namespace >> 32) as u32, 0, 0]),
        service,
        cookie: 1,
    }
}

/// The backend that the client had before, if it may be kept, else a random one.
#[inline(always)]
fn choose<'a>(
    socket: &impl Socket,
    maps: &'a impl Maps,
    frontend: &Frontend,
) -> Option<(u32, &'a Backend)> {
    if frontend.flags & flags::AFFINITY != 0
        && let Some(known) = maps.affinity(&affinity_key(socket, frontend.service))
    {
        let life = u64::from(frontend.affinity_seconds) * u64::from(socket.hz());
        let fresh = socket.jiffies().wrapping_sub(known.last_used) <= life;
        if fresh
            && let Some(backend) = maps.backend(known.backend)
            && backend.state == backend_state::ACTIVE
        {
            return Some((known.backend, backend));
        }
    }
    for _ in 0..TRIES {
        let key = SlotKey {
            service: frontend.service,
            slot: socket.random() % frontend.slots.max(1),
        };
        if let Some(id) = maps.service_slot(&key)
            && let Some(backend) = maps.backend(id)
        {
            return Some((id, backend));
        }
    }
    None
}
