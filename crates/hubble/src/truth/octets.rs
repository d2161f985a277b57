//! Messages of the protocols, as octets.

/// A request over HTTP/1.1 with a body of so many octets.
pub(super) fn request(
    method: &str,
    path: &str,
    host: &str,
    trace: Option<&str>,
    body: usize,
) -> Vec<u8> {
    let trace = trace.map_or_else(String::new, |trace| format!("traceparent: {trace}\r\n"));
    let length = if body > 0 {
        format!("Content-Length: {body}\r\n")
    } else {
        String::new()
    };
    let head =
        format!("{method} {path}?token=secret HTTP/1.1\r\nHost: {host}\r\n{trace}{length}\r\n");
    with_body(head, body)
}

/// An answer over HTTP/1.1.
pub(super) fn answer(status: u16, body: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} Because\r\nServer: it\r\nContent-Length: {body}\r\n\r\n");
    with_body(head, body)
}

fn with_body(head: String, body: usize) -> Vec<u8> {
    let mut octets = head.into_bytes();
    octets.resize(octets.len() + body, b'x');
    octets
}

/// A question of DNS.
pub(super) fn question(id: u16, name: &str, kind: u16) -> Vec<u8> {
    message(id, 0x0100, name, kind, 0)
}

/// Its answer, with IPv4 addresses (type 1).
pub(super) fn addresses(id: u16, name: &str, kind: u16, code: u16, of: &[[u8; 4]]) -> Vec<u8> {
    let mut octets = message(id, 0x8180 | code, name, kind, of.len() as u16);
    for address in of {
        // The owner is the name at octet 12.
        octets.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
        octets.extend(address);
    }
    octets
}

fn message(id: u16, flags: u16, name: &str, kind: u16, answers: u16) -> Vec<u8> {
    let mut octets = Vec::new();
    for word in [id, flags, 1, answers, 0, 0] {
        octets.extend(word.to_be_bytes());
    }
    for label in name.split('.') {
        octets.push(label.len() as u8);
        octets.extend(label.bytes());
    }
    octets.push(0);
    octets.extend(kind.to_be_bytes());
    octets.extend([0, 1]);
    octets
}

/// A message of Kafka that is written.
pub(super) struct Kafka(Vec<u8>);

impl Kafka {
    /// A request of a call.
    pub(super) fn request(key: i16, version: i16, number: i32, client: &str) -> Self {
        Self(vec![0; 4])
            .i16(key)
            .i16(version)
            .i32(number)
            .text(client)
    }

    /// The answer to the request with this number.
    pub(super) fn answer(number: i32) -> Self {
        Self(vec![0; 4]).i32(number)
    }

    pub(super) fn i8(mut self, value: i8) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn i16(mut self, value: i16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn i64(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn text(mut self, text: &str) -> Self {
        self = self.i16(text.len() as i16);
        self.0.extend(text.bytes());
        self
    }

    /// Records of so many octets.
    pub(super) fn records(mut self, octets: usize) -> Self {
        self = self.i32(octets as i32);
        self.0.resize(self.0.len() + octets, 0xee);
        self
    }

    /// The message behind its length.
    pub(super) fn done(mut self) -> Vec<u8> {
        let length = self.0.len() as u32 - 4;
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0
    }
}

/// A record of TLS.
fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut octets = vec![kind, 3, 3];
    octets.extend((content.len() as u16).to_be_bytes());
    octets.extend(content);
    octets
}

fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut octets = kind.to_be_bytes().to_vec();
    octets.extend((value.len() as u16).to_be_bytes());
    octets.extend(value);
    octets
}

fn hello(kind: u8, body: &[u8], extensions: &[u8]) -> Vec<u8> {
    let length = (body.len() + 2 + extensions.len()) as u32;
    let mut octets = vec![kind];
    octets.extend(&length.to_be_bytes()[1..]);
    octets.extend(body);
    octets.extend((extensions.len() as u16).to_be_bytes());
    octets.extend(extensions);
    record(22, &octets)
}

/// A client's hello that asks for a server by name, and offers `h2`.
pub(super) fn client_hello(name: &str) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    let length = name.len() as u16;
    let mut server = (length + 3).to_be_bytes().to_vec();
    server.push(0);
    server.extend(length.to_be_bytes());
    server.extend(name.bytes());
    let mut extensions = extension(0, &server);
    extensions.extend(extension(16, &[0, 3, 2, b'h', b'2']));
    extensions.extend(extension(43, &[2, 3, 4]));
    hello(1, &body, &extensions)
}

/// A server's hello that chooses TLS 1.3, and what is encrypted behind it.
pub(super) fn server_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([9; 32]);
    body.extend([0, 0x13, 0x01, 0]);
    let mut octets = hello(2, &body, &extension(43, &[3, 4]));
    octets.extend(encrypted(120));
    octets
}

/// A record that is encrypted.
pub(super) fn encrypted(octets: usize) -> Vec<u8> {
    record(23, &vec![0xaa; octets])
}

/// A fatal alert.
pub(super) fn alert(code: u8) -> Vec<u8> {
    record(21, &[2, code])
}
