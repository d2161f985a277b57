//! A packet of bytes, with the kernel's arithmetic for checksums.

use crate::{
    abi::{Address, Drop, Mac, Plain, sample::OCTETS},
    packet::{Checksum, Packet, Tunnel, Zero},
};

/// A frame and what the kernel keeps beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The octets, Ethernet header first.
    pub bytes: Vec<u8>,
    /// `skb->gso_size`
    pub gso_size: u32,
    /// The hook's interface.
    pub ifindex: u32,
    /// The interface through which it came in, 0 when made here.
    pub ingress_ifindex: u32,
    /// The mark.
    pub mark: u32,
    /// What the overlay said, or shall say.
    pub tunnel: Option<Tunnel>,
    /// Made a packet for this host.
    pub accepted: bool,
    /// How many more writes succeed: a fault to inject. `None`: all.
    pub writes_left: Option<u32>,
}

/// Adds with end-around carry, as `csum_add`.
fn add(a: u32, b: u32) -> u32 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u32::from(carry)
}

/// As `csum_fold`, without the complement.
fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

impl Frame {
    fn at(&self, offset: u32, length: usize) -> Option<&[u8]> {
        let start = offset as usize;
        self.bytes.get(start..start.checked_add(length)?)
    }

    /// Counts down to the injected fault.
    fn may_write(&mut self) -> Option<()> {
        if let Some(left) = &mut self.writes_left {
            *left = left.checked_sub(1)?;
        }
        Some(())
    }

    fn write(&mut self, offset: u32, octets: &[u8]) -> Option<()> {
        self.may_write()?;
        let start = offset as usize;
        self.bytes
            .get_mut(start..start.checked_add(octets.len())?)?
            .copy_from_slice(octets);
        Some(())
    }

    /// Adds a 32-bit difference to a checksum, as `inet_proto_csum_replace_by_diff`.
    fn adjust(&mut self, checksum: Checksum, difference: u32) -> Option<()> {
        let old: u16 = self.load(checksum.offset)?;
        if checksum.zero == Zero::Absent && old == 0 {
            return Some(());
        }
        let mut new = !fold(add(difference, u32::from(!old)));
        if checksum.zero == Zero::Absent && new == 0 {
            new = 0xffff;
        }
        self.write(checksum.offset, &new.to_ne_bytes())
    }
}

impl Packet for Frame {
    fn len(&self) -> u32 {
        self.bytes.len() as u32
    }

    fn gso_size(&self) -> u32 {
        self.gso_size
    }

    fn segments(&self) -> u32 {
        match self.gso_size {
            0 => 1,
            size => (self.len() / size).max(1),
        }
    }

    fn ifindex(&self) -> u32 {
        self.ifindex
    }

    fn ingress_ifindex(&self) -> u32 {
        self.ingress_ifindex
    }

    fn mark(&self) -> u32 {
        self.mark
    }

    fn set_mark(&mut self, mark: u32) {
        self.mark = mark;
    }

    fn load<T: Plain>(&self, offset: u32) -> Option<T> {
        T::from_bytes(self.at(offset, size_of::<T>())?)
    }

    fn copy(&self, offset: u32, count: u32, to: &mut [u8; OCTETS]) -> Option<()> {
        let octets = self.at(offset, count as usize)?;
        to.get_mut(..octets.len())?.copy_from_slice(octets);
        Some(())
    }

    fn store<T: Plain>(&mut self, offset: u32, value: &T) -> Result<(), Drop> {
        self.write(offset, value.as_bytes())
            .ok_or(Drop::ErrorWritingToPacket)
    }

    fn set_macs(&mut self, destination: Mac, source: Mac) -> Result<(), Drop> {
        self.store(0, &destination)?;
        self.store(6, &source)
    }

    fn adjust_ipv4_checksum(&mut self, offset: u32, from: u32, to: u32) -> Result<(), Drop> {
        let checksum = Checksum {
            offset,
            zero: Zero::Sum,
        };
        self.adjust(checksum, add(!from, to))
            .ok_or(Drop::ErrorWhileCorrectingL3Checksum)
    }

    fn adjust_checksum_for_address(
        &mut self,
        checksum: Checksum,
        from: &Address,
        to: &Address,
    ) -> Result<(), Drop> {
        let difference = if from.is_v4() {
            let (Address([_, _, _, from]), Address([_, _, _, to])) = (from, to);
            add(!from, *to)
        } else {
            let olds = from.0.iter().map(|word| !word);
            olds.chain(to.0.iter().copied()).fold(0, add)
        };
        self.adjust(checksum, difference)
            .ok_or(Drop::ErrorWhileCorrectingL4Checksum)
    }

    fn adjust_checksum_for_field(
        &mut self,
        checksum: Checksum,
        from: u16,
        to: u16,
    ) -> Result<(), Drop> {
        self.adjust(checksum, add(!u32::from(from), u32::from(to)))
            .ok_or(Drop::ErrorWhileCorrectingL4Checksum)
    }

    fn resize(&mut self, len: u32) -> Result<(), Drop> {
        self.may_write().ok_or(Drop::InvalidTcBuffer)?;
        self.bytes.resize(len as usize, 0);
        self.gso_size = 0;
        Ok(())
    }

    fn accept(&mut self) -> Result<(), Drop> {
        self.may_write().ok_or(Drop::ErrorWritingToPacket)?;
        self.accepted = true;
        Ok(())
    }

    fn tunnel(&self) -> Result<Tunnel, Drop> {
        self.tunnel.ok_or(Drop::ErrorRetrievingTunnelKey)
    }

    fn set_tunnel(&mut self, tunnel: &Tunnel) -> Result<(), Drop> {
        self.may_write().ok_or(Drop::ErrorWritingToPacket)?;
        self.tunnel = Some(*tunnel);
        Ok(())
    }
}
