//! The fields of a block, as far as records have them.

use crate::{
    hpack::{Field, Name},
    record::Seen,
    redact,
};

/// What a block says. What it does not say is absent, unless it has a field with an unknown name.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) method: Seen<String>,
    pub(super) path: Seen<String>,
    pub(super) host: Seen<String>,
    pub(super) status: Seen<u16>,
    /// Whether the content is that of gRPC.
    pub(super) grpc: Seen<bool>,
    pub(super) grpc_status: Seen<u32>,
    pub(super) traceparent: Seen<String>,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            method: Seen::Absent,
            path: Seen::Absent,
            host: Seen::Absent,
            status: Seen::Absent,
            grpc: Seen::Absent,
            grpc_status: Seen::Absent,
            traceparent: Seen::Absent,
        }
    }
}

/// Sets a field that is not known yet.
fn set<T>(field: &mut Seen<T>, value: Option<T>) {
    if !matches!(field, Seen::Known(_)) {
        *field = value.map_or(Seen::Unknown, Seen::Known);
    }
}

impl Fields {
    /// What was not said yet may have been.
    pub(super) fn miss(&mut self) {
        fn doubt<T>(field: &mut Seen<T>) {
            if matches!(field, Seen::Absent) {
                *field = Seen::Unknown;
            }
        }
        doubt(&mut self.method);
        doubt(&mut self.path);
        doubt(&mut self.host);
        doubt(&mut self.status);
        doubt(&mut self.grpc);
        doubt(&mut self.grpc_status);
        doubt(&mut self.traceparent);
    }

    pub(super) fn take(&mut self, field: Field<'_>) {
        let value = field.value;
        match field.name {
            Name::Method => set(&mut self.method, value.map(redact::text)),
            Name::Path => set(&mut self.path, value.map(redact::path)),
            Name::Authority | Name::Host => set(&mut self.host, value.map(redact::host)),
            Name::Status => set(&mut self.status, value.and_then(number)),
            Name::ContentType => {
                let is_grpc = |value: &[u8]| value.starts_with(b"application/grpc");
                set(&mut self.grpc, value.map(is_grpc));
            }
            Name::GrpcStatus => set(&mut self.grpc_status, value.and_then(number)),
            Name::Traceparent => match value.map(redact::traceparent) {
                // One that is not well-formed is none.
                Some(None) => {}
                known => set(&mut self.traceparent, known.flatten()),
            },
            Name::Other => {}
            Name::Unknown => self.miss(),
        }
    }
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
