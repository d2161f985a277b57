//! A CiliumEndpoint for each pod of this node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::cilium::{
    AddressPair, CiliumEndpoint, EncryptionKey, EndpointIdentity, EndpointNetworking,
    EndpointStatus, ExternalIdentifiers, NamedPort,
};
use api::kubernetes::{ObjectMeta, OwnerReference};
use futures::{StreamExt, stream};
use model::endpoint::{EndpointRow, PodName};
use reconcile::{
    Backoff, Fetched, Options, Reconciler, StatusReader, Step, Table, TableWriter, Target,
};
use serde_json::json;
use store::{Client, Error};
use tokio_util::sync::CancellationToken;

use crate::inputs::{RemoteEndpoint, heard_of};
use crate::node::Addressing;
use crate::view::ViewReader;

/// Requests under way at once.
const AT_ONCE: usize = 8;

/// What is said of one pod; the uid ties the object to its pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Announced {
    /// uid of the pod.
    pub pod_uid: Arc<str>,
    /// The object's status.
    pub status: EndpointStatus,
}

/// CiliumEndpoints of this node.
pub struct Endpoints {
    client: Client,
    /// Address by which the others know this node.
    node: String,
    /// Endpoints of all nodes, as every agent hears of them.
    heard: Table<PodName, RemoteEndpoint>,
    /// Objects of this node as they were last read or written. No table: steps that run at once write it, and nobody follows it.
    known: Mutex<BTreeMap<PodName, Announced>>,
}

impl Target for Endpoints {
    type Key = PodName;
    type Value = Announced;
    type Cursor = ();
    type Error = Error;

    /// No list: that would be all endpoints of the cluster for each of its nodes. What is heard of anyway names those of this
    /// node, and only those are read of which something else is heard than was last read or written.
    async fn fetch(&self, _: Option<()>) -> Result<Fetched<PodName, Announced, ()>, Error> {
        let heard = self.heard.until_initialized().await;
        let (mut entries, mut doubtful) = (Vec::new(), Vec::new());
        {
            let known = self.known();
            let is_ours = |row: &RemoteEndpoint| {
                let node = row.node.map(|address| address.to_string());
                node.is_some_and(|node| node == self.node)
            };
            let own = heard.iter().filter(|(_, row)| is_ours(row));
            let names: BTreeSet<&PodName> = own.map(|(name, _)| name).chain(known.keys()).collect();
            for name in names {
                let same = |of: &&Announced| heard_of(&of.status).as_ref() == heard.get(name);
                match known.get(name).filter(same) {
                    Some(value) => entries.push((name.clone(), value.clone())),
                    None => doubtful.push(name.clone()),
                }
            }
        }
        let mut reads = stream::iter(doubtful)
            .map(|name| self.read(name))
            .buffer_unordered(AT_ONCE);
        while let Some(found) = reads.next().await {
            entries.extend(found?);
        }
        Ok(Fetched {
            entries,
            next: None,
        })
    }

    async fn apply(&self, step: &Step<PodName, Announced>) -> Result<(), Error> {
        let key = step.key();
        // What fails may have had its effect.
        self.known().remove(key);
        let Some(value) = step.to() else {
            let namespace = Some(&*key.namespace);
            return self
                .client
                .delete::<CiliumEndpoint>(namespace, &key.name)
                .await;
        };
        self.write(key, value).await?;
        self.known().insert(key.clone(), Announced::clone(value));
        Ok(())
    }
}

impl Endpoints {
    fn known(&self) -> MutexGuard<'_, BTreeMap<PodName, Announced>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object of that name, if it is of this node.
    async fn read(&self, name: PodName) -> Result<Option<(PodName, Announced)>, Error> {
        self.known().remove(&name);
        let found = self
            .client
            .get::<CiliumEndpoint>(Some(&name.namespace), &name.name)
            .await;
        let object = match found {
            Err(error) if error.is_not_found() => return Ok(None),
            found => found?,
        };
        let networking = object.status.networking.as_ref();
        if networking.is_none_or(|of| of.node != self.node) {
            return Ok(None);
        }
        let owner = object.metadata.owner_references.first();
        let announced = Announced {
            pod_uid: owner.map_or("", |owner| &owner.uid).into(),
            status: object.status,
        };
        self.known().insert(name.clone(), announced.clone());
        Ok(Some((name, announced)))
    }

