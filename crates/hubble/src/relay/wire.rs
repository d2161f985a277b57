//! Requests and replies as the bytes that they are: a relay passes on what it does not know, and looks only at what it needs.

use api::hubble::observer::GetFlowsRequest;
use prost::{
    Message,
    bytes::{Buf, BufMut, Bytes, BytesMut},
    encoding::encode_varint,
};
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use super::merge::Time;
use crate::schema::{self, Wire};

/// Messages that are neither decoded nor encoded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        // A copy: a part of the received buffer would keep all of it, for as long as the message waits.
        let mut message = vec![0; bytes.remaining()];
        bytes.copy_to_slice(&mut message);
        Ok(Some(message.into()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

/// Field numbers of `observer.GetFlowsRequest`.
mod request {
    pub(super) const NUMBER: u32 = 1;
    pub(super) const SINCE: u32 = 7;
    pub(super) const FIELD_MASK: u32 = 10;
}

/// Field numbers of `observer.GetFlowsResponse`, and of `flow.Flow`.
mod response {
    pub(super) const FLOW: u32 = 1;
    pub(super) const TIME: u32 = 1001;
    pub(super) const TIME_OF_FLOW: u32 = 1;
}

/// A request for flows.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// As it goes to the nodes.
    bytes: Bytes,
    /// What this relay understands of it.
    pub(super) request: GetFlowsRequest,
}

impl Asked {
    /// Reads a request. A field mask gets the time and the node's name added, by which replies are sorted and told apart, and
    /// `further` paths.
    pub(super) fn new(bytes: Bytes, further: &[&str]) -> Result<Self, Status> {
        let request = GetFlowsRequest::decode(bytes.clone())
            .map_err(|error| Status::invalid_argument(format!("GetFlowsRequest: {error}")))?;
        if request.first && request.follow {
            return Err(Status::invalid_argument(
                "first and follow exclude each other",
            ));
        }
        let masked = request
            .field_mask
            .as_ref()
            .is_some_and(|mask| !mask.paths.is_empty());
        let bytes = if masked {
            // A message that comes twice is merged: the paths are added to those of the client.
            let mut paths = Vec::new();
            for path in ["time", "node_name"].iter().chain(further) {
                put_bytes(1, path.as_bytes(), &mut paths);
            }
            let mut all = BytesMut::from(bytes.as_ref());
            put_bytes(request::FIELD_MASK, &paths, &mut all);
            all.freeze()
        } else {
            bytes
        };
        Ok(Self { bytes, request })
    }

    /// The request of the client.
    pub(super) fn whole(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The request from `since` on, for a node that joins later.
    pub(super) fn from(&self, since: Time) -> Bytes {
        let mut all = BytesMut::from(self.bytes.as_ref());
        // Of a number that comes twice the last one holds, of a message each of its fields: so zeros are written too.
        put_number(request::NUMBER, 0, &mut all);
        let mut time = Vec::new();
        put_number(1, since.0 as u64, &mut time);
        put_number(2, since.1 as u64, &mut time);
        put_bytes(request::SINCE, &time, &mut all);
        all.freeze()
    }

    /// Whether nothing that has already happened is wanted.
    pub(super) fn is_of_now(&self) -> bool {
        self.request.follow && self.request.number == 0 && self.request.since.is_none()
    }

    pub(super) fn since(&self) -> Option<Time> {
        self.request.since.map(|time| (time.seconds, time.nanos))
    }
}

fn put_number(field: u32, value: u64, to: &mut impl BufMut) {
    encode_varint(u64::from(field) << 3, to);
    encode_varint(value, to);
}

fn put_bytes(field: u32, value: &[u8], to: &mut impl BufMut) {
    encode_varint(u64::from(field) << 3 | 2, to);
    encode_varint(value.len() as u64, to);
    to.put_slice(value);
}

/// What kind of reply it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A flow, which counts against the wanted number.
    Flow,
    /// Anything else.
    Event,
}

/// Kind and time of a reply; no time if it has none, or is no message.
pub(super) fn look_at(mut reply: &[u8]) -> (Kind, Option<Time>) {
    let (mut kind, mut envelope, mut inner) = (Kind::Event, None, None);
    while !reply.is_empty() {
        let Some(field) = schema::next(&mut reply) else {
            break;
        };
        match (field.number, field.value) {
            (response::FLOW, Wire::Bytes(flow)) => {
                kind = Kind::Flow;
                inner = time_of_flow(flow);
            }
            (response::TIME, Wire::Bytes(bytes)) => envelope = time(bytes),
            _ => {}
        }
    }
    (kind, envelope.or(inner))
}

fn time_of_flow(mut flow: &[u8]) -> Option<Time> {
    while !flow.is_empty() {
        let field = schema::next(&mut flow)?;
        if let (response::TIME_OF_FLOW, Wire::Bytes(bytes)) = (field.number, field.value) {
            return time(bytes);
        }
    }
    None
}

fn time(mut bytes: &[u8]) -> Option<Time> {
    let mut time = (0, 0);
    while !bytes.is_empty() {
        let field = schema::next(&mut bytes)?;
        match (field.number, field.value) {
            (1, Wire::Number(seconds)) => time.0 = seconds as i64,
            (2, Wire::Number(nanos)) => time.1 = nanos as i32,
            _ => {}
        }
    }
    Some(time)
}

#[cfg(test)]
mod tests;
