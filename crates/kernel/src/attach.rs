//! Programs on interfaces and cgroups: attach, replace without a gap, and say what is there.
//!
//! Pod interfaces get cls_bpf filters, which live and die with their device and survive the agent; the node's few devices
//! and its cgroup get links, which are pinned and replaced by link update.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use netlink::filter::{self, Direction, Place};
use netlink::{Handle, link};

use crate::object::{Hook, Kernel, LoadError, Programs};
use crate::pin::{PinDirectory, PinError};
use crate::sys::{self, AttachType};

/// Place of our filters on a pod's host interface: the first that is asked.
const PRIORITY: u16 = 1;
const HANDLE: u32 = 1;

/// Programs on the node's cgroup, in the order in which they are attached.
pub const SOCKET_PROGRAMS: [&str; 8] = [
    "sock4_connect",
    "sock6_connect",
    "sock4_sendmsg",
    "sock6_sendmsg",
    "sock4_recvmsg",
    "sock6_recvmsg",
    "sock4_getpeer",
    "sock6_getpeer",
];

/// The program on the node's cgroup that notes what sockets measure.
const ROUND_TRIPS: &str = "sock_round_trip";

/// Why a program could not be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The object lacks the program.
    #[error(transparent)]
    Program(#[from] LoadError),
    /// A filter or qdisc was refused.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// A pin could not be opened or written.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// A link was refused.
    #[error("cannot {operation} link of '{program}' on {target}: {source}")]
    Link {
        /// What was attempted.
        operation: &'static str,
        /// Name of the program.
        program: String,
        /// Interface or cgroup.
        target: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// Whether a program of ours is where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// The program of this load.
    Current,
    /// A program of ours from an earlier load, or one that is not ours: replace it.
    Other {
        /// Kernel id of the program that is there.
        program_id: u32,
    },
    /// Nothing.
    Missing,
}

fn place(index: u32, direction: Direction) -> Place {
    Place {
        index,
        direction,
        priority: PRIORITY,
        handle: HANDLE,
    }
}

/// Attaches both programs of a pod's host interface, replacing in place what is there. When that fails, the
/// interface is set down first and the error returned: no program is no traffic.
pub fn attach_pod(handle: &Handle, index: u32, programs: &Programs) -> Result<(), AttachError> {
    let attached = try_attach_pod(handle, index, programs);
    if attached.is_err() {
        handle.run(&link::set_down(index))?;
    }
    attached
}

fn try_attach_pod(handle: &Handle, index: u32, programs: &Programs) -> Result<(), AttachError> {
    let mut requests = vec![filter::add_clsact(index)];
    for hook in [Hook::FromContainer, Hook::ToContainer] {
        let program = programs.get(hook.program())?;
        requests.push(filter::set(
            place(index, hook.direction()),
            hook.program(),
            program,
        ));
    }
    handle.run_all(&requests)?;
    Ok(())
}

/// What a pod's host interface has, [`Hook::FromContainer`] then [`Hook::ToContainer`].
pub fn verify_pod(
    handle: &Handle,
    index: u32,
    programs: &Programs,
) -> Result<[Attachment; 2], AttachError> {
    let mut found = [Attachment::Missing; 2];
    for (hook, found) in [Hook::FromContainer, Hook::ToContainer]
        .into_iter()
        .zip(&mut found)
    {
        let wanted = programs.id(hook.program())?;
        let place = place(index, hook.direction());
        let filters = handle.filters(index, hook.direction())?;
        if let Some(filter) = filters.iter().find(|filter| filter.place == place) {
            *found = of(filter.program_id, wanted);
        }
    }
    Ok(found)
}

/// Whether a device has a program of ours where a pod's host interface has it, of this load or of an earlier one.
pub fn carries_pod_program(handle: &Handle, index: u32) -> Result<bool, AttachError> {
    for hook in [Hook::FromContainer, Hook::ToContainer] {
        let place = place(index, hook.direction());
        let filters = handle.filters(index, hook.direction())?;
        if filters
            .iter()
            .any(|filter| filter.place == place && filter.name == hook.program())
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// As [`verify_pod`], and sets the interface down when either program is missing.
pub fn enforce_pod(
    handle: &Handle,
    index: u32,
    programs: &Programs,
) -> Result<[Attachment; 2], AttachError> {
    let found = verify_pod(handle, index, programs)?;
    if found.contains(&Attachment::Missing) {
        handle.run(&link::set_down(index))?;
    }
    Ok(found)
}

/// Replaces the programs of all pinned links, and those of all pods' interfaces that have one, in place.
pub(crate) fn replace_all(
    handle: &Handle,
    pins: &PinDirectory,
    programs: &Programs,
) -> Result<(), AttachError> {
    for name in pins.links()? {
        let Some((target, program)) = name.rsplit_once('-') else {
            continue;
        };
        let path = pins.link(target, program);
        let (Some(link), Some(to)) = (PinDirectory::open(&path)?, programs.named(program)) else {
            continue;
        };
        // A link whose device or cgroup is gone has no target, and takes no program.
        if sys::link_info(link.as_fd()).is_ok_and(|info| info.target.first() == Some(&0)) {
            continue;
        }
        sys::link_update(link.as_fd(), to).map_err(|source| AttachError::Link {
            operation: "update the",
            program: program.to_owned(),
            target: target.to_owned(),
            source,
        })?;
    }
    for link in handle.links()? {
        if link.kind == "veth" && carries_pod_program(handle, link.index)? {
            try_attach_pod(handle, link.index, programs)?;
        }
    }
    Ok(())
}

fn of(found: u32, wanted: u32) -> Attachment {
    if found == wanted {
        Attachment::Current
    } else {
        Attachment::Other { program_id: found }
    }
}

fn tcx(hook: Hook) -> AttachType {
    match hook.direction() {
        Direction::Ingress => AttachType::TcxIngress,
        Direction::Egress => AttachType::TcxEgress,
    }
}

/// Attaches the program of `hook` to a device of the node by a pinned link; a link that is there gets the new program
/// by update, without a packet between. `name` is the device's, `index` must be its index in this namespace.
pub fn attach_device(
    kernel: &Kernel,
    name: &str,
    index: u32,
    hook: Hook,
) -> Result<(), AttachError> {
    let path = kernel.pins.link(name, hook.program());
    let link = Target {
        path,
        program_name: hook.program(),
        name: name.to_owned(),
        raw: index,
        attach_type: tcx(hook),
    };
    // A device that was made anew has another index: its old link is dead.
    let alive = |link: BorrowedFd<'_>| {
        sys::link_info(link).is_ok_and(|info| info.target.first() == Some(&index))
    };
    link.attach(kernel.programs.get(hook.program())?, alive)
}

/// Whether the device runs our program at `hook`.
pub fn verify_device(
    kernel: &Kernel,
    name: &str,
    index: u32,
    hook: Hook,
) -> Result<Attachment, AttachError> {
    let wanted = kernel.programs.id(hook.program())?;
    let running = sys::attached_programs(index, tcx(hook)).map_err(|source| AttachError::Link {
        operation: "list the",
        program: hook.program().to_owned(),
        target: name.to_owned(),
        source,
    })?;
    if running.contains(&wanted) {
        return Ok(Attachment::Current);
    }
    let pinned = PinDirectory::open(&kernel.pins.link(name, hook.program()))?;
    let info = pinned.and_then(|link| sys::link_info(link.as_fd()).ok());
    Ok(match info {
        Some(info) if running.contains(&info.program) => Attachment::Other {
            program_id: info.program,
        },
        _ => Attachment::Missing,
    })
}

/// Detaches the program of `hook` from a device by removing its link; none is fine.
pub fn detach_device(pins: &PinDirectory, name: &str, hook: Hook) -> Result<(), AttachError> {
    Ok(PinDirectory::remove(&pins.link(name, hook.program()))?)
}

/// Attaches the socket programs to `cgroup` (the node's own, with its pods below) by pinned links.
pub fn attach_cgroup(kernel: &Kernel, cgroup: &Path) -> Result<(), AttachError> {
    attach_to_cgroup(
        kernel,
        cgroup,
        SOCKET_PROGRAMS.into_iter().zip(SOCKET_TYPES),
    )
}

/// Attaches the program that notes round trips, in the same way.
pub fn attach_round_trips(kernel: &Kernel, cgroup: &Path) -> Result<(), AttachError> {
    attach_to_cgroup(kernel, cgroup, [(ROUND_TRIPS, AttachType::SockOps)])
}

fn attach_to_cgroup(
    kernel: &Kernel,
    cgroup: &Path,
    programs: impl IntoIterator<Item = (&'static str, AttachType)>,
) -> Result<(), AttachError> {
    let directory = File::open(cgroup).map_err(|source| {
        AttachError::Pin(PinError::Io {
            operation: "open cgroup",
            path: cgroup.to_owned(),
            source,
        })
    })?;
    for (program_name, attach_type) in programs {
        let link = Target {
            path: kernel.pins.link("cgroup", program_name),
            program_name,
            name: cgroup.display().to_string(),
            raw: directory.as_raw_fd() as u32,
            attach_type,
        };
        link.attach(kernel.programs.get(program_name)?, |link| {
            // The kernel clears the cgroup of a link whose cgroup was removed.
            sys::link_info(link).is_ok_and(|info| info.target.first() != Some(&0))
        })?;
    }
    Ok(())
}

/// Detaches the socket programs.
pub fn detach_cgroup(pins: &PinDirectory) -> Result<(), AttachError> {
    for program in SOCKET_PROGRAMS {
        PinDirectory::remove(&pins.link("cgroup", program))?;
    }
    Ok(())
}

/// Detaches the program that notes round trips; none is fine.
pub fn detach_round_trips(pins: &PinDirectory) -> Result<(), AttachError> {
    Ok(PinDirectory::remove(&pins.link("cgroup", ROUND_TRIPS))?)
}

const SOCKET_TYPES: [AttachType; 8] = [
    AttachType::Connect4,
    AttachType::Connect6,
    AttachType::SendMsg4,
    AttachType::SendMsg6,
    AttachType::RecvMsg4,
    AttachType::RecvMsg6,
    AttachType::GetPeerName4,
    AttachType::GetPeerName6,
];

/// Where a link goes.
struct Target {
    path: PathBuf,
    program_name: &'static str,
    name: String,
    /// Interface index or cgroup descriptor.
    raw: u32,
    attach_type: AttachType,
}

impl Target {
    fn attach(
        &self,
        program: BorrowedFd<'_>,
        alive: impl Fn(BorrowedFd<'_>) -> bool,
    ) -> Result<(), AttachError> {
        if let Some(link) = PinDirectory::open(&self.path)?
            && alive(link.as_fd())
        {
            return sys::link_update(link.as_fd(), program)
                .map_err(|source| self.error("update the", source));
        }
        let link: OwnedFd = sys::link_create(program, self.raw, self.attach_type)
            .map_err(|source| self.error("create the", source))?;
        Ok(PinDirectory::replace(link.as_fd(), &self.path)?)
    }

    fn error(&self, operation: &'static str, source: io::Error) -> AttachError {
        AttachError::Link {
            operation,
            program: self.program_name.to_owned(),
            target: self.name.clone(),
            source,
        }
    }
}
