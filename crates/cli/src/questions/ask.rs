//! Which server is asked, and what.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use api::hubble::Timestamp;
use api::hubble::answers::answers_client::AnswersClient;
use api::hubble::answers::{
    DnsAnswer, ExposedAnswer, FailingAnswer, HttpAnswer, KafkaAnswer, MapAnswer, Question,
    ResolvedAnswer,
};
use jiff::Zoned;

use super::AskArgs;
use crate::hubble::connect::{ConnectArgs, Connection};

/// The flow server of this node, asked if there is one and no other is named.
const SOCKET: &str = "/var/run/cilium/hubble.sock";

/// Which question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Map,
    Failing,
    Exposed,
    Http,
    Dns,
    Kafka,
    Resolved,
}

impl Kind {
    const fn method(self) -> &'static str {
        match self {
            Self::Map => "Map",
            Self::Failing => "Failing",
            Self::Exposed => "Exposed",
            Self::Http => "Http",
            Self::Dns => "Dns",
            Self::Kafka => "Kafka",
            Self::Resolved => "Resolved",
        }
    }

    /// Whether the answer is shown as it comes, so that no more of it is asked for than is shown.
    const fn is_whole(self) -> bool {
        matches!(
            self,
            Self::Exposed | Self::Http | Self::Dns | Self::Resolved
        )
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Map(MapAnswer),
    Failing(FailingAnswer),
    Exposed(ExposedAnswer),
    Http(HttpAnswer),
    Dns(DnsAnswer),
    Kafka(KafkaAnswer),
    Resolved(ResolvedAnswer),
}

/// A server that is asked.
pub(super) struct Server {
    client: AnswersClient<Connection>,
}

impl Server {
    /// Connects to the one that is meant: the relay of a cluster, to which a local port is forwarded, the one that is named, this
    /// node's, or a relay on this machine.
    pub(super) async fn open(args: &AskArgs, forwarded: Option<String>) -> anyhow::Result<Self> {
        let mut connect = match forwarded {
            Some(address) => ConnectArgs {
                token_file: args.connect.token_file.clone(),
                ..ConnectArgs::to(address)
            },
            None => args.connect.clone(),
        };
        let named = crate::hubble::completed(connect.clone())?.server.is_some();
        if !named && Path::new(SOCKET).exists() {
            connect.server = Some(format!("unix://{SOCKET}"));
        }
        let connection = crate::hubble::connection(connect).await.context(
            "no server answers; name a node's or a relay's with --server, or that of a cluster with -P",
        )?;
        // Answers of a large cluster are longer than what is expected of a message.
        let client = AnswersClient::new(connection).max_decoding_message_size(256 << 20);
        Ok(Self { client })
    }

    /// Asks.
    pub(super) async fn ask(&self, question: Question, kind: Kind) -> anyhow::Result<Answer> {
        let mut client = self.client.clone();
        macro_rules! ask {
            ($method:ident, $answer:ident) => {
                client
                    .$method(question)
                    .await
                    .map(|of| Answer::$answer(of.into_inner()))
            };
        }
        let answer = match kind {
            Kind::Map => ask!(map, Map),
            Kind::Failing => ask!(failing, Failing),
            Kind::Exposed => ask!(exposed, Exposed),
            Kind::Http => ask!(http, Http),
            Kind::Dns => ask!(dns, Dns),
            Kind::Kafka => ask!(kafka, Kafka),
            Kind::Resolved => ask!(resolved, Resolved),
        };
        answer.map_err(|status| refused(&status))
    }

    /// Asks for a map.
    pub(super) async fn put(&self, question: Question) -> anyhow::Result<MapAnswer> {
        let answer = self.client.clone().map(question).await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| refused(&status))
    }
}

fn refused(status: &tonic::Status) -> anyhow::Error {
    match status.code() {
        tonic::Code::Unimplemented => anyhow::anyhow!(
            "this server knows no answer to it: it is of an older release, or not of Axoneme"
        ),
        _ => anyhow::anyhow!("not answered: {}", status.message()),
    }
}

/// What the flags ask. The limit of a question that is chosen from afterwards is none.
pub(super) fn question(args: &AskArgs, kind: Kind, now: &Zoned) -> anyhow::Result<Question> {
    let time = |flag: &str, text: &str| {
        crate::hubble::parse_time(text, now).with_context(|| format!("--{flag}"))
    };
    let since = match args.since.as_str() {
        "all" => None,
        text => Some(time("since", text)?),
    };
    let until: Option<Timestamp> = args
        .until
        .as_deref()
        .map(|text| time("until", text))
        .transpose()?;
    Ok(Question {
        since,
        until,
        from: args.from.clone().unwrap_or_default(),
        to: args.to.clone().unwrap_or_default(),
        namespace: args.namespace.clone().unwrap_or_default(),
        cluster: args.cluster.clone().unwrap_or_default(),
        limit: if kind.is_whole() { args.limit } else { 0 },
        ..Question::default()
    })
}

/// Says what would be asked, as `grpcurl` takes it.
pub(super) fn explain(question: &Question, kind: Kind, out: &mut dyn Write) -> anyhow::Result<()> {
    let question = serde_json::to_string(question)?;
    let method = kind.method();
    writeln!(out, "answers.Answers/{method} {question}")?;
    Ok(())
}
