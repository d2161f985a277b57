//! The head of a request or an answer (RFC 9112, sections 3 to 5), read line by line so that its length costs no memory.

use crate::{record::HttpVersion, redact};

/// Octets of one line that are kept; of a longer one the rest is skipped.
pub const LINE_OCTETS: usize = 4096;

/// Octets of a head, after which it is none.
pub const HEAD_OCTETS: usize = 256 << 10;

/// Empty lines before a head that are skipped.
const BLANK_LINES: usize = 4;

/// What the first line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Request {
        method: String,
        /// Not there if the line was longer than what is kept of it.
        path: Option<String>,
        version: HttpVersion,
    },
    Answer {
        status: u16,
        version: HttpVersion,
    },
}

/// What the lines say that have been read.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub(super) start: Option<Start>,
    pub(super) host: Option<String>,
    pub(super) traceparent: Option<String>,
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
    /// The body ends as nobody can tell: another coding than chunked is the last one.
    pub(super) odd_coding: bool,
    /// Lengths that contradict each other.
    pub(super) broken: bool,
    /// `Upgrade: h2c`.
    pub(super) h2c: bool,
    /// The empty line at its end was there.
    pub(super) whole: bool,
    /// When its first octet was seen.
    pub(super) start_ns: u64,
}

/// Reads a head.
#[derive(Debug, Default)]
pub(super) struct Reader {
    head: Head,
    line: Vec<u8>,
    /// The line was longer than what is kept of it.
    long: bool,
    octets: usize,
    blank: usize,
}

/// How far a head came.
pub(super) enum Progress {
    /// All octets were taken.
    More,
    /// The head ends after this many octets.
    Done(Box<Head>, usize),
    /// This is no head.
    Wrong,
}

impl Reader {
    /// Whether nothing of a head was read.
    pub(super) fn is_empty(&self) -> bool {
        self.head.start.is_none() && self.line.is_empty()
    }

    /// Octets that are kept.
    pub(super) fn octets(&self) -> usize {
        let head = &self.head;
        let texts = [&head.host, &head.traceparent].into_iter().flatten();
        let path = match &head.start {
            Some(Start::Request { method, path, .. }) => {
                method.capacity() + path.as_ref().map_or(0, String::capacity)
            }
            _ => 0,
        };
        self.line.capacity() + texts.map(String::capacity).sum::<usize>() + path
    }

    /// What was read before a gap, if it has its first line.
    pub(super) fn cut(&mut self) -> Option<Box<Head>> {
        let head = std::mem::take(self).head;
        head.start.is_some().then(|| Box::new(head))
    }

    pub(super) fn read(&mut self, octets: &[u8], time_ns: u64) -> Progress {
        if self.is_empty() {
            self.head.start_ns = time_ns;
        }
        let mut rest = octets;
        while let Some(end) = rest.iter().position(|octet| *octet == b'\n') {
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            rest = after;
            let fits = if self.line.is_empty() && !self.long && line.len() <= LINE_OCTETS {
                self.line(line, false)
            } else {
                self.append(line);
                let line = std::mem::take(&mut self.line);
                let long = std::mem::take(&mut self.long);
                self.line(&line, long)
            };
            self.octets += end + 1;
            if !fits || self.octets > HEAD_OCTETS {
                return Progress::Wrong;
            }
            if self.head.whole {
                let head = std::mem::take(self).head;
                return Progress::Done(Box::new(head), octets.len() - rest.len());
            }
        }
        self.octets += rest.len();
        self.append(rest);
        if self.octets > HEAD_OCTETS {
            return Progress::Wrong;
        }
        Progress::More
    }

    fn append(&mut self, octets: &[u8]) {
        let room = LINE_OCTETS - self.line.len();
        self.long |= octets.len() > room;
        self.line.extend(octets.iter().take(room));
    }

    /// Takes a line; false if it cannot be one of a head.
    fn line(&mut self, line: &[u8], long: bool) -> bool {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match (self.head.start.is_some(), line.is_empty()) {
            (false, true) => {
                self.blank += 1;
                self.blank <= BLANK_LINES
            }
            (false, false) => {
                self.head.start = start(line, long, &mut self.head.host);
                self.head.start.is_some()
            }
            (true, true) => {
                self.head.whole = true;
                true
            }
            (true, false) => {
                self.field(line, long);
                true
            }
        }
    }

    fn field(&mut self, line: &[u8], long: bool) {
        let Some(colon) = line.iter().position(|octet| *octet == b':') else {
            return;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let head = &mut self.head;
        // All names that are looked at have their lengths here, and most others do not.
        match name.len() {
            4 if is(redact::HEADERS[0]) && !long => head.host = Some(redact::host(value)),
            11 if is(redact::HEADERS[1]) => head.traceparent = redact::traceparent(value),
            14 if is("content-length") => head.length(value),
            17 if is("transfer-encoding") => {
                let last = value.rsplit(|octet| *octet == b',').next();
                let last = last.unwrap_or_default().trim_ascii();
                head.chunked = last.eq_ignore_ascii_case(b"chunked");
                head.odd_coding = !head.chunked;
            }
            7 if is("upgrade") => head.h2c = value.eq_ignore_ascii_case(b"h2c"),
            _ => {}
        }
    }
}

impl Head {
    /// `Content-Length`, also the same one several times (RFC 9110, section 8.6).
    fn length(&mut self, value: &[u8]) {
        for part in value.split(|octet| *octet == b',') {
            let part = part.trim_ascii();
            let digits = part.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(part)
                .ok()
                .filter(|_| digits)
                .and_then(|text| text.parse().ok());
            self.broken |=
                length.is_none() || self.length.is_some_and(|known| Some(known) != length);
            self.length = length.or(self.length);
        }
    }
}

fn start(line: &[u8], long: bool, host: &mut Option<String>) -> Option<Start> {
    if line.starts_with(b"HTTP/") {
        return answer(line);
    }
    let mut words = line.split(|octet| *octet == b' ');
    let (method, target) = (words.next()?, words.next()?);
    let is_method =
        |octet: &u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(octet);
    if method.is_empty() || method.len() > 32 || !method.iter().all(is_method) {
        return None;
    }
    let version = match (words.next(), words.next()) {
        (Some(version), None) => self::version(version)?,
        _ if long => HttpVersion::Http11,
        _ => return None,
    };
    *host = redact::target_host(target).filter(|_| !long);
    // The path may end where the line was cut.
    let path = (!long || target.contains(&b'?')).then(|| redact::path(target));
    Some(Start::Request {
        method: redact::text(method),
        path,
        version,
    })
}

fn answer(line: &[u8]) -> Option<Start> {
    let version = version(line.get(..8)?)?;
    let code = line.get(9..12)?;
    let separated = line[8] == b' ' && matches!(line.get(12), None | Some(b' '));
    let digits = code.iter().all(u8::is_ascii_digit);
    let status = std::str::from_utf8(code).ok()?.parse().ok()?;
    (separated && digits && (100..=999).contains(&status))
        .then_some(Start::Answer { status, version })
}

fn version(text: &[u8]) -> Option<HttpVersion> {
    match text {
        b"HTTP/1.1" => Some(HttpVersion::Http11),
        b"HTTP/1.0" => Some(HttpVersion::Http10),
        _ => None,
    }
}
