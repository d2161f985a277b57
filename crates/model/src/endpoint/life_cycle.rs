//! The life of an endpoint: which states it passes, and that no request for a build is ever forgotten.

use std::fmt;

/// The states of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Its identity is being looked for; nothing can be built.
    WaitingForIdentity,
    /// The last build failed; it waits for another try.
    NotReady,
    /// A build is asked for and has not begun.
    WaitingToRegenerate,
    /// A build is under way.
    Regenerating,
    /// Taken over from before a restart; what is in the kernel stays in force until the first build.
    Restoring,
    /// What was asked for is in force.
    Ready,
    /// It is being taken down.
    Disconnecting,
    /// It is gone.
    Disconnected,
}

impl State {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WaitingForIdentity => "waiting-for-identity",
            Self::NotReady => "not-ready",
            Self::WaitingToRegenerate => "waiting-to-regenerate",
            Self::Regenerating => "regenerating",
            Self::Restoring => "restoring",
            Self::Ready => "ready",
            Self::Disconnecting => "disconnecting",
            Self::Disconnected => "disconnected",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What can happen to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Its labels changed, so that its identity has to be found anew. What is in force stays.
    LabelsChanged,
    /// Its identity is known.
    IdentityKnown,
    /// Something changed that it depends on: policy, named ports, configuration.
    BuildRequested,
    /// The builder took it up.
    BuildStarted,
    /// The build is in force.
    BuildSucceeded,
    /// The build failed.
    BuildFailed,
    /// It shall go.
    DisconnectRequested,
    /// It is gone.
    Disconnected,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Fresh,
    Restored,
    Disconnecting,
    Disconnected,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IdentityKnown {
    Yes,
    No,
}

/// How the last build ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastBuild {
    None,
    Succeeded,
    Failed,
}

/// The life of one endpoint. Requests are counted, not queued: a build serves every request that came before it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifeCycle {
    phase: Phase,
    identity: IdentityKnown,
    /// Requests so far; the creation is the first.
    requested: u64,
    /// Requests served.
    built: u64,
    /// Requests that the build under way serves.
    building: Option<u64>,
    last_build: LastBuild,
}

impl LifeCycle {
    /// A new endpoint: its identity is not known, and its first build is asked for.
    pub fn created() -> Self {
        Self {
            phase: Phase::Fresh,
            identity: IdentityKnown::No,
            requested: 1,
            built: 0,
            building: None,
            last_build: LastBuild::None,
        }
    }

    /// An endpoint from before a restart.
    pub fn restored() -> Self {
        Self {
            phase: Phase::Restored,
            ..Self::created()
        }
    }

    /// Takes in an event. Events that mean nothing in this state change nothing.
    pub fn apply(&mut self, event: Event) {
        if self.phase == Phase::Disconnected {
            return;
        }
        match event {
            Event::LabelsChanged => {
                self.identity = IdentityKnown::No;
                self.requested += 1;
            }
            Event::IdentityKnown => self.identity = IdentityKnown::Yes,
            Event::BuildRequested => self.requested += 1,
            Event::BuildStarted => {
                if self.wants_build() {
                    self.building = Some(self.requested);
                }
            }
            Event::BuildSucceeded => {
                if let Some(served) = self.building.take() {
                    self.built = served;
                    self.last_build = LastBuild::Succeeded;
                    if self.phase == Phase::Restored {
                        self.phase = Phase::Fresh;
                    }
                }
            }
            Event::BuildFailed => {
                if self.building.take().is_some() {
                    self.last_build = LastBuild::Failed;
                }
            }
            Event::DisconnectRequested => self.phase = Phase::Disconnecting,
            Event::Disconnected => self.phase = Phase::Disconnected,
        }
    }

    /// Whether a build is to be started now (after a back-off, when the last one failed).
    pub fn wants_build(&self) -> bool {
        matches!(self.phase, Phase::Fresh | Phase::Restored)
            && self.identity == IdentityKnown::Yes
            && self.building.is_none()
            && self.built < self.requested
    }

    /// Whether everything that was asked for is in force.
    pub fn is_up_to_date(&self) -> bool {
        self.built == self.requested
    }

    /// Requests so far. What was true at this number is in force when [`Self::built`] reaches it.
    pub fn requested(&self) -> u64 {
        self.requested
    }

    /// Requests served.
    pub fn built(&self) -> u64 {
        self.built
    }

    /// The state, in the API's words.
    pub fn state(&self) -> State {
        match (self.phase, self.identity) {
            (Phase::Disconnected, _) => State::Disconnected,
            (Phase::Disconnecting, _) => State::Disconnecting,
            _ if self.building.is_some() => State::Regenerating,
            (Phase::Restored, _) => State::Restoring,
            (Phase::Fresh, IdentityKnown::No) => State::WaitingForIdentity,
            (Phase::Fresh, IdentityKnown::Yes) if self.is_up_to_date() => State::Ready,
            (Phase::Fresh, IdentityKnown::Yes) if self.last_build == LastBuild::Failed => {
                State::NotReady
            }
            (Phase::Fresh, IdentityKnown::Yes) => State::WaitingToRegenerate,
        }
    }
}
