//! What answers of Kafka say: errors, octets of topics, sessions, and which name a topic's number stands for.

use super::{
    api::{
        API_VERSIONS, CONSUMER_GROUP_HEARTBEAT, CREATE_TOPICS, FETCH, FIND_COORDINATOR, HEARTBEAT,
        JOIN_GROUP, LEAVE_GROUP, METADATA, OFFSET_COMMIT, OFFSET_FETCH, PRODUCE, SYNC_GROUP,
    },
    requests::{COMMIT_BY_ID, FETCH_BY_ID, PRODUCE_BY_ID, push, topic},
    topics::Topic,
    wire::Body,
};

/// One topic of an answer.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) topic: Topic,
    /// Octets of its records, if all of them were counted.
    pub(super) octets: Option<u64>,
    /// First code that is not zero.
    pub(super) error: i16,
    /// All of its codes were read.
    pub(super) whole: bool,
}

/// What was read of an answer. A list is what was there; the message may have ended early.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// First code that is not zero, of the whole or of one of its parts.
    pub(super) error: i16,
    pub(super) parts: Vec<Part>,
    /// Number of a session.
    pub(super) session: Option<i32>,
    /// Numbers and names of topics.
    pub(super) names: Vec<([u8; 16], Vec<u8>)>,
    /// All of it was read.
    pub(super) whole: bool,
}

impl Told {
    /// All partitions of the last topic were read.
    fn topic_ends(&mut self) {
        if let Some(part) = self.parts.last_mut() {
            part.whole = true;
        }
    }

    fn note(&mut self, code: i16) {
        if self.error == 0 {
            self.error = code;
        }
    }
}

/// Reads the body of an answer.
pub(super) fn read(key: i16, body: &mut Body<'_>) -> Told {
    let mut told = Told::default();
    let read = match key {
        PRODUCE => produce(body, &mut told),
        FETCH => fetch(body, &mut told),
        METADATA => metadata(body, &mut told),
        OFFSET_COMMIT => commit(body, &mut told),
        OFFSET_FETCH => committed(body, &mut told),
        FIND_COORDINATOR => coordinator(body, &mut told),
        JOIN_GROUP => code(body, 2, &mut told),
        HEARTBEAT | LEAVE_GROUP | SYNC_GROUP => code(body, 1, &mut told),
        CONSUMER_GROUP_HEARTBEAT => code(body, 0, &mut told),
        API_VERSIONS => code(body, i16::MAX, &mut told),
        CREATE_TOPICS => created(body, &mut told),
        // The code is somewhere in it.
        _ => None,
    };
    told.whole = read.is_some();
    told
}

/// A code behind the time for which a client is slowed down, which is there from a version on.
fn code(body: &mut Body<'_>, throttled: i16, told: &mut Told) -> Option<()> {
    body.skip_from(throttled, 4)?;
    let code = body.i16()?;
    told.note(code);
    Some(())
}

fn produce(body: &mut Body<'_>, told: &mut Told) -> Option<()> {
    for _ in 0..body.array()? {
        let topic = topic(body, PRODUCE_BY_ID)?;
        push(
            &mut told.parts,
            Part {
                topic,
                octets: None,
                error: 0,
                whole: false,
            },
        )?;
        for _ in 0..body.array()? {
            body.skip(4)?;
            part_code(body, told)?;
            body.skip(8)?;
            body.skip_from(2, 8)?;
            body.skip_from(5, 8)?;
            if body.version >= 8 {
                for _ in 0..body.array()? {
                    body.skip(4)?;
                    body.string()?;
                    body.tags()?;
                }
                body.string()?;
            }
            body.tags()?;
        }
        told.topic_ends();
        body.tags()?;
    }
    body.skip_from(1, 4)?;
    body.tags()
}

/// The code of a partition of the last topic.
fn part_code(body: &mut Body<'_>, told: &mut Told) -> Option<()> {
    let code = body.i16()?;
    told.note(code);
    if let Some(part) = told.parts.last_mut().filter(|part| part.error == 0) {
        part.error = code;
    }
    Some(())
}

fn fetch(body: &mut Body<'_>, told: &mut Told) -> Option<()> {
    body.skip_from(1, 4)?;
    if body.version >= 7 {
        let code = body.i16()?;
        told.note(code);
        told.session = Some(body.i32()?);
    }
    for _ in 0..body.array()? {
        let topic = topic(body, FETCH_BY_ID)?;
        push(
            &mut told.parts,
            Part {
                topic,
                octets: None,
                error: 0,
                whole: false,
            },
        )?;
        let mut octets = 0;
        for _ in 0..body.array()? {
            octets += fetched(body, told)?;
        }
        told.topic_ends();
        body.tags()?;
        if let Some(part) = told.parts.last_mut() {
            part.octets = Some(octets);
        }
    }
    body.tags()
}

