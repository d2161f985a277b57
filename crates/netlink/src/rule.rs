//! Rules that choose a routing table.

use crate::error::Result;
use crate::handle::{Handle, Request};
use crate::wire::{self, Message};
use crate::{Family, PROTOCOL};

const HEADER: usize = 12;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_PROTOCOL: u16 = 21;
const FR_ACT_TO_TBL: u8 = 1;

/// A packet mark and the bits of it that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark {
    /// Value.
    pub value: u32,
    /// Bits that count.
    pub mask: u32,
}

/// A rule: packets with this mark (or all) look into this table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    /// Family.
    pub family: Family,
    /// Lower is asked first.
    pub priority: u32,
    /// Which packets; `None`: all.
    pub mark: Option<Mark>,
    /// Where to look.
    pub table: u32,
    /// `RTPROT_*`; ours is [`PROTOCOL`].
    pub protocol: u8,
}

impl Rule {
    /// A rule of ours for packets with `mark`.
    pub fn marked(family: Family, priority: u32, mark: Mark, table: u32) -> Self {
        Self {
            family,
            priority,
            mark: Some(mark),
            table,
            protocol: PROTOCOL,
        }
    }

    /// A rule of ours for all packets.
    pub fn all(family: Family, priority: u32, table: u32) -> Self {
        Self {
            family,
            priority,
            mark: None,
            table,
            protocol: PROTOCOL,
        }
    }

    fn message(&self, kind: u16, flags: u16) -> Message {
        let mut header = [0; HEADER];
        header[0] = self.family.raw();
        header[4] = u8::try_from(self.table).unwrap_or(0);
        header[7] = FR_ACT_TO_TBL;
        let mut message = Message::new(kind, flags).fixed(&header);
        message.attr_u32(FRA_PRIORITY, self.priority);
        message.attr_u32(FRA_TABLE, self.table);
        message.attr_u8(FRA_PROTOCOL, self.protocol);
        if let Some(mark) = self.mark {
            message.attr_u32(FRA_FWMARK, mark.value);
            message.attr_u32(FRA_FWMASK, mark.mask);
        }
        message
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        let family = match i32::from(*payload.first()?) {
            libc::AF_INET => Family::V4,
            libc::AF_INET6 => Family::V6,
            _ => return None,
        };
        let mut rule = Self::all(family, 0, u32::from(*payload.get(4)?));
        rule.protocol = 0;
        let (mut value, mut mask) = (None, u32::MAX);
        for (kind, bytes) in wire::attributes(payload.get(HEADER..)?) {
            match kind {
                FRA_PRIORITY => rule.priority = wire::u32_at(bytes, 0)?,
                FRA_TABLE => rule.table = wire::u32_at(bytes, 0)?,
                FRA_FWMARK => value = wire::u32_at(bytes, 0),
                FRA_FWMASK => mask = wire::u32_at(bytes, 0)?,
                FRA_PROTOCOL => rule.protocol = *bytes.first()?,
                _ => (),
            }
        }
        rule.mark = value.map(|value| Mark { value, mask });
        Some(rule)
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.priority)?;
        if let Some(mark) = self.mark {
            write!(f, "fwmark {:#x}/{:#x} ", mark.value, mark.mask)?;
        }
        write!(f, "lookup {}", self.table)
    }
}

/// Adds a rule, fails with `EEXIST` when there is an equal one.
pub fn add(rule: &Rule) -> Request {
    Request::new(
        "add rule",
        rule.to_string(),
        rule.message(libc::RTM_NEWRULE, wire::CREATE_NEW),
    )
}

/// Deletes a rule.
pub fn delete(rule: &Rule) -> Request {
    Request::new(
        "delete rule",
        rule.to_string(),
        rule.message(libc::RTM_DELRULE, wire::ACK),
    )
}

impl Handle {
    /// Lists the rules of one family in the order they are asked.
    pub fn rules(&self, family: Family) -> Result<Vec<Rule>> {
        let mut header = [0; HEADER];
        header[0] = family.raw();
        let message = Message::new(libc::RTM_GETRULE, wire::DUMP).fixed(&header);
        let answers = self.query("list", "rules", message, libc::RTM_NEWRULE)?;
        let mut rules: Vec<Rule> = answers
            .iter()
            .filter_map(|payload| Rule::parse(payload))
            .collect();
        rules.sort_by_key(|rule| rule.priority);
        Ok(rules)
    }
}
