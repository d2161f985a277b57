//! As much of HTTP/1.1 as one request and its answer over a local stream need.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Bytes an answer's status line and header fields may take.
const HEAD_LIMIT: usize = 64 * 1024;
const HEADERS_MAX: usize = 64;
/// Bytes a chunk's size line or a trailer line may take.
const LINE_LIMIT: u64 = 4096;

/// When a peer that does not answer is given up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// At this moment, however much arrived.
    Until(Instant),
    /// Never: for streams that last.
    Endless,
}

/// A stream whose every read and write ends at a deadline.
#[derive(Debug)]
pub(crate) struct Timed {
    stream: UnixStream,
    patience: Patience,
}

impl Timed {
    pub(crate) fn new(stream: UnixStream, deadline: Instant) -> Self {
        Self {
            stream,
            patience: Patience::Until(deadline),
        }
    }

    pub(crate) fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        match self.patience {
            Patience::Endless => Ok(None),
            Patience::Until(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    Err(io::ErrorKind::TimedOut.into())
                } else {
                    Ok(Some(left))
                }
            }
        }
    }
}

/// A socket time-out shows as `WouldBlock`; callers want one kind for both.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        io::ErrorKind::TimedOut.into()
    } else {
        error
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer).map_err(timed_out)
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buffer).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// After so many further bytes.
    Length(u64),
    /// In the middle of a chunk, after so many further bytes of it.
    Chunk(u64),
    /// Before a chunk's size line.
    ChunkHead,
    /// With the connection.
    Close,
    /// Here.
    Done,
}

/// An answer's head, and its body still in the stream.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    framing: Framing,
    reader: BufReader<Timed>,
}

fn malformed(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

impl Answer {
    /// Reads the head of the final answer; interim ones (1xx) are skipped.
    pub(crate) fn read(stream: Timed) -> io::Result<Self> {
        let mut reader = BufReader::new(stream);
        loop {
            let head = read_head(&mut reader)?;
            let (status, framing) = parse_head(&head)?;
            if status >= 200 {
                let framing = if matches!(status, 204 | 304) {
                    Framing::Done
                } else {
                    framing
                };
                return Ok(Self {
                    status,
                    framing,
                    reader,
                });
            }
        }
    }

    pub(crate) fn set_patience(&mut self, patience: Patience) {
        self.reader.get_mut().set_patience(patience);
    }

    /// Reads the line before a chunk, or after the last one the trailers.
    fn next_chunk(&mut self) -> io::Result<()> {
        let line = read_line(&mut self.reader)?;
        let size = line
            .split(|&b| b == b';')
            .next()
            .unwrap_or(&[])
            .trim_ascii();
        let size = std::str::from_utf8(size)
            .ok()
            .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|text| u64::from_str_radix(text, 16).ok())
            .ok_or_else(|| malformed("a chunk's size is not a hexadecimal number"))?;
        if size > 0 {
            self.framing = Framing::Chunk(size);
            return Ok(());
        }
        let mut trailers = 0;
        while !read_line(&mut self.reader)?.is_empty() {
            trailers += 1;
            if trailers > HEADERS_MAX {
                return Err(malformed("too many trailer lines"));
            }
        }
        self.framing = Framing::Done;
        Ok(())
    }
}

impl Read for Answer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.framing == Framing::ChunkHead {
            self.next_chunk()?;
        }
        let left = match self.framing {
            Framing::Done | Framing::Length(0) => return Ok(0),
            Framing::Close | Framing::ChunkHead => return self.reader.read(buffer),
            Framing::Length(left) | Framing::Chunk(left) => left,
        };
        let want = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let got = self.reader.read(&mut buffer[..want])?;
        if got == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the connection ended inside the body",
            ));
        }
        let left = left - got as u64;
        self.framing = match self.framing {
            Framing::Chunk(_) if left > 0 => Framing::Chunk(left),
            Framing::Chunk(_) => {
                if !read_line(&mut self.reader)?.is_empty() {
                    return Err(malformed("a chunk is longer than its size"));
                }
                Framing::ChunkHead
            }
            _ => Framing::Length(left),
        };
        Ok(got)
    }
}

fn read_head(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    loop {
        let room = (HEAD_LIMIT - head.len()) as u64;
        let got = reader.take(room).read_until(b'\n', &mut head)?;
        if head.ends_with(b"\r\n\r\n") || head.ends_with(b"\n\n") {
            return Ok(head);
        }
        if got == 0 || !head.ends_with(b"\n") {
            let what = if head.len() >= HEAD_LIMIT {
                "the head is longer than 64 KiB"
            } else {
                "the connection ended inside the head"
            };
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        }
    }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.take(LINE_LIMIT).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the connection ended inside a chunk line",
        ));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

fn parse_head(head: &[u8]) -> io::Result<(u16, Framing)> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(head) {
        Ok(httparse::Status::Complete(_)) => (),
        Ok(httparse::Status::Partial) => return Err(malformed("the head is incomplete")),
        Err(error) => return Err(malformed(format!("the head is not HTTP: {error}"))),
    }
    let status = response
        .code
        .ok_or_else(|| malformed("the head has no status"))?;
    let mut framing = Framing::Close;
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !header.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(malformed("a transfer encoding other than chunked"));
            }
            framing = Framing::ChunkHead;
        } else if header.name.eq_ignore_ascii_case("content-length")
            && framing != Framing::ChunkHead
        {
            let length = std::str::from_utf8(header.value)
                .ok()
                .and_then(|text| text.trim().parse().ok());
            framing =
                Framing::Length(length.ok_or_else(|| malformed("Content-Length is not a number"))?);
        }
    }
    Ok((status, framing))
}
