//! One TCP connection: first its protocol is found, then that protocol's parser reads on.

use super::{Counts, IDLE_NS, OPAQUE_NS, Origin, Totals, Want, undecided::Undecided};
use crate::{
    classify::Protocol,
    conversation::{Conversation, Direction, Kept},
    dns, http1, http2, kafka,
    patience::Patience,
    record::{Http, Kafka, Record, Seen, Tls},
    stream::{Piece, Sample},
    template::Templates,
    tls,
};
use overdue::took;

mod overdue;

/// What connections share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) totals: Totals,
    pub(super) templates: Templates,
    pub(super) topics: kafka::TopicNames,
    patience: Patience,
    /// When a sample was heard last.
    pub(super) heard_ns: u64,
    /// Until when samples may have been lost, among them answers.
    pub(super) lost_ns: u64,
}

impl Shared {
    /// Counts something there was no room for.
    pub(super) fn over_budget(&mut self, protocol: Protocol) {
        let counts = Counts {
            over_budget: 1,
            ..Counts::default()
        };
        self.totals.add(protocol, counts);
    }

    /// Counts what DNS lost, and its records.
    pub(super) fn dns(&mut self, losses: dns::Losses, records: usize) {
        self.totals.add(
            Protocol::Dns,
            Counts {
                records: records as u64,
                malformed: losses.malformed,
                late: losses.late,
                over_budget: losses.over_budget,
                doubts: losses.gaps,
                ..Counts::default()
            },
        );
    }
}

/// Who reads the connection.
#[derive(Debug)]
enum Reader {
    Undecided(Undecided),
    Http1(Box<http1::Http1>),
    Http2(Box<http2::Http2>),
    Dns(Box<dns::OverTcp>),
    Tls(Box<tls::Handshake>),
    Kafka(Box<kafka::Connection>),
    Opaque,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// Not there once nothing more is read of it.
    live: Option<Box<Live>>,
    protocol: Protocol,
    pod: u16,
    seen_ns: u64,
}

/// What a connection takes that is read.
#[derive(Debug)]
struct Live {
    conversation: Conversation,
    reading: Reading,
    service: u64,
}

/// The reader, and what it needs beside the conversation.
#[derive(Debug)]
struct Reading {
    reader: Reader,
    protocol: Protocol,
    midway: bool,
}

impl Connection {
    pub(super) fn new(origin: Origin) -> Self {
        let reader = Reader::Undecided(Undecided::new(origin.hint));
        let live = Live {
            conversation: Conversation::default(),
            service: origin.service,
            reading: Reading {
                reader,
                protocol: Protocol::Other,
                midway: true,
            },
        };
        Self {
            live: Some(Box::new(live)),
            protocol: Protocol::Other,
            pod: origin.pod,
            seen_ns: 0,
        }
    }

    pub(super) fn segment(
        &mut self,
        direction: Direction,
        sample: Sample<'_>,
        shared: &mut Shared,
    ) -> Vec<Record> {
        self.seen_ns = self.seen_ns.max(sample.time_ns);
        self.read(shared, |live, out, shared| {
            // Without the client's own nobody knows whether what comes first of it is its beginning.
            if sample.syn && direction == Direction::ToServer {
                live.reading.midway = false;
            }
            let reading = &mut live.reading;
            live.conversation
                .push(direction, sample, &mut |direction, piece| {
                    reading.piece(direction, piece, shared, out);
                });
        })
    }

    pub(super) fn tick(&mut self, now_ns: u64, shared: &mut Shared) -> Vec<Record> {
        self.read(shared, |live, out, shared| {
            let reading = &mut live.reading;
            live.conversation.tick(now_ns, &mut |direction, piece| {
                reading.piece(direction, piece, shared, out);
            });
            reading.tick(now_ns, out);
            reading.overdue(live.service, now_ns, shared, out);
        })
    }

