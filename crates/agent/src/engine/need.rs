//! Identities by need: policies wait until all pods have identities with the labels that they use, and endpoints move to other
//! identities after these are known to all nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::endpoint::EndpointId;
use model::identity::Identity;
use model::labels::{LabelSet, PodLabels, Source, pod_labels};
use model::need::{InUse, Need, Times, Used, used_by};
use model::policy::{Kind, ObjectKey, Touched};
use model::selector::{KeySource, SelectorKey};
use reconcile::Table;
use tokio::sync::watch;

use super::Engine;
use crate::inputs::PolicyRow;

const FILE: &str = "labels-in-use.json";

/// What identities are made of, for who makes them; nothing as long as it is not known.
pub type Wanted = watch::Receiver<Option<Arc<InUse>>>;

/// Another identity for an endpoint that has one.
struct Move {
    labels: LabelSet,
    identity: Identity,
    since: Duration,
}

/// The state of what is in use.
pub struct ByNeed {
    need: Need,
    /// No run before this one knew what is in use: everything is ready until the inputs are complete.
    fresh: bool,
    begun: Instant,
    wanted: Option<Arc<InUse>>,
    ready: InUse,
    told: watch::Sender<Option<Arc<InUse>>>,
    /// Policies of which another version is in force, or none, until what they use is ready.
    held: BTreeSet<ObjectKey>,
    moving: BTreeMap<EndpointId, Move>,
    /// Something was noted since the last look.
    noted: bool,
    /// Endpoints are to be looked at again.
    look: bool,
    file: PathBuf,
}

impl ByNeed {
    /// With what the last run left in the state directory.
    pub fn open(state_dir: &Path, times: Times) -> Self {
        let file = state_dir.join(FILE);
        let saved = read(&file);
        let ready = saved.clone().unwrap_or_default();
        Self {
            need: Need::new(times, ready.clone()),
            fresh: saved.is_none(),
            begun: Instant::now(),
            wanted: None,
            ready,
            told: watch::Sender::new(None),
            held: BTreeSet::new(),
            moving: BTreeMap::new(),
            noted: true,
            look: false,
            file,
        }
    }

    /// What identities are made of, now and later.
    pub fn wanted(&self) -> Wanted {
        self.told.subscribe()
    }

    /// What identities are made of now, if it is known.
    pub(super) fn current(&self) -> Option<&InUse> {
        self.wanted.as_deref()
    }

    /// Whether endpoints are to be looked at again; once.
    pub(super) fn take_look(&mut self) -> bool {
        std::mem::take(&mut self.look)
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Whether this version of a policy may come into force. `complete`: all inputs have been read once.
    pub(super) fn admits(
        &mut self,
        key: &ObjectKey,
        row: Option<&PolicyRow>,
        complete: bool,
    ) -> bool {
        let good = row.and_then(|row| row.judged.good.as_ref());
        let used = good.map(|good| used_by(&good.object));
        self.noted = true;
        self.need.note(key, used.clone(), self.begun.elapsed());
        if self.fresh && !complete {
            self.need.begin();
            return true;
        }
        let ready = used.is_none_or(|used| self.ready.covers(&used));
        if ready {
            self.held.remove(key);
        } else if self.held.insert(key.clone()) {
            tracing::info!(policy = %key, "a policy waits until all pods have identities with the labels that it uses");
        }
        ready
    }

    /// Brings what is wanted and ready up to date; says whether more is ready.
    fn refresh(&mut self) -> bool {
        self.noted = false;
        let (wanted, ready) = (self.need.wanted(), self.need.ready());
        if self.wanted.as_deref() != Some(&wanted) {
            let wanted = Arc::new(wanted);
            self.wanted = Some(Arc::clone(&wanted));
            self.told.send_replace(Some(wanted));
            self.look = true;
        }
        if self.ready == ready && !self.fresh {
            return false;
        }
        self.fresh = false;
        // Before anything is in force that needs it: after a crash in between it is ready too early by a moment in which all
        // endpoints have moved already.
        if let Err(error) = write(&self.file, &ready) {
            tracing::error!(file = %self.file.display(), %error, "which labels are in use is not saved; after a restart policies come into force later");
        }
        self.ready = ready;
        true
    }
}

impl Engine {
    /// Lets time pass for what is in use; takes in policies for which everything is ready.
    pub(super) fn absorb_need(&mut self, touched: &mut Touched) -> bool {
        let complete = self.inputs.waiting_for().is_empty();
        let Some(by_need) = self.by_need.as_ref().filter(|_| complete) else {
            return false;
        };
        if !by_need.noted && !by_need.need.waits() {
            return false;
        }
        let comes = by_need.wanted.as_deref() != Some(&by_need.ready);
        let moved = !comes || self.all_moved();
        let held = by_need
            .held
            .iter()
            .filter_map(|key| self.policy.object(key));
        let used: BTreeSet<Used> = held.flat_map(|object| used_by(object)).collect();
        let Some(by_need) = self.by_need.as_mut() else {
            return false;
        };
        let now = by_need.now();
        by_need.need.advance(now, moved, &used);
        if !by_need.refresh() {
            return false;
        }
        let ready = std::mem::take(&mut by_need.held);
        let mut changed = false;
        for key in ready {
            let row = self.policy_table(key.kind).get(&key);
            let admitted = self.admits(&key, row.as_deref());
            if admitted && self.is_news(&key, row.as_deref()) {
                changed = true;
                touched.merge(self.take_policy(key, row.as_deref()));
            }
        }
        self.revision += u64::from(changed);
        changed
    }