/// A partition of a fetch: the octets of its records.
fn fetched(body: &mut Body<'_>, told: &mut Told) -> Option<u64> {
    body.skip(4)?;
    part_code(body, told)?;
    body.skip(8)?;
    body.skip_from(4, 8)?;
    body.skip_from(5, 8)?;
    if body.version >= 4 {
        for _ in 0..body.array()? {
            body.skip(16)?;
            body.tags()?;
        }
    }
    body.skip_from(11, 4)?;
    let length = body.length()?;
    body.skip(length)?;
    body.tags()?;
    Some(length as u64)
}

fn metadata(body: &mut Body<'_>, told: &mut Told) -> Option<()> {
    body.skip_from(3, 4)?;
    for _ in 0..body.array()? {
        body.skip(4)?;
        body.string()?;
        body.skip(4)?;
        body.skip_string_from(1)?;
        body.tags()?;
    }
    body.skip_string_from(2)?;
    body.skip_from(1, 4)?;
    for _ in 0..body.array()? {
        let code = body.i16()?;
        told.note(code);
        let name = body.string()?;
        if body.version >= 10 {
            let id = body.id()?;
            told.learn(id, name);
        }
        body.skip_from(1, 1)?;
        for _ in 0..body.array()? {
            let code = body.i16()?;
            told.note(code);
            body.skip(8)?;
            body.skip_from(7, 4)?;
            body.skip_array(4)?;
            body.skip_array(4)?;
            if body.version >= 5 {
                body.skip_array(4)?;
            }
            body.tags()?;
        }
        body.skip_from(8, 4)?;
        body.tags()?;
    }
    if (8..=10).contains(&body.version) {
        body.skip(4)?;
    }
    if body.version >= 13 {
        let code = body.i16()?;
        told.note(code);
    }
    body.tags()
}

impl Told {
    /// Number and name of a topic, if it has both.
    fn learn(&mut self, id: [u8; 16], name: &[u8]) {
        if !name.is_empty() && id != [0; 16] {
            self.names.push((id, name.to_vec()));
        }
    }
}

fn commit(body: &mut Body<'_>, told: &mut Told) -> Option<()> {
    body.skip_from(3, 4)?;
    for _ in 0..body.array()? {
        let topic = topic(body, COMMIT_BY_ID)?;
        push(
            &mut told.parts,
            Part {
                topic,
                octets: None,
                error: 0,
                whole: false,
            },
        )?;
        for _ in 0..body.array()? {
            body.skip(4)?;
            part_code(body, told)?;
            body.tags()?;
        }
        told.topic_ends();
        body.tags()?;
    }
    body.tags()
}

fn committed(body: &mut Body<'_>, told: &mut Told) -> Option<()> {
    body.skip_from(3, 4)?;
    if body.version < 8 {
        committed_of_topics(body, told)?;
        if body.version >= 2 {
            let code = body.i16()?;
            told.note(code);
        }
        return body.tags();
    }
    for _ in 0..body.array()? {
        body.string()?;
        committed_of_topics(body, told)?;
        let code = body.i16()?;
        told.note(code);
        body.tags()?;
    }
    body.tags()
}

fn committed_of_topics(body: &mut Body<'_>, told: &mut Told) -> Option<()> {
    for _ in 0..body.array()? {
        topic(body, COMMIT_BY_ID)?;
        for _ in 0..body.array()? {
            body.skip(4 + 8)?;
            body.skip_from(5, 4)?;
            body.string()?;
            let code = body.i16()?;
            told.note(code);
            body.tags()?;
        }
        body.tags()?;
    }
    Some(())
}

fn coordinator(body: &mut Body<'_>, told: &mut Told) -> Option<()> {
    body.skip_from(1, 4)?;
    if body.version < 4 {
        let code = body.i16()?;
        told.note(code);
        return Some(());
    }
    for _ in 0..body.array()? {
        body.string()?;
        body.skip(4)?;
        body.string()?;
        body.skip(4)?;
        let code = body.i16()?;
        told.note(code);
        body.string()?;
        body.tags()?;
    }
    body.tags()
}

fn created(body: &mut Body<'_>, told: &mut Told) -> Option<()> {
    body.skip_from(2, 4)?;
    for _ in 0..body.array()? {
        let name = body.string()?;
        if body.version >= 7 {
            let id = body.id()?;
            told.learn(id, name);
        }
        let code = body.i16()?;
        told.note(code);
        body.skip_string_from(1)?;
        if body.version >= 5 {
            body.skip(6)?;
            for _ in 0..body.array()? {
                body.string()?;
                body.string()?;
                body.skip(3)?;
                body.tags()?;
            }
        }
        body.tags()?;
    }
    body.tags()
}
