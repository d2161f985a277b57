//! GC: endpoints of attachments that the runtime does not know go, with their links and addresses.

use local_api::endpoint::Endpoint;
use netlink::{Handle, link};

use crate::agent::{Agent, Deleted, delete_body};
use crate::attachment::Attachment;
use crate::error::{Code, Error};
use crate::input::{Chaining, Config};
use crate::log::Log;

/// Tries all, also behind a failure; the error is the first.
pub(crate) fn run(config: &Config, agent: &Agent, log: &Log) -> Result<(), Error> {
    let Some(valid) = &config.valid_attachments else {
        // Absent must not be read as empty: everything would go.
        return Err(Error::new(
            Code::InvalidConfig,
            "cni.dev/valid-attachments is missing",
        ));
    };
    let mut outcome = Ok(());
    for endpoint in agent.endpoints()? {
        let Some(attachment) =
            attachment_of(&endpoint).filter(|attachment| !valid.contains(attachment))
        else {
            continue;
        };
        log.info(&format!("remove attachment {attachment}"));
        outcome = outcome.and(remove(&attachment, config, agent));
    }
    outcome
}

/// The attachment an endpoint was made for; endpoints that no runtime asked for (host, health) have none.
fn attachment_of(endpoint: &Endpoint) -> Option<Attachment> {
    let identifiers = endpoint.status.as_ref()?.external_identifiers.as_ref()?;
    let (container, interface) = identifiers.cni_attachment_id.rsplit_once(':')?;
    if container.is_empty() || interface.is_empty() {
        return None;
    }
    Some(Attachment {
        container: container.to_owned(),
        interface: interface.to_owned(),
    })
}

fn remove(attachment: &Attachment, config: &Config, agent: &Agent) -> Result<(), Error> {
    if config.chaining == Chaining::Alone {
        Handle::open()?.run(&link::delete(attachment.host_link().as_str()).or_gone())?;
    }
    match agent.delete(&delete_body(attachment))? {
        Deleted::Yes => Ok(()),
        Deleted::Unknown => Err(Error::new(
            Code::TryAgain,
            format!("the agent did not delete attachment {attachment}"),
        )),
    }
}