    /// Whether a version of a policy may come into force now.
    pub(super) fn admits(&mut self, key: &ObjectKey, row: Option<&PolicyRow>) -> bool {
        let complete = self.seen.is_complete();
        self.by_need
            .as_mut()
            .is_none_or(|by_need| by_need.admits(key, row, complete))
    }

    fn policy_table(&self, kind: Kind) -> &Table<ObjectKey, PolicyRow> {
        match kind {
            Kind::CiliumNetworkPolicy => &self.inputs.cilium_policies,
            Kind::CiliumClusterwideNetworkPolicy => &self.inputs.clusterwide_policies,
            _ => &self.inputs.network_policies,
        }
    }

    /// The labels of an endpoint's identity as they should be; `None` if that is not known.
    pub(super) fn labels_now(&self, id: EndpointId) -> Option<LabelSet> {
        let name = self.endpoints.get(&id)?.pod.as_ref()?;
        let pod = self.inputs.pods.get(name)?;
        let namespace = self.inputs.namespaces.get(&name.namespace)?;
        let facts = PodLabels {
            pod: pod.labels.iter().map(|(k, v)| (&**k, &**v)),
            namespace: &name.namespace,
            namespace_labels: namespace.labels.iter().map(|(k, v)| (&**k, &**v)),
            service_account: pod.service_account.as_deref(),
            cluster: &self.config.cluster,
        };
        let labels = pod_labels(facts, &self.filter);
        match &self.by_need {
            None => Some(labels),
            Some(by_need) => Some(by_need.current()?.apply(&labels)),
        }
    }

    /// Whether all endpoints have the labels that they should have now.
    fn all_moved(&self) -> bool {
        self.endpoints.values().all(|row| {
            let now = self.labels_now(row.id);
            now.is_none_or(|labels| row.identity.is_some() && row.labels == labels)
        })
    }

    /// Has endpoints looked at: the labels of a new one may be those of a moment ago.
    pub(super) fn look_again(&mut self) {
        if let Some(by_need) = &mut self.by_need {
            by_need.look = true;
        }
    }

    /// Whether a move to another identity waits until all nodes know it. Only one that no policy in force can tell from the
    /// one before may wait.
    pub(super) fn postpone(
        &mut self,
        id: EndpointId,
        labels: &LabelSet,
        identity: Identity,
    ) -> bool {
        let Some(row) = self.endpoints.get(&id) else {
            return false;
        };
        let Some(by_need) = self.by_need.as_mut() else {
            return false;
        };
        let seen_alike = |labels: &LabelSet| by_need.ready.apply(labels);
        let held = row.identity.and_then(|of| self.inputs.identities.get(&of));
        let stays = held.is_some_and(|held| *held == row.labels);
        if !stays || seen_alike(labels) != seen_alike(&row.labels) {
            return false;
        }
        let since = by_need.now();
        let labels = labels.clone();
        by_need.moving.insert(
            id,
            Move {
                labels,
                identity,
                since,
            },
        );
        true
    }

    /// An endpoint that is gone does not move.
    pub(super) fn forget_move(&mut self, id: EndpointId) {
        if let Some(by_need) = &mut self.by_need {
            by_need.moving.remove(&id);
        }
    }

    /// Moves endpoints whose new identities all nodes know.
    pub(super) fn move_due(&mut self) {
        let Some(by_need) = self.by_need.as_mut().filter(|of| !of.moving.is_empty()) else {
            return;
        };
        let (now, announce) = (by_need.now(), by_need.need.times().announce);
        let due = by_need
            .moving
            .extract_if(.., |_, of| now.saturating_sub(of.since) >= announce);
        let due: Vec<(EndpointId, Move)> = due.collect();
        for (
            id,
            Move {
                labels, identity, ..
            },
        ) in due
        {
            self.identify_now(id, labels, identity);
        }
    }
}

/// As it is written down: `LABEL source key`, `LABEL any key` or `PORT name`, one each.
fn to_words(of: &Used) -> [String; 3] {
    match of {
        Used::Port(name) => ["port".to_owned(), String::new(), name.to_string()],
        Used::Label(SelectorKey { source, key }) => {
            let source = match source {
                KeySource::Any => String::new(),
                KeySource::Is(source) => source.to_string(),
            };
            ["label".to_owned(), source, key.to_string()]
        }
    }
}

fn from_words([kind, source, name]: [String; 3]) -> Used {
    if kind == "port" {
        return Used::Port(name.into());
    }
    let source = match source.as_str() {
        "" => KeySource::Any,
        word => KeySource::Is(Source::from_word(word)),
    };
    let key = name.into();
    Used::Label(SelectorKey { source, key })
}

/// `None` if no run before this one wrote it, or it cannot be read.
fn read(file: &Path) -> Option<InUse> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::error!(file = %file.display(), %error, "which labels were in use cannot be read");
            return Some(InUse::default());
        }
    };
    match serde_json::from_str::<Vec<[String; 3]>>(&text) {
        Ok(all) => Some(all.into_iter().map(from_words).collect()),
        Err(error) => {
            tracing::error!(file = %file.display(), %error, "which labels were in use cannot be read");
            Some(InUse::default())
        }
    }
}

fn write(file: &Path, ready: &InUse) -> std::io::Result<()> {
    let words: Vec<[String; 3]> = ready.iter().map(to_words).collect();
    let temporary = file.with_extension("new");
    std::fs::write(&temporary, serde_json::to_string(&words)?)?;
    std::fs::rename(&temporary, file)
}