    pub(super) fn closed(&mut self, ends: Option<[u32; 2]>, shared: &mut Shared) -> Vec<Record> {
        self.read(shared, |live, out, shared| {
            let reading = &mut live.reading;
            let certain = live.conversation.finish(ends, &mut |direction, piece| {
                reading.piece(direction, piece, shared, out);
            });
            reading.closed(certain, shared, out);
        })
    }

    /// Reads on, completes the records, and counts them.
    fn read(
        &mut self,
        shared: &mut Shared,
        read: impl FnOnce(&mut Live, &mut Vec<Record>, &mut Shared),
    ) -> Vec<Record> {
        let mut records = Vec::new();
        let Some(live) = &mut self.live else {
            return records;
        };
        read(live, &mut records, shared);
        self.protocol = live.reading.protocol;
        if !records.is_empty() {
            let mut counts = Counts {
                records: records.len() as u64,
                ..Counts::default()
            };
            for record in &mut records {
                counts.unknown += u64::from(complete(record, live.service, &mut shared.templates));
                took(record, live.service, &mut shared.patience);
            }
            shared.totals.add(self.protocol, counts);
        }
        for mut late in live.reading.late() {
            complete(&mut late, live.service, &mut shared.templates);
            let is_answered = took(&late, live.service, &mut shared.patience);
            let counts = Counts {
                late: is_answered.into(),
                ..Counts::default()
            };
            shared.totals.add(self.protocol, counts);
        }
        if matches!(live.reading.reader, Reader::Opaque) {
            self.live = None;
        }
        records
    }

    pub(super) fn is_other(&self, direction: Direction, syn: u32) -> bool {
        // What is not read any more begins anew with any SYN.
        let live = self.live.as_ref();
        live.is_none_or(|live| live.conversation.is_other(direction, syn))
    }

    pub(super) fn is_idle(&self, now_ns: u64) -> bool {
        let kept = self.live.as_ref().map_or(OPAQUE_NS, |_| IDLE_NS);
        now_ns.saturating_sub(self.seen_ns) >= kept
    }

    pub(super) fn wants(&self) -> Want {
        let Some(live) = &self.live else {
            return Want::Nothing;
        };
        match live.reading.reader {
            Reader::Undecided(_) | Reader::Tls(_) => Want::Beginning,
            Reader::Http1(_) => Want::Heads,
            // Questions do not wait for answers: a length before each says where the next one is.
            Reader::Http2(_) | Reader::Kafka(_) | Reader::Dns(_) => Want::Frames,
            Reader::Opaque => Want::Nothing,
        }
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// On whose account it goes.
    pub(super) const fn pod(&self) -> u16 {
        self.pod
    }

    /// Whether anything is read of it.
    pub(super) const fn is_read(&self) -> bool {
        self.live.is_some()
    }

    /// Octets that it takes.
    pub(super) fn octets(&self) -> usize {
        let live = self.live.as_ref().map_or(0, |live| {
            let reader = match &live.reading.reader {
                Reader::Undecided(undecided) => undecided.octets(),
                Reader::Http1(http) => http.octets(),
                Reader::Http2(http) => http.octets(),
                Reader::Dns(dns) => dns.octets(),
                Reader::Tls(tls) => tls.octets(),
                Reader::Kafka(kafka) => kafka.octets(),
                Reader::Opaque => 0,
            };
            size_of::<Live>() + live.conversation.held_octets() + reader
        });
        size_of::<Self>() + live
    }

    /// Is not read any more.
    pub(super) fn drop_state(&mut self) {
        self.live = None;
    }
}

/// Gives a record what the parser does not know; says whether it lacks what names it.
fn complete(record: &mut Record, service: u64, templates: &mut Templates) -> bool {
    match record {
        Record::Http(http) => {
            name(http, service, templates);
            http.method == Seen::Unknown
                || http.path == Seen::Unknown
                || http.status == Seen::Unknown
        }
        Record::Dns(_) => false,
        Record::Kafka(kafka) => {
            let unnamed = kafka.topics.iter().any(|topic| topic.name == Seen::Unknown);
            unnamed || !kafka.all_topics
        }
        Record::Tls(tls) => tls.server_name == Seen::Unknown,
    }
}

/// Gives a request its template.
fn name(http: &mut Http, service: u64, templates: &mut Templates) {
    http.template = match &http.path {
        Seen::Known(path) => Seen::Known(templates.of(service, path)),
        Seen::Absent => Seen::Absent,
        Seen::Unknown => Seen::Unknown,
    };
}

impl Reading {
    fn piece(
        &mut self,
        direction: Direction,
        piece: Piece<'_>,
        shared: &mut Shared,
        out: &mut Vec<Record>,
    ) {
        if let Piece::Gap { octets, .. } = piece {
            let counts = Counts {
                gaps: 1,
                gap_octets: octets,
                ..Counts::default()
            };
            shared.totals.add(self.protocol, counts);
        }
        let Reader::Undecided(undecided) = &mut self.reader else {
            self.read(direction, piece, shared, out);
            return;
        };
        let Some(protocol) = undecided.take(direction, piece, self.midway) else {
            return;
        };
        let kept = self.decided(protocol, shared);
        for (direction, kept) in kept {
            self.read(direction, kept.piece(), shared, out);
        }
    }

