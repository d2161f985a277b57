//! The life of an endpoint: created, restored, relabelled, taken down.

use std::collections::BTreeMap;
use std::path::PathBuf;

use datapath::abi::endpoint::{Endpoint, MAX_SLOTS, flags};
use model::endpoint::{EndpointId, EndpointRow, Event, LifeCycle, State, saved};
use model::identity::Identity;
use model::ipcache;
use model::labels::LabelSet;

use super::compose::place_of;
use super::{Command, Engine, Error};

impl Engine {
    pub(super) fn execute(&mut self, command: Command) {
        match command {
            Command::Create(row, answer) => {
                let result = self.create(*row);
                // A caller that has gone away gets the endpoint taken down by its deletion.
                let _ = answer.send(result);
            }
            Command::Delete(id, answer) => {
                let _ = answer.send(self.delete(id));
            }
            Command::Identify(id, labels, identity) => {
                if !self.postpone(id, &labels, identity) {
                    self.identify_now(id, labels, identity);
                }
            }
        }
    }

    /// Brings an endpoint into force: row that lets nothing through, programs, policy, addresses, device up. Any failure
    /// takes back all of it.
    pub(super) fn create(&mut self, mut row: EndpointRow) -> Result<EndpointRow, Error> {
        let waiting_for = self.inputs.waiting_for();
        if !waiting_for.is_empty() {
            return Err(Error::Waiting(waiting_for));
        }
        let id = self.free_id(row.id)?;
        row.id = id;
        row.life = LifeCycle::created();
        self.slots.insert(id, self.free_slot()?);
        if let Some(other) = self
            .endpoints
            .values()
            .find(|other| place_of(other) == place_of(&row))
        {
            self.slots.remove(&id);
            let taken = format!(
                "interface {} has the place of endpoint {} in the table: make it anew",
                row.ifname, other.id
            );
            return Err(Error::Exhausted(taken));
        }
        if row.identity.is_some() {
            row.life.apply(Event::IdentityKnown);
        }
        self.stale.places.insert(place_of(&row));
        self.endpoints.insert(id, row);
        self.look_again();
        match self.build(id) {
            Ok(()) => Ok(self.endpoints.get(&id).cloned().ok_or(Error::Unknown(id))?),
            Err(error) => {
                if let Err(second) = self.delete(id) {
                    tracing::error!(endpoint = %id, error = %second, "a failed endpoint is not wholly removed");
                }
                Err(error)
            }
        }
    }

    fn build(&mut self, id: EndpointId) -> Result<(), Error> {
        let Some(row) = self.endpoints.get(&id).cloned() else {
            return Err(Error::Unknown(id));
        };
        let closed = Endpoint {
            ifindex: row.ifindex,
            id: id.0,
            flags: flags::NOT_READY,
            ..Endpoint::default()
        };
        self.forwarding.place_endpoint(place_of(&row), closed)?;
        self.interfaces.attach(row.ifindex)?;
        self.tell(id, Event::BuildStarted);
        self.absorb();
        self.claim(
            &ipcache::Resource::Endpoint(id),
            ipcache::endpoint_claims(&row),
        );
        let touched = self.tell_subject(id);
        self.settle(touched);
        self.save(id)?;
        self.bring_about();
        let there = self.endpoints.get(&id).ok_or(Error::Unknown(id))?;
        if !there.life.is_up_to_date() {
            let first = self.failures.first().map(|of| of.error.clone());
            let first = first.unwrap_or_else(|| "its policy is not known".to_owned());
            return Err(Error::Refused { id, first });
        }
        self.interfaces.set_up(row.ifindex)
    }

    /// Takes an endpoint down; what is already gone is not missed. After an error it is still there, without a way in or out
    /// if its interface is gone, and can be deleted again.
    pub(super) fn delete(&mut self, id: EndpointId) -> Result<EndpointRow, Error> {
        self.tell(id, Event::DisconnectRequested);
        let row = self.endpoints.get(&id).cloned().ok_or(Error::Unknown(id))?;
        let name = self.interfaces.name(row.ifindex)?;
        if name.is_some_and(|name| name == *row.ifname) {
            self.interfaces.remove(row.ifindex)?;
        }
        self.unsave(id)?;
        self.endpoints.remove(&id);
        self.slots.remove(&id);
        self.asked.remove(&id);
        self.forget_move(id);
        self.unfinished.remove(&id);
        self.claim(&ipcache::Resource::Endpoint(id), Vec::new());
        self.stale.places.insert(place_of(&row));
        let touched = self.tell_subject(id);
        self.settle(touched);
        self.bring_about();
        Ok(row)
    }

