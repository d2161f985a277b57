//! The clsact qdisc and its eBPF filters in direct-action mode.
//!
//! A filter is named by device, direction, priority and handle. Adding one at a taken place replaces its program in the
//! kernel's list without a gap: packets see the old program or the new one, never none.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::error::Result;
use crate::handle::{Handle, Request};
use crate::wire::{self, Message};

const HEADER: usize = 20;
const CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;
const INGRESS: u32 = 0xffff_fff2;
const EGRESS: u32 = 0xffff_fff3;
/// `ETH_P_ALL` in network order, as `tcm_info` wants it.
const ALL_PROTOCOLS: u32 = 0x0003_u16.to_be() as u32;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_ID: u16 = 11;
const FLAG_ACT_DIRECT: u32 = 1;

/// Which packets of a device a filter sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// Received by the device; on a pod's host veth: sent by the pod.
    Ingress,
    /// About to be sent by the device; on a pod's host veth: towards the pod.
    Egress,
}

impl Direction {
    fn parent(self) -> u32 {
        match self {
            Self::Ingress => INGRESS,
            Self::Egress => EGRESS,
        }
    }
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// Where a filter sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Interface index.
    pub index: u32,
    /// Direction.
    pub direction: Direction,
    /// Priority, 1 is asked first; 0 is the kernel's choice and not for us.
    pub priority: u16,
    /// Handle within the priority, from 1.
    pub handle: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} of link {} priority {} handle {}",
            self.direction, self.index, self.priority, self.handle
        )
    }
}

/// `struct tcmsg`.
fn header(index: u32, handle: u32, parent: u32, info: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    for (position, value) in [(4, index), (8, handle), (12, parent), (16, info)] {
        header[position..position + 4].copy_from_slice(&value.to_ne_bytes());
    }
    header
}

fn info(priority: u16) -> u32 {
    u32::from(priority) << 16 | ALL_PROTOCOLS
}

/// Adds the clsact qdisc to a device; one that is there is fine.
pub fn add_clsact(index: u32) -> Request {
    let mut message = Message::new(libc::RTM_NEWQDISC, wire::CREATE_NEW).fixed(&header(
        index,
        CLSACT_HANDLE,
        CLSACT,
        0,
    ));
    message.attr_str(TCA_KIND, "clsact");
    Request::new("add clsact qdisc to", format!("link {index}"), message).or_exists()
}

/// Deletes the clsact qdisc with all its filters.
pub fn delete_clsact(index: u32) -> Request {
    let message =
        Message::new(libc::RTM_DELQDISC, wire::ACK).fixed(&header(index, CLSACT_HANDLE, CLSACT, 0));
    Request::new("delete clsact qdisc of", format!("link {index}"), message)
}

/// Attaches `program` (a classifier) at `place` under `name` (shown by `tc`), replacing in place what is there.
///
/// The kernel takes its own reference: the descriptor may be closed afterwards.
pub fn set(place: Place, name: &str, program: BorrowedFd<'_>) -> Request {
    let fixed = header(
        place.index,
        place.handle,
        place.direction.parent(),
        info(place.priority),
    );
    // Without NLM_F_EXCL an existing handle means "change": cls_bpf swaps the program under RCU.
    let mut message = Message::new(libc::RTM_NEWTFILTER, wire::CREATE).fixed(&fixed);
    message.attr_str(TCA_KIND, "bpf");
    message.nested(TCA_OPTIONS, |options| {
        options.attr_u32(TCA_BPF_FD, program.as_raw_fd() as u32);
        options.attr_str(TCA_BPF_NAME, name);
        options.attr_u32(TCA_BPF_FLAGS, FLAG_ACT_DIRECT);
    });
    Request::new("attach filter", format!("{name} at {place}"), message)
}

/// Detaches the filter at `place`.
pub fn delete(place: Place) -> Request {
    let fixed = header(
        place.index,
        place.handle,
        place.direction.parent(),
        info(place.priority),
    );
    let mut message = Message::new(libc::RTM_DELTFILTER, wire::ACK).fixed(&fixed);
    message.attr_str(TCA_KIND, "bpf");
    Request::new("detach filter", format!("at {place}"), message)
}

/// An eBPF filter as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Where it sits.
    pub place: Place,
    /// Name given when it was attached.
    pub name: String,
    /// Kernel id of the program.
    pub program_id: u32,
}

impl Filter {
    /// `None` for what is not an eBPF filter with a program (the list also names each priority once, without options).
    fn parse(payload: &[u8], direction: Direction) -> Option<Self> {
        let place = Place {
            index: wire::u32_at(payload, 4)?,
            direction,
            priority: (wire::u32_at(payload, 16)? >> 16) as u16,
            handle: wire::u32_at(payload, 8)?,
        };
        let find = |wanted| {
            wire::attributes(payload.get(HEADER..).unwrap_or(&[]))
                .find(|(kind, _)| *kind == wanted)
                .map(|(_, v)| v)
        };
        if wire::text(find(TCA_KIND)?) != "bpf" {
            return None;
        }
        let (mut name, mut program_id) = (String::new(), None);
        for (kind, value) in wire::attributes(find(TCA_OPTIONS)?) {
            match kind {
                TCA_BPF_NAME => name = wire::text(value),
                TCA_BPF_ID => program_id = wire::u32_at(value, 0),
                _ => (),
            }
        }
        Some(Self {
            place,
            name,
            program_id: program_id?,
        })
    }
}

impl Handle {
    /// Lists the eBPF filters of a device in one direction; empty when it has no clsact qdisc.
    pub fn filters(&self, index: u32, direction: Direction) -> Result<Vec<Filter>> {
        let message = Message::new(libc::RTM_GETTFILTER, wire::DUMP).fixed(&header(
            index,
            0,
            direction.parent(),
            0,
        ));
        let object = format!("filters on {direction} of link {index}");
        let answers = self.query("list", &object, message, libc::RTM_NEWTFILTER)?;
        Ok(answers
            .iter()
            .filter_map(|payload| Filter::parse(payload, direction))
            .collect())
    }
}
