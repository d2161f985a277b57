//! How the shop can misbehave, each fault at a place of its own, so that several do not hide each other: web asks for it.

use anyhow::ensure;
use clap::ValueEnum;
use serde_json::{Value, json};

use super::market::{Market, NAMESPACE, words};
use super::statements::{LIMIT, Report};

/// One way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// The DNS server fails for the name stock
    Dns,
    /// Nothing listens in pod recommend
    Refuse,
    /// Pod search receives everything and answers nothing
    Silent,
    /// Pod reviews takes most of a second for each answer
    Slow,
    /// Pod payments answers 503
    #[value(name = "5xx")]
    ServerError,
    /// A policy denies web the pod ledger
    Deny,
    /// Pod cart resets connections before it says anything
    Reset,
}

/// The name that the DNS server fails for.
pub(super) const BROKEN_NAME: &str = "stock";

impl Fault {
    /// Who is asked in vain.
    pub(super) const fn place(self) -> &'static str {
        match self {
            Self::Dns => BROKEN_NAME,
            Self::Refuse => "recommend",
            Self::Silent => "search",
            Self::Slow => "reviews",
            Self::ServerError => "payments",
            Self::Deny => "ledger",
            Self::Reset => "cart",
        }
    }

    /// What is to be seen, for a person.
    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::Dns => "the DNS server answers SERVFAIL to web's question for stock",
            Self::Refuse => "nothing listens in recommend: web is refused",
            Self::Silent => "search does not answer web",
            Self::Slow => "reviews takes most of a second for each answer to web",
            Self::ServerError => "payments answers 503 to web",
            Self::Deny => "a policy denies web the ledger",
            Self::Reset => "cart resets web's connections before it says anything",
        }
    }

    /// The cause that answers give it; none where nothing fails.
    pub(super) const fn cause(self) -> Option<&'static str> {
        match self {
            Self::Dns => Some("DNS_ERROR"),
            Self::Refuse => Some("REFUSED"),
            Self::Silent => Some("UNANSWERED"),
            Self::Slow => None,
            Self::ServerError => Some("HTTP_ERROR"),
            Self::Deny => Some("DENIED_BY_RULE"),
            Self::Reset => Some("CUT_BY_SERVER"),
        }
    }

    /// Whether it needs a pod, and with which program.
    fn program(self) -> Option<Vec<String>> {
        let serve = |more: &[&str]| {
            let mut serve = words(&["app", "http", "--listen", "[::]:8080", "--name"]);
            serve.push(self.place().to_owned());
            serve.extend(words(more));
            serve
        };
        match self {
            Self::Dns | Self::Refuse => None,
            Self::Silent | Self::Deny => Some(serve(&[])),
            Self::Slow => Some(serve(&["--delay-ms", "800"])),
            Self::ServerError => Some(serve(&["--status", "503"])),
            Self::Reset => Some(words(&["app", "reset", "--listen", "[::]:8080"])),
        }
    }
}

impl Market {
    /// Lets the shop misbehave from now on.
    pub(super) fn misbehave(&mut self, fault: Fault) -> anyhow::Result<()> {
        let place = fault.place();
        if fault == Fault::Deny {
            self.cluster.create(&not_for_web(place))?;
        }
        if fault != Fault::Dns {
            self.open_service(place, 80, 8080)?;
            self.add_pod(place, 1, &mut |_| {})?;
        }
        if fault == Fault::Silent {
            self.pod(place)?.deafen()?;
        }
        if let Some(program) = fault.program() {
            self.exec(place, &program)?;
        }
        let load = self.load(&format!("http://{place}/"))?;
        self.exec("web", &load)
    }
}

fn not_for_web(name: &str) -> Value {
    json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": { "namespace": NAMESPACE, "name": format!("{name}-not-for-web") },
        "spec": {
            "endpointSelector": { "matchLabels": { "app": name } },
            "ingress": [{ "fromEndpoints": [{}] }],
            "ingressDeny": [{ "fromEndpoints": [{ "matchLabels": { "app": "web" } }] }],
        },
    })
}

/// States that each fault is named, by its cause and with who is concerned.
pub(super) fn told(market: &mut Market, report: &mut Report) -> anyhow::Result<()> {
    let all = Fault::value_variants();
    for &fault in all {
        market.misbehave(fault)?;
    }
    for &fault in all {
        let statement = format!("it is told that {}", fault.meaning());
        report.state(&statement, Market::wait(LIMIT, || is_told(market, fault)));
    }
    Ok(())
}

fn is_told(market: &Market, fault: Fault) -> anyhow::Result<()> {
    let place = fault.place();
    let Some(cause) = fault.cause() else {
        return is_slow(market, place);
    };
    let answer = market
        .doorway
        .json("/api/answers/failing?since=2m&from=shop/web")?;
    let failures = answer["failures"].as_array().cloned().unwrap_or_default();
    let about = |of: &Value| {
        let text = if fault == Fault::Dns {
            &of["cause"]["name"]
        } else {
            &of["edge"]["destination"]["name"]
        };
        text.as_str().unwrap_or_default().to_owned()
    };
    let is_it =
        |of: &Value| of["cause"]["kind"] == cause && about(of).trim_end_matches('.') == place;
    let told: Vec<_> = failures
        .iter()
        .map(|of| (about(of), of["cause"]["kind"].clone()))
        .collect();
    ensure!(failures.iter().any(is_it), "told were only {told:?}");
    Ok(())
}

/// Most requests of a span took longer than half a second.
fn is_slow(market: &Market, place: &str) -> anyhow::Result<()> {
    let path = format!("/api/history?since=5m&to={NAMESPACE}/{place}");
    let history = market.doorway.json(&path)?;
    let spans = history["spans"].as_array().cloned().unwrap_or_default();
    let slowest = spans
        .iter()
        .filter_map(|span| span["request_p95_us"].as_u64())
        .max();
    ensure!(
        slowest.is_some_and(|micros| micros > 500_000),
        "the slowest span has {slowest:?} \u{b5}s"
    );
    Ok(())
}