    /// Begins to read as this protocol; gives what was kept until now.
    fn decided(&mut self, protocol: Protocol, shared: &mut Shared) -> Vec<(Direction, Kept)> {
        self.protocol = protocol;
        let reader = match protocol {
            Protocol::Http1 => Reader::Http1(Box::new(http1::Http1::new(self.midway))),
            Protocol::Http2 => Reader::Http2(Box::new(http2::Http2::new(self.midway))),
            Protocol::Dns => Reader::Dns(Box::new(dns::OverTcp::new(self.midway))),
            Protocol::Kafka => Reader::Kafka(Box::new(kafka::Connection::new(self.midway))),
            Protocol::Tls => Reader::Tls(Box::new(tls::Handshake::new(self.midway))),
            Protocol::Other => Reader::Opaque,
        };
        let counts = Counts {
            other: u64::from(protocol == Protocol::Other),
            midway: self.midway.into(),
            ..Counts::default()
        };
        shared.totals.add(protocol, counts);
        match std::mem::replace(&mut self.reader, reader) {
            Reader::Undecided(undecided) => undecided.into_kept(),
            _ => Vec::new(),
        }
    }

    fn read(
        &mut self,
        direction: Direction,
        piece: Piece<'_>,
        shared: &mut Shared,
        out: &mut Vec<Record>,
    ) {
        match &mut self.reader {
            Reader::Http1(http) => {
                let before = http.doubts;
                let mut records = Vec::new();
                let upgrade = http.piece(direction, piece, &mut records);
                let counts = Counts {
                    doubts: http.doubts - before,
                    ..Counts::default()
                };
                shared.totals.add(Protocol::Http1, counts);
                push_http(records, out);
                if let Some(upgrade) = upgrade {
                    self.upgrade(direction, piece, upgrade, shared, out);
                }
            }
            Reader::Http2(http) => {
                let before = (http.doubts, http.over_budget);
                let mut records = Vec::new();
                http.piece(direction, piece, &mut records);
                let counts = Counts {
                    doubts: http.doubts - before.0,
                    over_budget: http.over_budget - before.1,
                    ..Counts::default()
                };
                shared.totals.add(Protocol::Http2, counts);
                push_http(records, out);
            }
            Reader::Dns(dns) => {
                let mut records = Vec::new();
                dns.piece(direction, piece, &mut records);
                push_dns(records, out);
            }
            Reader::Tls(tls) => {
                let mut records = Vec::new();
                tls.piece(direction, piece, &mut records);
                if tls.is_over() {
                    self.reader = Reader::Opaque;
                }
                push_tls(records, out);
            }
            Reader::Kafka(kafka) => {
                let mut records = Vec::new();
                kafka.piece(direction, piece, &mut shared.topics, &mut records);
                let counts = Counts {
                    doubts: std::mem::take(&mut kafka.doubts),
                    malformed: std::mem::take(&mut kafka.malformed),
                    over_budget: std::mem::take(&mut kafka.over_budget),
                    ..Counts::default()
                };
                shared.totals.add(Protocol::Kafka, counts);
                push_kafka(records, out);
            }
            Reader::Undecided(_) | Reader::Opaque => {}
        }
    }

