//! Names out of one state of the index, for all that is asked of one record.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLockReadGuard};

use hashbrown::HashMap;
use hubble::names::{EndpointNames, Names, PolicyOrigin, ServiceName};
use ipnet::IpNet;
use model::identity::Identity;
use model::ipcache::Location;
use model::policy::RuleId;

use super::{Index, labelled, labels_of, policies_of};
use crate::inputs::Inputs;
use crate::view::View;

/// The names of one moment. While it is held the index is nobody's to change.
pub(super) struct At<'a> {
    pub(super) index: RwLockReadGuard<'a, Index>,
    pub(super) view: Arc<View>,
    pub(super) inputs: &'a Inputs,
    pub(super) devices: &'a HashMap<u32, Arc<str>>,
}

impl Names for At<'_> {
    fn endpoint(&self, address: IpAddr, identity: u32) -> Option<Arc<EndpointNames>> {
        if let Some(pod) = self.index.pods.get(&address).and_then(|of| of.last()) {
            return Some(pod.names(self.index.follows, &self.view, self.inputs));
        }
        let labels = labels_of(&self.view, Identity(identity));
        (!labels.is_empty()).then(|| Arc::new(labelled(&labels)))
    }

    fn is_node(&self, address: IpAddr) -> bool {
        let known = self.view.addresses.get(&IpNet::from(address));
        known.is_some_and(|of| of.row.location == Location::RemoteNode)
    }

    fn service(&self, address: IpAddr, port: u16) -> Option<Arc<ServiceName>> {
        let of = self.index.services.get(&(address, port))?;
        of.first().cloned()
    }

    fn service_behind(&self, address: IpAddr, port: u16, protocol: u8) -> Option<Arc<ServiceName>> {
        match &**self.index.behind.get(&(address, port, protocol))? {
            [only] => Some(Arc::clone(only)),
            _ => None,
        }
    }

    fn fqdns(&self, _asker: u16, _address: IpAddr) -> Vec<Arc<str>> {
        Vec::new()
    }

    fn rule(&self, rule: u32) -> Vec<Arc<PolicyOrigin>> {
        let known = {
            let rules = self.index.rules.read();
            let rules = rules.unwrap_or_else(PoisonError::into_inner);
            rules.get(&rule).cloned()
        };
        known.unwrap_or_else(|| {
            let made = policies_of(&self.view, RuleId(rule));
            let rules = self.index.rules.write();
            let mut rules = rules.unwrap_or_else(PoisonError::into_inner);
            rules.insert(rule, made.clone());
            made
        })
    }

    fn interface(&self, number: u32) -> Option<Arc<str>> {
        let known = self.index.interfaces.get(&number);
        known.or_else(|| self.devices.get(&number)).cloned()
    }
}
