//! Which names do not exist only because a search list asks for them: of the names that a client tries one after the other,
//! one is meant.
//!
//! A stub resolver appends each domain of its search list to a name, and asks also for the name itself. What it tries has
//! the name's labels in front, and behind them more or fewer of the same domains.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use api::hubble::answers::Edge;

/// What a client tries is tried within this time.
const SEARCH_NS: u64 = 1_000_000_000;
/// Answers that are remembered of one client.
const ANSWERS: usize = 64;
/// Clients of which answers are remembered; when there are more, the others are forgotten.
const CLIENTS: usize = 4096;

/// An answer that there is no such name, of a question to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub edge: Arc<Edge>,
    pub qname: String,
    pub qtype: u16,
}

#[derive(Debug)]
struct Answer {
    time_ns: u64,
    qname: String,
    /// The question, if it has no such name as its answer and nothing excuses it yet.
    missing: Option<Missing>,
    exists: bool,
}

/// Answers of late, by client.
#[derive(Debug, Default)]
pub(crate) struct Searches {
    clients: HashMap<IpAddr, VecDeque<Answer>>,
}

impl Searches {
    /// Takes an answer that a name exists; those that were of the same search.
    pub(crate) fn exists(&mut self, client: IpAddr, qname: &str, now_ns: u64) -> Vec<Missing> {
        let answers = self.of(client, now_ns);
        let excused = excused(answers, |missing| is_sibling(&missing.qname, qname));
        remember(answers, qname, None, now_ns);
        excused
    }

    /// Takes an answer that there is no such name; those that are no failures by now: itself, or longer ones.
    pub(crate) fn missing(
        &mut self,
        client: IpAddr,
        missing: Missing,
        now_ns: u64,
    ) -> Vec<Missing> {
        let answers = self.of(client, now_ns);
        let qname = missing.qname.clone();
        let is_shorter = |of: &str| labels(of).count() < labels(&qname).count();
        let is_one_of_search = answers
            .iter()
            .any(|of| is_sibling(&of.qname, &qname) && (of.exists || is_shorter(&of.qname)));
        if is_one_of_search {
            return vec![missing];
        }
        let excused = excused(answers, |of| {
            is_sibling(&of.qname, &qname) && labels(&of.qname).count() > labels(&qname).count()
        });
        remember(answers, &qname, Some(missing), now_ns);
        excused
    }

    fn of(&mut self, client: IpAddr, now_ns: u64) -> &mut VecDeque<Answer> {
        let is_old = |answer: &Answer| now_ns.saturating_sub(answer.time_ns) > SEARCH_NS;
        if self.clients.len() >= CLIENTS && !self.clients.contains_key(&client) {
            self.clients
                .retain(|_, answers| answers.back().is_some_and(|last| !is_old(last)));
            if self.clients.len() >= CLIENTS {
                self.clients.clear();
            }
        }
        let answers = self.clients.entry(client).or_default();
        while answers.len() >= ANSWERS || answers.front().is_some_and(is_old) {
            answers.pop_front();
        }
        answers
    }
}

fn remember(answers: &mut VecDeque<Answer>, qname: &str, missing: Option<Missing>, time_ns: u64) {
    answers.push_back(Answer {
        time_ns,
        qname: qname.to_owned(),
        exists: missing.is_none(),
        missing,
    });
}

fn excused(answers: &mut VecDeque<Answer>, is_excused: impl Fn(&Missing) -> bool) -> Vec<Missing> {
    let open = answers.iter_mut();
    open.filter(|of| of.missing.as_ref().is_some_and(&is_excused))
        .filter_map(|of| of.missing.take())
        .collect()
}

fn labels(name: &str) -> impl DoubleEndedIterator<Item = &str> {
    name.split('.')
}

/// Whether one name is the other without some labels behind the first.
fn is_sibling(one: &str, other: &str) -> bool {
    let (shorter, longer) = if labels(one).count() < labels(other).count() {
        (one, other)
    } else {
        (other, one)
    };
    let all = labels(shorter).count();
    if one == other || labels(longer).count() == all {
        return false;
    }
    let alike = |(a, b): &(&str, &str)| a == b;
    let front = labels(shorter).zip(labels(longer));
    let front = front.take_while(alike).count();
    let back = labels(shorter).rev().zip(labels(longer).rev());
    let back = back.take_while(alike).count();
    front > 0 && front + back >= all
}

#[cfg(test)]
mod tests;
