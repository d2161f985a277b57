//! What connections say: messages that are sent, and the records that they are.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use l7::conversation::Direction;
use l7::record::{
    Dns, DnsAnswer, DnsData, DnsOutcome, Ending, Http, HttpVersion, Kafka, KafkaTopic,
    Record as Said, Seen, Tls, TlsEnding,
};
use rand::Rng;
use rand::rngs::StdRng;

use super::octets::{self, Kafka as Message};
use super::talk::{Form, Talk, Times};

/// One of so many last requests has no answer.
const UNANSWERED: u32 = 16;

/// A time that servers take, from 100 µs to 300 ms.
pub(super) fn latency(random: &mut StdRng) -> Duration {
    let tens = random.random_range(0..3_u32);
    Duration::from_micros(random.random_range(100..300) * 10_u64.pow(tens) + 1)
}

fn form(random: &mut StdRng, talk: &Talk, way: u8, length: usize) -> Form {
    let at = random.random_range(1..length.min(500));
    let may_split = length < 500 && talk.may_split(way);
    match random.random_range(0..12) {
        0 if may_split => Form::Split(at),
        1 if may_split => Form::Reordered(at),
        2 if length < 500 && talk.may_split(way) => Form::Twice,
        _ => Form::Plain,
    }
}

fn says(random: &mut StdRng, talk: &mut Talk, way: u8, octets: &[u8]) -> Times {
    let form = form(random, talk, way, octets.len());
    talk.says(way, octets, form)
}

fn one_of<T: Copy>(random: &mut StdRng, all: &[T]) -> T {
    all[random.random_range(0..all.len())]
}

/// Requests over HTTP, one after the other.
pub(super) fn http(random: &mut StdRng, talk: &mut Talk, number: u64) -> Vec<Said> {
    let count = random.random_range(1..=4);
    let mut said = Vec::new();
    for turn in 0..count {
        let is_last = turn + 1 == count;
        let is_answered = !is_last || random.random_range(0..UNANSWERED) > 0;
        let http = request(random, talk, number * 4 + turn, is_answered);
        said.push(Said::Http(Box::new(http)));
        talk.wait(Duration::from_millis(random.random_range(0..20)));
    }
    said
}

fn request(random: &mut StdRng, talk: &mut Talk, id: u64, is_answered: bool) -> Http {
    let method = one_of(random, &["GET", "GET", "POST", "DELETE"]);
    let (path, template) = match random.random_range(0..3) {
        0 => (format!("/carts/{id}"), "/carts/{id}"),
        1 => (format!("/orders/{id}/items"), "/orders/{id}/items"),
        _ => (format!("/v1/users/{id}"), "/v1/users/{id}"),
    };
    let body = if method == "POST" {
        random.random_range(1..200)
    } else {
        0
    };
    let trace = format!("00-{:032x}-{:016x}-01", id + 1, id + 2);
    let trace = (random.random_range(0..3) == 0).then_some(trace);
    let octets = octets::request(method, &path, "shop.example", trace.as_deref(), body);
    let asked = says(random, talk, 0, &octets);
    let mut http = Http {
        version: HttpVersion::Http11,
        method: Seen::Known(method.to_owned()),
        path: Seen::Known(path),
        template: Seen::Known(template.to_owned()),
        host: Seen::Known("shop.example".to_owned()),
        status: Seen::Absent,
        request_octets: Seen::Known(body as u64),
        response_octets: Seen::Unknown,
        start_ns: Some(asked.first_ns),
        answer_ns: None,
        end_ns: None,
        traceparent: Seen::certain(trace),
        grpc: Seen::Absent,
        ending: Ending::Closed,
    };
    if is_answered {
        talk.wait(latency(random));
        let status = one_of(random, &[200, 200, 200, 201, 204, 301, 404, 429, 500, 503]);
        let body = if status == 204 {
            0
        } else {
            random.random_range(0..3000)
        };
        let told = says(random, talk, 1, &octets::answer(status, body));
        http.status = Seen::Known(status);
        http.response_octets = Seen::Known(body as u64);
        http.answer_ns = Some(told.first_ns);
        http.end_ns = Some(told.last_ns);
        http.ending = Ending::Whole;
    }
    http
}