    pub(super) fn identify_now(&mut self, id: EndpointId, labels: LabelSet, identity: Identity) {
        let Some(row) = self.endpoints.get_mut(&id) else {
            return;
        };
        self.asked.remove(&id);
        if let Some(pod) = row.pod.as_ref().and_then(|name| self.inputs.pods.get(name)) {
            row.named_ports.clone_from(&pod.named_ports);
        }
        row.labels = labels;
        row.identity = Some(identity);
        row.life.apply(Event::IdentityKnown);
        row.life.apply(Event::BuildRequested);
        row.life.apply(Event::BuildStarted);
        let row = row.clone();
        self.stale.places.insert(place_of(&row));
        self.absorb();
        let mut touched = self.tell_subject(id);
        // The store may tell it later, and until then policies would drop whom they do not know.
        self.tell_peer(identity, &row.labels, &mut touched);
        self.claim(
            &ipcache::Resource::Endpoint(id),
            ipcache::endpoint_claims(&row),
        );
        self.settle(touched);
        if let Err(error) = self.save(id) {
            tracing::error!(endpoint = %id, %error, "a changed identity is not saved yet, trying again");
            self.unfinished.insert(id);
        }
        self.bring_about();
    }

    /// Attaches programs and writes files that an earlier try could not; says whether anything was done.
    pub(super) fn finish_endpoints(&mut self) -> bool {
        let mut finished = false;
        if self.strays {
            self.put_down_strays();
        }
        for id in self.unfinished.clone() {
            let Some(index) = self.endpoints.get(&id).map(|row| row.ifindex) else {
                self.unfinished.remove(&id);
                continue;
            };
            let attached = self
                .interfaces
                .attach(index)
                .and_then(|()| self.interfaces.set_up(index));
            match attached.and_then(|()| self.save(id)) {
                Ok(()) => {
                    self.unfinished.remove(&id);
                    finished = true;
                }
                Err(error) => tracing::warn!(endpoint = %id, %error, "trying again"),
            }
        }
        finished
    }

    fn tell(&mut self, id: EndpointId, event: Event) {
        if let Some(row) = self.endpoints.get_mut(&id) {
            row.life.apply(event);
        }
    }

    /// After a commit: which endpoints have in force what was asked for. Of those that were due, how many have, and have not.
    pub(super) fn note_in_force(&mut self) -> (usize, usize) {
        let revision = self.revision.max(1);
        let (mut built, mut failed) = (0, 0);
        for row in self
            .endpoints
            .values_mut()
            .filter(|row| row.identity.is_some())
        {
            if row.life.wants_build() {
                row.life.apply(Event::BuildStarted);
            }
            let due = row.state() != State::Ready || row.policy_revision != revision;
            let refused = self.refused.contains_key(&row.id);
            if self.forwarding.has_endpoint(place_of(row)) && !refused {
                row.life.apply(Event::BuildSucceeded);
                row.policy_revision = revision;
                built += usize::from(due);
            } else {
                row.life.apply(Event::BuildFailed);
                row.life.apply(Event::BuildRequested);
                failed += usize::from(due);
            }
        }
        (built, failed)
    }

    /// Takes over endpoints from before a restart. Those without a device are gone; a device that cannot be given its programs
    /// is down until it can.
    pub(super) fn restore(&mut self, rows: Vec<EndpointRow>) -> Result<(), Error> {
        let slots: BTreeMap<u16, u16> = self
            .forwarding
            .endpoints
            .rows()
            .values()
            .map(|endpoint| (endpoint.id, endpoint.slot))
            .collect();
        for mut row in rows {
            let id = row.id;
            let attached = match self.interfaces.name(row.ifindex) {
                Ok(name) if name.as_deref() != Some(&*row.ifname) => {
                    tracing::info!(endpoint = %id, interface = %row.ifname, "an endpoint is gone since the last run");
                    if let Err(error) = self.unsave(id) {
                        tracing::warn!(endpoint = %id, %error, "its file stays until the next start");
                    }
                    continue;
                }
                Ok(_) => self.interfaces.attach(row.ifindex),
                Err(error) => Err(error),
            };
            if let Err(error) = attached {
                tracing::error!(endpoint = %id, interface = %row.ifname, %error, "an endpoint is down for now, trying again");
                self.unfinished.insert(id);
            }
            row.life = LifeCycle::restored();
            if row.identity.is_some() {
                row.life.apply(Event::IdentityKnown);
            }
            let slot = match slots.get(&id.0) {
                Some(slot) if !self.slots.values().any(|used| used == slot) => *slot,
                _ => self.free_slot()?,
            };
            self.slots.insert(id, slot);
            self.claim(
                &ipcache::Resource::Endpoint(id),
                ipcache::endpoint_claims(&row),
            );
            self.stale.places.insert(place_of(&row));
            self.endpoints.insert(id, row);
            let touched = self.tell_subject(id);
            self.settle(touched);
        }
        self.put_down_strays();
        self.drop_unfinished();
        Ok(())
    }