    /// Reads on as HTTP/2, to which a request over HTTP/1 led.
    fn upgrade(
        &mut self,
        direction: Direction,
        piece: Piece<'_>,
        upgrade: http1::Upgrade,
        shared: &mut Shared,
        out: &mut Vec<Record>,
    ) {
        self.protocol = Protocol::Http2;
        self.reader = Reader::Http2(Box::new(http2::Http2::upgraded(
            upgrade.request,
            upgrade.told,
        )));
        if let Piece::Octets {
            octets, time_ns, ..
        } = piece
            && upgrade.left > 0
        {
            let rest = Piece::Octets {
                octets: &octets[octets.len() - upgrade.left..],
                begins: false,
                time_ns,
            };
            self.read(direction, rest, shared, out);
        }
    }

    fn tick(&mut self, now_ns: u64, out: &mut Vec<Record>) {
        match &mut self.reader {
            Reader::Dns(dns) => {
                let mut records = Vec::new();
                dns.tick(now_ns, &mut records);
                push_dns(records, out);
            }
            Reader::Http2(http) => {
                let mut records = Vec::new();
                http.tick(now_ns, &mut records);
                push_http(records, out);
            }
            Reader::Undecided(_)
            | Reader::Http1(_)
            | Reader::Tls(_)
            | Reader::Kafka(_)
            | Reader::Opaque => {}
        }
    }

    fn closed(&mut self, certain: bool, shared: &mut Shared, out: &mut Vec<Record>) {
        if matches!(self.reader, Reader::Undecided(_)) {
            self.decided(Protocol::Other, shared);
        }
        match &mut self.reader {
            Reader::Http1(http) => {
                let mut records = Vec::new();
                http.closed(certain, &mut records);
                push_http(records, out);
            }
            Reader::Http2(http) => {
                let mut records = Vec::new();
                http.closed(certain, &mut records);
                push_http(records, out);
            }
            Reader::Dns(dns) => {
                let mut records = Vec::new();
                dns.closed(certain, &mut records);
                shared.dns(dns.losses(), 0);
                push_dns(records, out);
            }
            Reader::Tls(tls) => {
                let mut records = Vec::new();
                tls.closed(certain, &mut records);
                push_tls(records, out);
            }
            Reader::Kafka(kafka) => {
                let mut records = Vec::new();
                kafka.closed(certain, &shared.topics, &mut records);
                push_kafka(records, out);
            }
            Reader::Undecided(_) | Reader::Opaque => {}
        }
    }
}

fn push_http(records: Vec<Http>, out: &mut Vec<Record>) {
    out.extend(records.into_iter().map(|http| Record::Http(Box::new(http))));
}

fn push_kafka(records: Vec<Kafka>, out: &mut Vec<Record>) {
    out.extend(
        records
            .into_iter()
            .map(|kafka| Record::Kafka(Box::new(kafka))),
    );
}

fn push_tls(records: Vec<Tls>, out: &mut Vec<Record>) {
    out.extend(records.into_iter().map(|tls| Record::Tls(Box::new(tls))));
}

fn push_dns(records: Vec<crate::record::Dns>, out: &mut Vec<Record>) {
    out.extend(records.into_iter().map(|dns| Record::Dns(Box::new(dns))));
}