/// In the order in which a fetch is told.
const TOPICS: [&str; 4] = ["clicks", "mails", "orders", "payments"];
const CLIENT: &str = "shop-client";
/// Codes of errors: none, a leader that moved, a topic that nobody may write, a coordinator that is loading.
const ERRORS: [i16; 8] = [0, 0, 0, 0, 0, 6, 29, 14];

/// Requests to a broker, one after the other.
pub(super) fn kafka(random: &mut StdRng, talk: &mut Talk) -> Vec<Said> {
    let count = random.random_range(1..=4);
    let mut said = Vec::new();
    for turn in 0..count {
        let is_answered = turn == 0 || turn + 1 < count || random.random_range(0..UNANSWERED) > 0;
        let kafka = call(random, talk, turn, is_answered);
        said.push(Said::Kafka(Box::new(kafka)));
        talk.wait(Duration::from_millis(random.random_range(0..20)));
    }
    said
}

fn call(random: &mut StdRng, talk: &mut Talk, number: i32, is_answered: bool) -> Kafka {
    let first = random.random_range(0..TOPICS.len() - 1);
    let topics = &TOPICS[first..=first + random.random_range(0..2)];
    let error = one_of(random, &ERRORS);
    let sizes: Vec<usize> = topics
        .iter()
        .map(|_| random.random_range(20..150))
        .collect();
    let (octets, answer, mut kafka) = match random.random_range(0..3) {
        0 => produce(number, topics, &sizes, error),
        1 => fetch(number, topics, &sizes, error),
        _ => heartbeat(number, error),
    };
    let asked = says(random, talk, 0, &octets);
    kafka.client = Seen::Known(CLIENT.to_owned());
    kafka.all_topics = true;
    kafka.request_octets = octets.len() as u64;
    kafka.start_ns = asked.first_ns;
    if is_answered {
        talk.wait(latency(random));
        let told = says(random, talk, 1, &answer);
        kafka.error = Seen::Known(error);
        kafka.response_octets = Seen::Known(answer.len() as u64);
        kafka.end_ns = Some(told.last_ns);
        kafka.ending = Ending::Whole;
    } else {
        kafka.ending = Ending::Closed;
        for topic in &mut kafka.topics {
            topic.error = Seen::Unknown;
            if kafka.api == 1 {
                topic.octets = Seen::Unknown;
            }
        }
    }
    kafka
}

fn named(topics: &[&str], sizes: &[usize], error: i16) -> Vec<KafkaTopic> {
    let all = topics.iter().zip(sizes).map(|(name, size)| KafkaTopic {
        name: Seen::Known((*name).to_owned()),
        id: None,
        octets: Seen::Known(*size as u64),
        error: Seen::Known(error),
    });
    all.collect()
}

type Call = (Vec<u8>, Vec<u8>, Kafka);

fn produce(number: i32, topics: &[&str], sizes: &[usize], error: i16) -> Call {
    let count = topics.len() as i32;
    // No transaction, the leader's word, half a minute.
    let mut asked = Message::request(0, 7, number, CLIENT).i16(-1).i16(1);
    asked = asked.i32(30_000).i32(count);
    let mut told = Message::answer(number).i32(count);
    for (name, size) in topics.iter().zip(sizes) {
        asked = asked.text(name).i32(1).i32(0).records(*size);
        told = told.text(name).i32(1).i32(0).i16(error);
        told = told.i64(17).i64(-1).i64(0);
    }
    let kafka = Kafka {
        api: 0,
        version: 7,
        group: Seen::Absent,
        topics: named(topics, sizes, error),
        ..Kafka::default()
    };
    (asked.done(), told.i32(0).done(), kafka)
}

fn fetch(number: i32, topics: &[&str], sizes: &[usize], error: i16) -> Call {
    let count = topics.len() as i32;
    let mut asked = Message::request(1, 4, number, CLIENT).i32(-1).i32(500);
    asked = asked.i32(1).i32(1 << 20).i8(0).i32(count);
    let mut told = Message::answer(number).i32(0).i32(count);
    for (name, size) in topics.iter().zip(sizes) {
        asked = asked.text(name).i32(1).i32(0).i64(17).i32(1 << 20);
        told = told.text(name).i32(1).i32(0).i16(error);
        told = told.i64(17).i64(17).i32(0).records(*size);
    }
    let kafka = Kafka {
        api: 1,
        version: 4,
        group: Seen::Absent,
        topics: named(topics, sizes, error),
        ..Kafka::default()
    };
    (asked.done(), told.done(), kafka)
}

