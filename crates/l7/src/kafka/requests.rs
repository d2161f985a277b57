//! What requests of Kafka say: topics, groups, sessions.

use super::{
    PARTITIONS, TOPICS,
    api::{
        CONSUMER_GROUP_HEARTBEAT, FETCH, FIND_COORDINATOR, HEARTBEAT, JOIN_GROUP, LEAVE_GROUP,
        OFFSET_COMMIT, OFFSET_FETCH, PRODUCE, SYNC_GROUP,
    },
    topics::Topic,
    wire::Body,
};

/// First version of each call with a topic's number instead of its name.
pub(super) const PRODUCE_BY_ID: i16 = 13;
pub(super) const FETCH_BY_ID: i16 = 13;
pub(super) const COMMIT_BY_ID: i16 = 10;

/// What was read of a request. A list is what was there; the message may have ended early.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) group: Option<Vec<u8>>,
    /// Topics with the octets of their records.
    pub(super) topics: Vec<(Topic, Option<u64>)>,
    /// Partitions that are fetched.
    pub(super) fetched: Vec<(Topic, i32)>,
    /// Partitions that a session is not to have any more.
    pub(super) forgotten: Vec<(Topic, i32)>,
    /// Number and epoch of a session.
    pub(super) session: Option<(i32, i32)>,
    /// No answer will come.
    pub(super) unanswered: bool,
    /// All of it was read.
    pub(super) whole: bool,
}

/// Reads the body of a request.
pub(super) fn read(key: i16, body: &mut Body<'_>) -> Asked {
    let mut asked = Asked::default();
    let read = match key {
        PRODUCE => produce(body, &mut asked),
        FETCH => fetch(body, &mut asked),
        OFFSET_COMMIT => commit(body, &mut asked),
        OFFSET_FETCH if body.version >= 8 => groups(body, &mut asked),
        FIND_COORDINATOR => coordinator(body, &mut asked),
        OFFSET_FETCH
        | JOIN_GROUP
        | HEARTBEAT
        | LEAVE_GROUP
        | SYNC_GROUP
        | CONSUMER_GROUP_HEARTBEAT => group(body, &mut asked),
        _ => Some(()),
    };
    asked.whole = read.is_some();
    asked
}

fn group(body: &mut Body<'_>, asked: &mut Asked) -> Option<()> {
    asked.group = Some(body.string()?.to_vec());
    Some(())
}

fn groups(body: &mut Body<'_>, asked: &mut Asked) -> Option<()> {
    if body.array()? == 1 {
        group(body, asked)?;
    }
    Some(())
}

/// Of a group (type 0), not of a transaction.
fn coordinator(body: &mut Body<'_>, asked: &mut Asked) -> Option<()> {
    if body.version < 4 {
        let name = body.string()?;
        let kind = if body.version >= 1 { body.i8()? } else { 0 };
        asked.group = (kind == 0).then(|| name.to_vec());
        return body.tags();
    }
    if body.i8()? == 0 {
        groups(body, asked)?;
    }
    Some(())
}

/// A topic by its name, or by its number from a version on.
pub(super) fn topic(body: &mut Body<'_>, by_id: i16) -> Option<Topic> {
    if body.version >= by_id {
        return body.id().map(Topic::Id);
    }
    Some(Topic::named(body.string()?))
}

fn produce(body: &mut Body<'_>, asked: &mut Asked) -> Option<()> {
    body.skip_string_from(3)?;
    asked.unanswered = body.i16()? == 0;
    body.skip(4)?;
    for _ in 0..body.array()? {
        let topic = topic(body, PRODUCE_BY_ID)?;
        let mut records = Some(0);
        let read = partitions_with_records(body, &mut records);
        if read.is_none() {
            records = None;
        }
        push(&mut asked.topics, (topic, records))?;
        read?;
    }
    body.tags()
}

fn partitions_with_records(body: &mut Body<'_>, records: &mut Option<u64>) -> Option<()> {
    for _ in 0..body.array()? {
        body.skip(4)?;
        let length = body.length()?;
        if let Some(records) = records {
            *records += length as u64;
        }
        body.skip(length)?;
        body.tags()?;
    }
    body.tags()
}

fn fetch(body: &mut Body<'_>, asked: &mut Asked) -> Option<()> {
    if body.version < 15 {
        body.skip(4)?;
    }
    body.skip(8)?;
    body.skip_from(3, 4)?;
    body.skip_from(4, 1)?;
    if body.version >= 7 {
        asked.session = Some((body.i32()?, body.i32()?));
    }
    for _ in 0..body.array()? {
        let topic = topic(body, FETCH_BY_ID)?;
        for _ in 0..body.array()? {
            let partition = body.i32()?;
            push_partition(&mut asked.fetched, &topic, partition)?;
            body.skip(8 + 4)?;
            body.skip_from(5, 8)?;
            body.skip_from(9, 4)?;
            body.skip_from(12, 4)?;
            body.tags()?;
        }
        body.tags()?;
    }
    if body.version >= 7 {
        for _ in 0..body.array()? {
            let topic = topic(body, FETCH_BY_ID)?;
            for _ in 0..body.array()? {
                let partition = body.i32()?;
                push_partition(&mut asked.forgotten, &topic, partition)?;
            }
            body.tags()?;
        }
    }
    body.skip_string_from(11)?;
    body.tags()
}

fn commit(body: &mut Body<'_>, asked: &mut Asked) -> Option<()> {
    group(body, asked)?;
    body.skip_from(1, 4)?;
    body.skip_string_from(1)?;
    body.skip_string_from(7)?;
    if (2..=4).contains(&body.version) {
        body.skip(8)?;
    }
    for _ in 0..body.array()? {
        let topic = topic(body, COMMIT_BY_ID)?;
        push(&mut asked.topics, (topic, None))?;
        for _ in 0..body.array()? {
            body.skip(4 + 8)?;
            body.skip_from(6, 4)?;
            if body.version == 1 {
                body.skip(8)?;
            }
            body.string()?;
            body.tags()?;
        }
        body.tags()?;
    }
    body.tags()
}

fn push_partition(list: &mut Vec<(Topic, i32)>, topic: &Topic, partition: i32) -> Option<()> {
    (list.len() < PARTITIONS).then(|| list.push((topic.clone(), partition)))
}

/// Adds to a list that has a bound.
pub(super) fn push<T>(list: &mut Vec<T>, item: T) -> Option<()> {
    (list.len() < TOPICS).then(|| list.push(item))
}
