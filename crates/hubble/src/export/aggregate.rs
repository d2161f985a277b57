//! Flows that are alike in chosen fields, counted by direction.

use std::collections::{HashMap, hash_map::Entry};

use api::hubble::flow::{Aggregate, Flow, TrafficDirection};
use prost::Message;

use crate::mask::Mask;

/// Groups at most; when there are as many, they are written before their time.
const MAX_GROUPS: usize = 65_536;

/// Groups of flows, by their encoded fields.
#[derive(Default)]
pub(super) struct Groups(HashMap<Vec<u8>, Flow>);

impl Groups {
    /// Counts a flow in the group of those that look the same under the mask. The group has the time of its first flow.
    pub(super) fn add(&mut self, flow: &Flow, mask: &Mask) {
        let alike = mask.apply(flow);
        let group = match self.0.entry(alike.encode_to_vec()) {
            Entry::Occupied(group) => group.into_mut(),
            Entry::Vacant(place) => place.insert(Flow {
                time: flow.time,
                ..alike
            }),
        };
        let counts = group.aggregate.get_or_insert_with(Aggregate::default);
        let count = match TrafficDirection::try_from(flow.traffic_direction) {
            Ok(TrafficDirection::Ingress) => &mut counts.ingress_flow_count,
            Ok(TrafficDirection::Egress) => &mut counts.egress_flow_count,
            _ => &mut counts.unknown_direction_flow_count,
        };
        *count = count.saturating_add(1);
    }

    /// Whether it is time to write them whatever the clock says.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MAX_GROUPS
    }

    /// Takes all groups out, the oldest first.
    pub(super) fn take(&mut self) -> Vec<Flow> {
        let mut flows: Vec<Flow> = self.0.drain().map(|(_, flow)| flow).collect();
        flows.sort_by_key(|flow| flow.time);
        flows
    }
}
