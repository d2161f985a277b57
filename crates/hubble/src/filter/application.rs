//! Fields about requests: HTTP, DNS and trace contexts.

use api::hubble::flow::{Dns, Flow, FlowFilter, Http, layer7::Record};
use regex::Regex;

use super::{FieldError, Test, any_of, compile};

pub(super) fn wants_http(filter: &FlowFilter) -> bool {
    !(filter.http_status_code.is_empty()
        && filter.http_method.is_empty()
        && filter.http_path.is_empty()
        && filter.http_url.is_empty()
        && filter.http_header.is_empty())
}

pub(super) fn tests(filter: &FlowFilter, tests: &mut Vec<Test>) -> Result<(), FieldError> {
    let codes = compile("http_status_code", &filter.http_status_code, Status::parse)?;
    any_of(tests, codes, |wanted, flow| {
        http(flow).is_some_and(|http| wanted.matches(http.code))
    });
    any_of(tests, filter.http_method.clone(), |wanted, flow| {
        http(flow).is_some_and(|http| http.method.eq_ignore_ascii_case(wanted))
    });
    any_of(
        tests,
        compile("http_path", &filter.http_path, Regex::new)?,
        |wanted, flow| {
            http(flow)
                .and_then(|http| path(&http.url))
                .is_some_and(|path| wanted.is_match(path))
        },
    );
    any_of(
        tests,
        compile("http_url", &filter.http_url, Regex::new)?,
        |wanted, flow| http(flow).is_some_and(|http| wanted.is_match(&http.url)),
    );
    any_of(tests, filter.http_header.clone(), |wanted, flow| {
        http(flow).is_some_and(|http| http.headers.contains(wanted))
    });
    any_of(
        tests,
        compile("dns_query", &filter.dns_query, Regex::new)?,
        |wanted, flow| dns(flow).is_some_and(|dns| wanted.is_match(&dns.query)),
    );
    any_of(tests, filter.trace_id.clone(), |wanted, flow| {
        let parent = flow
            .trace_context
            .as_ref()
            .and_then(|context| context.parent.as_ref());
        parent.is_some_and(|parent| parent.trace_id == *wanted)
    });
    Ok(())
}

fn record(flow: &Flow) -> Option<&Record> {
    flow.l7.as_ref()?.record.as_ref()
}

fn http(flow: &Flow) -> Option<&Http> {
    match record(flow)? {
        Record::Http(http) => Some(http),
        _ => None,
    }
}

fn dns(flow: &Flow) -> Option<&Dns> {
    match record(flow)? {
        Record::Dns(dns) => Some(dns),
        _ => None,
    }
}

/// `404`, or the beginning of a code: `4+`, `40+`.
enum Status {
    Exactly(u32),
    Beginning(String),
}

impl Status {
    fn parse(text: &str) -> Result<Self, String> {
        let digits = text.strip_suffix('+').unwrap_or(text);
        let right = digits.bytes().all(|b| b.is_ascii_digit())
            && matches!(digits.as_bytes().first(), Some(b'1'..=b'5'));
        match (digits.len(), digits == text) {
            (3, true) if right => digits
                .parse()
                .map(Self::Exactly)
                .map_err(|_| format!("{text:?} is no status")),
            (1 | 2, false) if right => Ok(Self::Beginning(digits.to_owned())),
            _ => Err(format!(
                "{text:?} is neither a status (404) nor its beginning (4+, 40+)"
            )),
        }
    }

    fn matches(&self, code: u32) -> bool {
        match self {
            Self::Exactly(wanted) => code == *wanted,
            Self::Beginning(digits) => code != 0 && code.to_string().starts_with(digits),
        }
    }
}

/// The path of a URL, or of a request target that is a path already; `None` for what is no URL.
fn path(url: &str) -> Option<&str> {
    if url.contains(|c: char| c.is_control() || c == ' ') {
        return None;
    }
    let rest = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |start| &rest[start..]),
        None => url,
    };
    Some(rest.split(['?', '#']).next().unwrap_or(rest))
}