fn heartbeat(number: i32, error: i16) -> Call {
    let asked = Message::request(12, 0, number, CLIENT).text("billing");
    let kafka = Kafka {
        api: 12,
        version: 0,
        group: Seen::Known("billing".to_owned()),
        ..Kafka::default()
    };
    let asked = asked.i32(3).text("member").done();
    (asked, Message::answer(number).i16(error).done(), kafka)
}

/// A handshake of TLS.
pub(super) fn tls(random: &mut StdRng, talk: &mut Talk) -> Vec<Said> {
    let name = one_of(random, &["vault.shop", "keys.shop", "api.example"]);
    let asked = says(random, talk, 0, &octets::client_hello(name));
    let mut tls = Tls {
        server_name: Seen::Known(name.to_owned()),
        alpn_offered: Seen::Known(vec!["h2".to_owned()]),
        alpn: Seen::Unknown,
        version: Seen::Unknown,
        start_ns: Some(asked.first_ns),
        hello_ns: None,
        done_ns: None,
        ending: TlsEnding::Closed,
    };
    talk.wait(latency(random));
    match random.random_range(0..10) {
        0 => {}
        1 => {
            talk.says(1, &octets::alert(40), Form::Plain);
            tls.ending = TlsEnding::Alert(Direction::ToClient, 40);
        }
        _ => {
            let told = talk.says(1, &octets::server_hello(), Form::Plain);
            tls.version = Seen::Known(0x0304);
            tls.hello_ns = Some(told.first_ns);
            let done = talk.says(0, &octets::encrypted(60), Form::Plain);
            tls.done_ns = Some(done.first_ns);
            tls.ending = TlsEnding::Done;
            talk.says(1, &octets::encrypted(900), Form::Plain);
        }
    }
    vec![Said::Tls(Box::new(tls))]
}

/// Questions over UDP; says how many of them were a search.
pub(super) fn dns(random: &mut StdRng, talk: &mut Talk, id: u16) -> (Vec<Said>, usize) {
    if random.random_range(0..8) == 0 {
        let wanted = one_of(random, &["mail.example.com", "time.example.org"]);
        let missing = lookup(random, talk, id, &format!("{wanted}.shop.svc"), Some(3));
        let found = lookup(random, talk, id ^ 1, wanted, Some(0));
        return (vec![missing, found], 1);
    }
    let name = one_of(
        random,
        &["cart.shop", "users.shop", "gone.shop", "db.stock"],
    );
    let code = match random.random_range(0..12) {
        0 => None,
        1 => Some(2),
        _ if name == "gone.shop" => Some(3),
        _ => Some(0),
    };
    (vec![lookup(random, talk, id, name, code)], 0)
}

/// One question, and its answer if there is a code.
fn lookup(random: &mut StdRng, talk: &mut Talk, id: u16, name: &str, code: Option<u16>) -> Said {
    let question = octets::question(id, name, 1);
    let start_ns = talk.now_ns;
    talk.packet(0, 0, &question);
    let mut dns = Dns {
        qname: name.to_owned(),
        qtype: 1,
        outcome: DnsOutcome::Timeout,
        attempts: 1,
        start_ns,
        latency_ns: None,
        answers: Vec::new(),
        all_answers: false,
        truncated: false,
    };
    let is_asked_again = random.random_range(0..10) == 0;
    if is_asked_again {
        talk.wait(Duration::from_millis(400));
        talk.packet(0, 0, &question);
        dns.attempts = 2;
    }
    if let Some(code) = code {
        talk.wait(latency(random));
        let count = if code == 0 {
            random.random_range(1..4)
        } else {
            0
        };
        let addresses: Vec<[u8; 4]> = (0..count).map(|at| [10, 0, 9, at]).collect();
        let answer = octets::addresses(id, name, 1, code, &addresses);
        talk.packet(1, 0, &answer);
        dns.outcome = DnsOutcome::Code(code);
        dns.latency_ns = Some(talk.now_ns - start_ns);
        dns.all_answers = true;
        dns.answers = addresses.into_iter().map(|of| address(name, of)).collect();
    }
    Said::Dns(Box::new(dns))
}

fn address(name: &str, of: [u8; 4]) -> DnsAnswer {
    DnsAnswer {
        name: name.to_owned(),
        ttl_s: 30,
        data: DnsData::Address(IpAddr::V4(Ipv4Addr::from(of))),
    }
}
