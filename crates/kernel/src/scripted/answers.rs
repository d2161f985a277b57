//! What stands in place of a helper: a function of a few instructions that reads the script's map instead of asking the kernel,
//! and writes down what it was asked for.

use std::os::fd::BorrowedFd;

use crate::instruction::{
    DOUBLE, EXIT, HALF, LOOKUP, OCTET, WORD, add, call, copy, load, map, put, set, skip, skip_if,
    skip_unless, store, value, word,
};

/// Offsets in the one value of the script's map. `now`, `jiffies`, the tunnel that came in and chance are read, the rest written.
pub(super) mod at {
    pub(in super::super) const NOW: usize = 0;
    pub(in super::super) const JIFFIES: usize = 8;
    /// How many numbers of chance were taken.
    pub(in super::super) const TAKEN: usize = 16;
    /// 1 `bpf_redirect`, 2 `bpf_redirect_peer`, 3 `bpf_redirect_neigh`.
    pub(in super::super) const REDIRECT: usize = 20;
    pub(in super::super) const REDIRECT_TO: usize = 24;
    pub(in super::super) const ACCEPTED: usize = 28;
    /// 0 none, 4 or 6; then identity, then four words.
    pub(in super::super) const CAME: usize = 32;
    pub(in super::super) const GOES: usize = 56;
    /// Where keys of look-ups are put together: the programs use most of the stack.
    pub(super) const KEY: usize = 80;
    /// Octets to which the frame is cut before the program begins, 0 for none.
    pub(in super::super) const CUT: usize = 104;
    pub(in super::super) const CHANCE: usize = 112;
    /// Numbers of chance per packet.
    pub(in super::super) const NUMBERS: usize = 256;
    pub(in super::super) const SIZE: usize = CHANCE + 4 * NUMBERS;
}

/// Octets of a row of the scripted routes: result, interface, MTU, the interface's hardware address, the next hop's.
pub(super) const ROUTE: usize = 24;
/// Octets of a key of the scripted sockets: address, port, protocol, zero.
pub(super) const SOCKET: usize = 20;

/// `EINVAL`
const INVALID: i32 = -22;
/// `TC_ACT_REDIRECT`
const REDIRECTED: i32 = 7;
/// `BPF_FIB_LKUP_RET_UNREACHABLE`
const UNREACHABLE: i32 = 2;
/// The third word of an IPv4 address in the ABI.
const MAPPED: i32 = 0xffff_u32.to_be() as i32;
const AF_INET6: i32 = 10;
/// Size of the IPv6 half of `struct bpf_sock_tuple`.
const TUPLE_V6: i32 = 36;
const TCP: i32 = 6;
const UDP: i32 = 17;

/// The maps that answers read.
#[derive(Clone, Copy)]
pub(super) struct Maps<'a> {
    pub(super) script: BorrowedFd<'a>,
    pub(super) routes: BorrowedFd<'a>,
    pub(super) sockets: BorrowedFd<'a>,
}

/// Copies words.
fn words(to: (u8, usize), from: (u8, usize), count: usize) -> Vec<u64> {
    (0..count)
        .flat_map(|i| {
            [
                load(WORD, 0, from.0, from.1 + 4 * i),
                store(WORD, to.0, to.1 + 4 * i, 0),
            ]
        })
        .collect()
}

/// The function in place of a helper, `None` where the kernel itself answers.
pub(super) fn of(helper: i32, maps: Maps<'_>) -> Option<Vec<u64>> {
    let script = |register| value(register, maps.script).to_vec();
    Some(match helper {
        // bpf_ktime_get_ns, bpf_jiffies64
        5 => [script(1), vec![load(DOUBLE, 0, 1, at::NOW), EXIT]].concat(),
        118 => [script(1), vec![load(DOUBLE, 0, 1, at::JIFFIES), EXIT]].concat(),
        // bpf_get_prandom_u32
        7 => [script(1), chance()].concat(),
        // bpf_redirect, bpf_redirect_peer, bpf_redirect_neigh
        23 => [script(3), redirect(1)].concat(),
        155 => [script(3), redirect(2)].concat(),
        152 => [script(3), redirect(3)].concat(),
        // bpf_skb_change_type: done, and noted
        32 => [
            vec![call(32), skip_unless(0, 0, 3)],
            script(1),
            vec![put(WORD, 1, at::ACCEPTED, 1), EXIT],
        ]
        .concat(),
        // bpf_skb_get_tunnel_key, bpf_skb_set_tunnel_key
        20 => [script(5), tunnel()].concat(),
        21 => [script(5), set_tunnel()].concat(),
        // bpf_fib_lookup
        69 => [script(7), route(maps.routes)].concat(),
        // bpf_skc_lookup_tcp, bpf_sk_lookup_udp: a number, not a socket; so there is nothing for bpf_sk_release
        99 => [script(7), socket(maps.sockets, TCP)].concat(),
        85 => [script(7), socket(maps.sockets, UDP)].concat(),
        86 => vec![set(0, 0), EXIT],
        _ => return None,
    })
}

