//! What the engine does with pods' interfaces on the host's side, and with the node's own devices.

use std::collections::BTreeSet;

use kernel::Kernel;
use kernel::attach;
use netlink::{AdminState, Handle, link};

use super::Error;

/// Pods' interfaces, by their index.
pub trait Interfaces: Send {
    /// Lets the node's own devices and sockets run the programs, or replaces those that they run.
    fn open(&self) -> Result<(), Error>;
    /// Its name, if it is there.
    fn name(&self, index: u32) -> Result<Option<String>, Error>;
    /// Attaches the programs, or replaces them in place; when that fails the interface is down.
    fn attach(&self, index: u32) -> Result<(), Error>;
    /// Lets packets through.
    fn set_up(&self, index: u32) -> Result<(), Error>;
    /// Lets nothing through.
    fn set_down(&self, index: u32) -> Result<(), Error>;
    /// Removes it; one that is gone is fine.
    fn remove(&self, index: u32) -> Result<(), Error>;
    /// Index and name of those that are up and carry our programs, but for the known ones.
    fn strays(&self, known: &BTreeSet<u32>) -> Result<Vec<(u32, String)>, Error>;
}

/// What `open` does with the loaded programs.
pub type Open = dyn Fn(&Kernel) -> anyhow::Result<()> + Send;

/// Those of the namespace that the handle is of.
pub struct OfNode {
    /// Netlink.
    pub handle: Handle,
    /// The loaded programs.
    pub kernel: Kernel,
    /// Attaches them to the node's own devices and sockets.
    pub open: Box<Open>,
}

impl Interfaces for OfNode {
    fn open(&self) -> Result<(), Error> {
        (self.open)(&self.kernel).map_err(|error| Error::Devices(format!("{error:#}")))
    }

    fn name(&self, index: u32) -> Result<Option<String>, Error> {
        Ok(self.handle.find_link(index)?.map(|link| link.name))
    }

    fn attach(&self, index: u32) -> Result<(), Error> {
        Ok(attach::attach_pod(
            &self.handle,
            index,
            &self.kernel.programs,
        )?)
    }

    fn set_up(&self, index: u32) -> Result<(), Error> {
        Ok(self.handle.run(&link::set_up(index))?)
    }

    fn set_down(&self, index: u32) -> Result<(), Error> {
        Ok(self.handle.run(&link::set_down(index).or_gone())?)
    }

    fn remove(&self, index: u32) -> Result<(), Error> {
        Ok(self.handle.run(&link::delete(index).or_gone())?)
    }

    fn strays(&self, known: &BTreeSet<u32>) -> Result<Vec<(u32, String)>, Error> {
        let mut found = Vec::new();
        for link in self.handle.links()? {
            let may_be = link.kind == "veth" && link.state() == AdminState::Up;
            if may_be
                && !known.contains(&link.index)
                && attach::carries_pod_program(&self.handle, link.index)?
            {
                found.push((link.index, link.name));
            }
        }
        Ok(found)
    }
}
