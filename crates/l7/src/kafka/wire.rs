//! Types of Kafka's protocol, in both their forms: plain, and compact with tagged fields.

use crate::octets::Octets;

/// Octets of a message that are read in turn. Everything that is not there is `None`.
#[derive(Clone, Debug)]
pub(super) struct Body<'a> {
    octets: Octets<'a>,
    /// Strings and arrays are compact, and structures end with tagged fields.
    flexible: bool,
    pub(super) version: i16,
}

impl<'a> Body<'a> {
    pub(super) fn new(octets: &'a [u8], version: i16, flexible: bool) -> Self {
        Self {
            octets: Octets::new(octets),
            flexible,
            version,
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.octets.take(count).map(|_| ())
    }

    /// Passes over so many octets in the versions from this one on.
    pub(super) fn skip_from(&mut self, version: i16, count: usize) -> Option<()> {
        if self.version >= version {
            self.skip(count)
        } else {
            Some(())
        }
    }

    pub(super) fn i8(&mut self) -> Option<i8> {
        self.octets.u8().map(u8::cast_signed)
    }

    pub(super) fn i16(&mut self) -> Option<i16> {
        self.octets.u16().map(u16::cast_signed)
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.octets.u32().map(u32::cast_signed)
    }

    pub(super) fn id(&mut self) -> Option<[u8; 16]> {
        self.octets.take(16)?.try_into().ok()
    }

    fn varint(&mut self) -> Option<u32> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let octet = self.octets.u8()?;
            value |= u32::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A string; none is an empty one.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = if self.flexible {
            self.varint()?.saturating_sub(1) as usize
        } else {
            usize::try_from(self.i16()?).unwrap_or(0)
        };
        self.octets.take(length)
    }

    /// Passes over a string in the versions from this one on.
    pub(super) fn skip_string_from(&mut self, version: i16) -> Option<()> {
        if self.version >= version {
            self.string()?;
        }
        Some(())
    }

    /// Number of an array's elements; none has none.
    pub(super) fn array(&mut self) -> Option<usize> {
        if self.flexible {
            return Some(self.varint()?.saturating_sub(1) as usize);
        }
        Some(usize::try_from(self.i32()?).unwrap_or(0))
    }

    /// Passes over an array whose elements have so many octets.
    pub(super) fn skip_array(&mut self, octets: usize) -> Option<()> {
        let count = self.array()?;
        self.skip(count.checked_mul(octets)?)
    }

    /// Length of octets that follow: records, or what else nobody reads.
    pub(super) fn length(&mut self) -> Option<usize> {
        if self.flexible {
            return Some(self.varint()?.saturating_sub(1) as usize);
        }
        Some(usize::try_from(self.i32()?).unwrap_or(0))
    }

    /// Passes over the tagged fields at the end of a structure.
    pub(super) fn tags(&mut self) -> Option<()> {
        if !self.flexible {
            return Some(());
        }
        let count = self.varint()?;
        for _ in 0..count {
            self.varint()?;
            let length = self.varint()?;
            self.skip(length as usize)?;
        }
        Some(())
    }
}