/// What comes before the program: it cuts the frame where the script says so, because the kernel takes no frame for a run that
/// ends within its IP header, while a driver may deliver one.
pub(super) fn before(script: BorrowedFd<'_>) -> Vec<u64> {
    const CHANGE_TAIL: i32 = 38;
    [
        vec![copy(6, 1)],
        value(2, script).to_vec(),
        vec![
            load(WORD, 2, 2, at::CUT),
            skip_if(2, 0, 3),
            set(3, 0),
            call(CHANGE_TAIL),
            copy(1, 6),
        ],
    ]
    .concat()
}

fn chance() -> Vec<u64> {
    const AND: u8 = 0x57;
    const SHIFT_LEFT: u8 = 0x67;
    const ADD_REGISTER: u8 = 0x0f;
    vec![
        load(WORD, 2, 1, at::TAKEN),
        copy(3, 2),
        add(3, 1),
        store(WORD, 1, at::TAKEN, 3),
        word(AND, 2, 0, 0, at::NUMBERS as i32 - 1),
        word(SHIFT_LEFT, 2, 0, 0, 2),
        word(ADD_REGISTER, 1, 2, 0, 0),
        load(WORD, 0, 1, at::CHANCE),
        EXIT,
    ]
}

fn redirect(kind: i32) -> Vec<u64> {
    vec![
        put(WORD, 3, at::REDIRECT, kind),
        store(WORD, 3, at::REDIRECT_TO, 1),
        set(0, REDIRECTED),
        EXIT,
    ]
}

/// Register 2 is the `struct bpf_tunnel_key`, 4 the flags (1: IPv6).
fn tunnel() -> Vec<u64> {
    let fill = words((2, 0), (5, at::CAME + 4), 5);
    [
        vec![
            load(WORD, 0, 5, at::CAME),
            skip_if(0, 0, 5),
            skip_unless(4, 0, 2),
            skip_if(0, 4, 5),
            skip(2),
            skip_unless(0, 6, 1),
            skip(2),
            set(0, INVALID),
            EXIT,
        ],
        fill,
        vec![set(0, 0), EXIT],
    ]
    .concat()
}

fn set_tunnel() -> Vec<u64> {
    const AND: u8 = 0x57;
    [
        vec![
            put(WORD, 5, at::GOES, 4),
            copy(0, 4),
            word(AND, 0, 0, 0, 1),
            skip_if(0, 0, 1),
            put(WORD, 5, at::GOES, 6),
        ],
        words((5, at::GOES + 4), (2, 0), 5),
        // And the kernel's own opinion of the key.
        vec![call(21), EXIT],
    ]
    .concat()
}

/// The start of a key: an IPv4 address at `four` of register 6, or an IPv6 one at `six`; `v6` skips so many instructions over the
/// first to the second.
fn key(jump: impl Fn(i16) -> u64, four: usize, six: usize) -> Vec<u64> {
    let second = words((7, at::KEY), (6, six), 4);
    let first = vec![
        put(DOUBLE, 7, at::KEY, 0),
        put(WORD, 7, at::KEY + 8, MAPPED),
        load(WORD, 0, 6, four),
        store(WORD, 7, at::KEY + 12, 0),
        skip(second.len() as i16),
    ];
    [vec![jump(first.len() as i16)], first, second].concat()
}

fn find(map_to_search: BorrowedFd<'_>) -> Vec<u64> {
    [
        map(1, map_to_search).to_vec(),
        vec![copy(2, 7), add(2, at::KEY as i32), call(LOOKUP)],
    ]
    .concat()
}

/// Register 2 is the `struct bpf_fib_lookup`: family at 0, destination at 32; answers are the MTU at 6, the interface at 8,
/// hardware addresses from 52 on.
fn route(routes: BorrowedFd<'_>) -> Vec<u64> {
    let macs = (0..6).flat_map(|i| [load(HALF, 1, 0, 12 + 2 * i), store(HALF, 6, 52 + 2 * i, 1)]);
    [
        vec![copy(6, 2), load(OCTET, 0, 6, 0)],
        key(|over| skip_if(0, AF_INET6, over), 32, 32),
        find(routes),
        vec![
            skip_unless(0, 0, 2),
            set(0, UNREACHABLE),
            EXIT,
            load(WORD, 1, 0, 4),
            store(WORD, 6, 8, 1),
            load(HALF, 1, 0, 8),
            store(HALF, 6, 6, 1),
        ],
        macs.collect(),
        vec![load(WORD, 0, 0, 0), EXIT],
    ]
    .concat()
}

/// Register 2 is the `struct bpf_sock_tuple`, 3 its size: destination address at 4 or 16, port at 10 or 34.
fn socket(sockets: BorrowedFd<'_>, protocol: i32) -> Vec<u64> {
    [
        vec![copy(6, 2), copy(8, 3)],
        key(|over| skip_if(8, TUPLE_V6, over), 4, 16),
        vec![
            skip_if(8, TUPLE_V6, 2),
            load(HALF, 0, 6, 10),
            skip(1),
            load(HALF, 0, 6, 34),
            store(HALF, 7, at::KEY + 16, 0),
            put(HALF, 7, at::KEY + 18, protocol),
        ],
        find(sockets),
        vec![skip_if(0, 0, 1), set(0, 1), EXIT],
    ]
    .concat()
}
