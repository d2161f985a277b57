//! The metrics by name: what each counts of a flow, and under which labels.

mod packets;
mod requests;
mod words;

pub(crate) use words::rcode;

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use api::hubble::flow::Flow;

use super::{
    context::{Context, Turn},
    options::{ContextOption, OptionError, Wanted},
    series::{Family, Head, Kept, Label, Value, Values},
};

/// Counts flows.
pub(super) trait Handler: Send + Sync {
    /// Counts a flow that its filters let through.
    fn flow(&self, flow: &Flow, at: &mut At);
    /// All its families.
    fn families(&self) -> Vec<&dyn Kept>;
}

/// What all handlers share while a flow is counted.
pub(super) struct At {
    values: Values,
    now: Instant,
}

impl At {
    pub(super) fn new(now: Instant) -> Self {
        let values = Values::default();
        Self { values, now }
    }
}

/// A family whose series carry the labels of a context.
struct Told<V> {
    family: Family<V>,
    context: Context,
}

impl<V: Value> Told<V> {
    fn new(name: &'static str, help: &'static str, own: &[Label], context: &Context) -> Self {
        let labels = [own, &context.labels()].concat();
        Self {
            family: Family::new(Head {
                name,
                help,
                labels,
                ties: context.ties(),
            }),
            context: context.clone(),
        }
    }

    /// The series of a flow, by the values of the family's own labels.
    fn of(&self, flow: &Flow, turn: Turn, own: &[&str], at: &mut At) -> V {
        at.values.clear();
        for value in own {
            at.values.push(value);
        }
        self.context.values(flow, turn, &mut at.values);
        self.family.of(&at.values, at.now)
    }
}

/// The options of a metric that are not about labels.
struct Flags<'a>(Vec<&'a ContextOption>);

impl Flags<'_> {
    fn find(&self, name: &str) -> Option<&ContextOption> {
        let mut options = self.0.iter();
        options
            .find(|option| option.name.eq_ignore_ascii_case(name))
            .copied()
    }

    fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn is_true(&self, name: &str) -> bool {
        let option = self.find(name);
        option.is_some_and(|option| option.values == ["true"])
    }
}

type Build = fn(&Context, &Flags<'_>) -> Arc<dyn Handler>;

/// Name, options of its own, and how it is made.
const HANDLERS: [(&str, &[&str], Build); 11] = [
    ("dns", &["query", "ignoreAAAA"], |context, flags| {
        Arc::new(requests::Dns::new(context, flags))
    }),
    ("drop", &[], |context, _| {
        Arc::new(packets::Drops::new(context))
    }),
    ("flow", &[], |context, _| {
        Arc::new(packets::Flows::new(context))
    }),
    (
        "flows-to-world",
        &["any-drop", "port", "syn-only"],
        |context, flags| Arc::new(packets::ToWorld::new(context, flags)),
    ),
    ("http", &["exemplars"], |context, flags| {
        Arc::new(requests::Http::new(context, flags))
    }),
    ("httpV2", &["exemplars"], |context, flags| {
        Arc::new(requests::HttpV2::new(context, flags))
    }),
    ("icmp", &[], |context, _| {
        Arc::new(packets::Icmp::new(context))
    }),
    ("kafka", &[], |context, _| {
        Arc::new(requests::Kafka::new(context))
    }),
    ("policy", &[], |context, _| {
        Arc::new(packets::Policy::new(context))
    }),
    ("port-distribution", &[], |context, _| {
        Arc::new(packets::Ports::new(context))
    }),
    ("tcp", &[], |context, _| {
        Arc::new(packets::Tcp::new(context))
    }),
];

/// Makes the handler of a metric; none for a name that is not known, which is logged.
pub(super) fn build(wanted: &Wanted) -> Result<Option<Arc<dyn Handler>>, OptionError> {
    let name = wanted.name.as_str();
    let Some((_, known, make)) = HANDLERS.iter().find(|(known, ..)| *known == name) else {
        tracing::warn!(name, "there is no such Hubble metric, it is left out");
        return Ok(None);
    };
    let (mut context, mut flags) = (Context::default(), Flags(Vec::new()));
    for option in &wanted.context_options {
        let taken = context
            .take(option)
            .map_err(|reason| OptionError::new(name, format!("{}: {reason}", option.name)))?;
        if taken {
            continue;
        }
        if !known
            .iter()
            .any(|own| own.eq_ignore_ascii_case(&option.name))
        {
            tracing::warn!(
                name,
                option = option.name,
                "an option that this metric does not have"
            );
        }
        flags.0.push(option);
    }
    Ok(Some(make(&context, &flags)))
}

/// Label set of an exemplar: the trace that a flow belongs to.
fn trace(flow: &Flow) -> Option<(super::series::Trace, SystemTime)> {
    let parent = flow.trace_context.as_ref()?.parent.as_ref()?;
    let id = &parent.trace_id;
    (!id.is_empty()).then(|| (vec![("traceID", id.clone())], SystemTime::now()))
}