    async fn write(&self, key: &PodName, value: &Announced) -> Result<(), Error> {
        let owner = OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: key.name.to_string(),
            uid: value.pod_uid.to_string(),
            ..OwnerReference::default()
        };
        let object = CiliumEndpoint {
            metadata: ObjectMeta {
                name: key.name.to_string(),
                namespace: key.namespace.to_string(),
                owner_references: vec![owner],
                ..ObjectMeta::default()
            },
            status: value.status.clone(),
            ..CiliumEndpoint::default()
        };
        match self.client.create(&object).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_conflict() => {
                // It is there already: of this pod before a change, or of a former pod of the same name.
                let patch = json!({ "metadata": { "ownerReferences": object.metadata.owner_references }, "status": value.status });
                self.client
                    .merge::<CiliumEndpoint>(Some(&key.namespace), &key.name, None, &patch)
                    .await
                    .map(|_| ())
            }
            Err(error) => Err(error),
        }
    }
}

/// The reconciler of this node's CiliumEndpoints, and its status.
pub fn endpoints(
    client: Client,
    addressing: &Addressing,
    heard: Table<PodName, RemoteEndpoint>,
    desired: Table<PodName, Announced>,
) -> (Reconciler<Endpoints>, StatusReader<PodName>) {
    let target = Endpoints {
        client,
        node: node_address(addressing),
        heard,
        known: Mutex::default(),
    };
    Reconciler::new(
        "announced endpoints",
        target,
        desired,
        Options {
            concurrency: AT_ONCE,
            // No request, as long as others hear what they should.
            full_fetch_every: Duration::from_secs(30),
            // After an outage of the store other nodes wait for this to reach new pods.
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(4)),
            ..Options::default()
        },
    )
}

fn node_address(addressing: &Addressing) -> String {
    let v4 = addressing.node_ipv4.map(|a| a.to_string());
    v4.or_else(|| addressing.node_ipv6.map(|a| a.to_string()))
        .unwrap_or_default()
}

/// Keeps the desired table at what is in force, until `stop`.
pub async fn follow(
    mut view: ViewReader,
    addressing: Addressing,
    mut writer: TableWriter<PodName, Announced>,
    stop: CancellationToken,
) {
    let node = node_address(&addressing);
    let mut last: Option<Vec<EndpointRow>> = None;
    loop {
        let now = view.get();
        // Endpoints are restored before anything is published, so any state that was published is complete.
        let endpoints: Vec<EndpointRow> = now.endpoints.iter().map(without_revision).collect();
        let complete = now.revision > 0 || now.waiting_for.is_empty();
        if complete && last.as_ref() != Some(&endpoints) {
            let rows: BTreeMap<PodName, Announced> = endpoints
                .iter()
                .filter_map(|row| announced(row, &node))
                .collect();
            writer.replace(rows);
            writer.mark_initialized("endpoints");
            last = Some(endpoints);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = view.changed() => if !changed { return },
        }
    }
}

/// What every change of a policy changes is not announced.
fn without_revision(row: &EndpointRow) -> EndpointRow {
    EndpointRow {
        policy_revision: 0,
        ..row.clone()
    }
}

fn announced(row: &EndpointRow, node: &str) -> Option<(PodName, Announced)> {
    let pod = row.pod.clone()?;
    let identity = row.identity?;
    let text = |address: Option<String>| address.unwrap_or_default();
    let status = EndpointStatus {
        id: Some(row.id.0.into()),
        external_identifiers: Some(ExternalIdentifiers {
            container_id: row.container_id.to_string(),
            cni_attachment_id: format!("{}:{}", row.container_id, row.container_interface),
            pod_name: pod.to_string(),
            k8s_pod_name: pod.name.to_string(),
            k8s_namespace: pod.namespace.to_string(),
            ..ExternalIdentifiers::default()
        }),
        identity: Some(EndpointIdentity {
            id: identity.0.into(),
            labels: row.labels.to_texts(),
        }),
        networking: Some(EndpointNetworking {
            node: node.to_owned(),
            addressing: vec![AddressPair {
                ipv4: text(row.ips.v4.map(|a| a.to_string())),
                ipv6: text(row.ips.v6.map(|a| a.to_string())),
            }],
        }),
        encryption: Some(EncryptionKey::default()),
        named_ports: row
            .named_ports
            .iter()
            .map(|port| NamedPort {
                name: port.name.to_string(),
                port: port.port,
                protocol: port.protocol.to_string(),
            })
            .collect(),
        state: row.state().to_string(),
        service_account: row
            .service_account
            .as_deref()
            .unwrap_or_default()
            .to_owned(),
        ..EndpointStatus::default()
    };
    Some((
        pod,
        Announced {
            pod_uid: row.pod_uid.clone().unwrap_or_else(|| "".into()),
            status,
        },
    ))
}