    /// Removes files over which an agent was killed: each has a number of its own, and nobody would write it again.
    fn drop_unfinished(&self) {
        let directory = self.config.state_dir.join("endpoints");
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|of| of == UNFINISHED) {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// Puts down devices that carry our programs and are no endpoint's, because the file is lost or cannot be read: nobody could
    /// tell whose traffic it is, and their programs may be of a run whose tables nobody keeps any more. The plugin removes them.
    fn put_down_strays(&mut self) {
        let known = self.endpoints.values().map(|row| row.ifindex).collect();
        let put_down = self.interfaces.strays(&known).and_then(|strays| {
            for (index, name) in strays {
                self.interfaces.set_down(index)?;
                tracing::error!(interface = %name, "a pod's interface belongs to no endpoint that is known and is down");
            }
            Ok(())
        });
        match put_down {
            Ok(()) => self.strays = false,
            Err(error) => {
                tracing::warn!(%error, "interfaces without an endpoint may be up, trying again");
            }
        }
    }

    fn free_id(&self, wanted: EndpointId) -> Result<EndpointId, Error> {
        let free = |id: &u16| *id != 0 && !self.endpoints.contains_key(&EndpointId(*id));
        // Spread, so that a number rests before it is used again.
        let start = 1 + rand::random::<u16>() % 0xfff0;
        std::iter::once(wanted.0)
            .chain(start..=u16::MAX)
            .chain(1..start)
            .find(free)
            .map(EndpointId)
            .ok_or_else(|| Error::Exhausted("all endpoint numbers are in use".to_owned()))
    }

    fn free_slot(&self) -> Result<u16, Error> {
        let used: std::collections::BTreeSet<u16> = self.slots.values().copied().collect();
        (0..MAX_SLOTS as u16)
            .find(|slot| !used.contains(slot))
            .ok_or_else(|| Error::Exhausted(format!("this node has {MAX_SLOTS} endpoints already")))
    }

    fn file_of(&self, id: EndpointId) -> PathBuf {
        self.config
            .state_dir
            .join("endpoints")
            .join(format!("{id}.json"))
    }

    fn save(&self, id: EndpointId) -> Result<(), Error> {
        let failed = |message: String| Error::Save { id, message };
        let row = self.endpoints.get(&id).ok_or(Error::Unknown(id))?;
        if row.ends_with_agent() {
            return Ok(());
        }
        let text = saved::encode(row).map_err(|error| failed(error.to_string()))?;
        let path = self.file_of(id);
        let temporary = path.with_extension(UNFINISHED);
        std::fs::write(&temporary, text)
            .and_then(|()| std::fs::rename(&temporary, &path))
            .map_err(|error| failed(format!("{}: {error}", path.display())))
    }

    fn unsave(&self, id: EndpointId) -> Result<(), Error> {
        match std::fs::remove_file(self.file_of(id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::Save {
                id,
                message: error.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

/// How the name of a file ends that is not whole yet.
const UNFINISHED: &str = "new";

/// Endpoints that an earlier run saved; a file that cannot be read is left where it is, and said. One of another version is an
/// error: whoever wrote it knows an endpoint that we would put down.
pub fn read_saved(state_dir: &std::path::Path) -> std::io::Result<Vec<EndpointRow>> {
    let directory = state_dir.join("endpoints");
    std::fs::create_dir_all(&directory)?;
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let read = std::fs::read_to_string(&path).map(|text| saved::decode(&text));
        let error = match read {
            Ok(Ok(row)) => {
                rows.push(row);
                continue;
            }
            Ok(Err(error @ saved::SavedError::Version { .. })) => {
                let said = format!("{}: {error}; nothing was touched", path.display());
                return Err(std::io::Error::other(said));
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::error!(file = %path.display(), error, "an endpoint cannot be taken over");
    }
    rows.sort_by_key(|row| row.id);
    Ok(rows)
}
