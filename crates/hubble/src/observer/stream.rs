//! The replies to a request, pulled by the client: a client that does not read falls behind in the ring, nowhere else.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use api::hubble::{
    Timestamp,
    flow::{LostEvent, LostEventSource},
    observer::{GetAgentEventsResponse, GetFlowsResponse, get_flows_response::ResponseTypes},
};
use arc_swap::ArcSwap;
use futures::Stream;
use tokio::time::Instant;
use tonic::Status;

use super::reader::{Reader, Step};
use crate::{
    filter::Selection,
    flow::Node,
    history::{History, Past, Want},
    mask::Mask,
    ring::Entry,
};

/// Entries that a reader missed and was not told of yet.
pub(super) struct LostTally {
    interval: Duration,
    count: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    told: Option<Instant>,
}

impl LostTally {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            count: 0,
            first: None,
            last: None,
            told: None,
        }
    }

    fn add(&mut self, count: u64) {
        let now = SystemTime::now().into();
        self.count += count;
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// When the client may be told, if there is something to tell.
    fn due(&self) -> Option<Instant> {
        (self.count > 0).then(|| {
            self.told
                .map_or_else(Instant::now, |told| told + self.interval)
        })
    }

    fn take(&mut self) -> Option<LostEvent> {
        if self.count == 0 {
            return None;
        }
        self.told = Some(Instant::now());
        Some(LostEvent {
            source: LostEventSource::HubbleRingBuffer.into(),
            num_events_lost: std::mem::take(&mut self.count),
            cpu: None,
            first: self.first.take(),
            last: self.last.take(),
        })
    }
}

/// What the ring has forgotten of what is wanted.
pub(super) struct Before {
    history: Arc<History>,
    want: Want,
    past: Option<Past>,
}

impl Before {
    pub(super) fn new(history: Arc<History>, want: Want) -> Self {
        let past = Some(history.walk(want));
        Self {
            history,
            want,
            past,
        }
    }

    /// The next entry; none when the ring has all that is left.
    async fn next(&mut self, reader: &mut Reader) -> Option<Entry> {
        loop {
            if let Some(past) = &mut self.past
                && let Some(entry) = past.next().await
            {
                return Some(entry);
            }
            self.past = None;
            // While the past was read, the ring went on.
            let (from, below) = reader.overtaken()?;
            let want = Want {
                from,
                below,
                ..self.want
            };
            self.past = Some(self.history.walk(want));
        }
    }
}

/// Replies of GetFlows.
pub(super) struct Flows {
    pub(super) reader: Reader,
    pub(super) before: Option<Before>,
    pub(super) selection: Selection,
    pub(super) mask: Option<Mask>,
    pub(super) node: Arc<ArcSwap<Node>>,
    pub(super) lost: LostTally,
}

impl Flows {
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<GetFlowsResponse, Status>> + Send {
        futures::stream::unfold(self, |mut flows| async move {
            let response = flows.next().await?;
            Some((Ok(response), flows))
        })
    }

    async fn next(&mut self) -> Option<GetFlowsResponse> {
        loop {
            if self.lost.due().is_some_and(|due| due <= Instant::now())
                && let Some(event) = self.lost.take()
            {
                return Some(self.lost_response(event));
            }
            if let Some(before) = &mut self.before
                && !self.reader.has_enough()
                && let Some(entry) = before.next(&mut self.reader).await
            {
                if let Entry::Lost(lost) = entry {
                    return Some(GetFlowsResponse {
                        time: Some(lost.time),
                        ..self.lost_response(lost.event)
                    });
                }
                if let Some(response) = self.response(&entry) {
                    self.reader.delivered();
                    return Some(response);
                }
                continue;
            }
            match self.reader.step().await {
                Step::Entry(Entry::Lost(lost)) => return Some(self.lost_response(lost.event)),
                Step::Entry(entry) => {
                    if let Some(response) = self.response(&entry) {
                        self.reader.delivered();
                        return Some(response);
                    }
                }
                Step::Lost(count) => self.lost.add(count),
                Step::Idle => self.reader.wait(self.lost.due()).await,
                // What was missed is told before the end, interval or not.
                Step::End => {
                    let event = self.lost.take()?;
                    return Some(self.lost_response(event));
                }
            }
        }
    }

    fn response(&self, entry: &Entry) -> Option<GetFlowsResponse> {
        let flow = entry.flow(&self.node.load())?;
        if !self.selection.matches(&flow) {
            return None;
        }
        let flow = match &self.mask {
            Some(mask) => mask.apply(&flow),
            None => flow,
        };
        Some(GetFlowsResponse {
            node_name: flow.node_name.clone(),
            time: flow.time,
            response_types: Some(ResponseTypes::Flow(flow)),
        })
    }

    fn lost_response(&self, event: LostEvent) -> GetFlowsResponse {
        GetFlowsResponse {
            node_name: self.node.load().name.clone(),
            time: Some(SystemTime::now().into()),
            response_types: Some(ResponseTypes::LostEvents(event)),
        }
    }
}

/// Replies of GetAgentEvents.
pub(super) struct AgentEvents {
    pub(super) reader: Reader,
    pub(super) node: Arc<ArcSwap<Node>>,
}

impl AgentEvents {
    pub(super) fn into_stream(
        self,
    ) -> impl Stream<Item = Result<GetAgentEventsResponse, Status>> + Send {
        futures::stream::unfold(self, |mut events| async move {
            let response = events.next().await?;
            Some((Ok(response), events))
        })
    }

    async fn next(&mut self) -> Option<GetAgentEventsResponse> {
        loop {
            match self.reader.step().await {
                Step::Entry(Entry::Agent(agent)) => {
                    self.reader.delivered();
                    return Some(GetAgentEventsResponse {
                        agent_event: Some(agent.event.clone()),
                        node_name: self.node.load().name.clone(),
                        time: Some(agent.time),
                    });
                }
                // The replies have no place for losses.
                Step::Entry(_) | Step::Lost(_) => {}
                Step::Idle => self.reader.wait(None).await,
                Step::End => return None,
            }
        }
    }
}
