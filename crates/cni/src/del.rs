//! DEL: link and endpoint go; what the agent cannot be told now waits for it.

use local_api::endpoint::EndpointBatchDeleteRequest;
use netlink::{Handle, Namespace, link};

use crate::agent::{Agent, Deleted, delete_body};
use crate::attachment::Attachment;
use crate::error::Error;
use crate::input::{Arguments, Chaining, Config};
use crate::log::Log;
use crate::queue::Queue;

pub(crate) fn run(
    arguments: &Arguments,
    config: &Config,
    agent: &Agent,
    log: &Log,
) -> Result<(), Error> {
    std::thread::scope(|scope| {
        // A veth pair takes tens of milliseconds to go; the agent is asked meanwhile. The thread stays in this namespace.
        let links = scope.spawn(|| remove_links(arguments, config));
        let forgotten = forget(
            &arguments.attachment,
            &delete_body(&arguments.attachment),
            config,
            agent,
            log,
        );
        let removed = links
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        removed.and(forgotten)
    })
}

/// Chained, the interface is the other plugin's.
fn remove_links(arguments: &Arguments, config: &Config) -> Result<(), Error> {
    if config.chaining == Chaining::Veth {
        return Ok(());
    }
    let host_link = arguments.attachment.host_link();
    Handle::open()?.run(&link::delete(host_link.as_str()).or_gone())?;
    // The pod's end goes with it, unless it is not our pair's. A namespace that is gone took all with it.
    let Some(pod) = arguments
        .netns
        .as_deref()
        .and_then(|path| Namespace::open(path).ok())
    else {
        return Ok(());
    };
    if pod.is_same(&Namespace::current()?)? {
        return Ok(());
    }
    let in_pod = Handle::open_in(&pod)?;
    let interface = arguments.attachment.interface.as_str();
    let is_veth = in_pod
        .find_link(interface)?
        .is_some_and(|link| link.kind == "veth");
    if is_veth {
        in_pod.run(&link::delete(interface).or_gone())?;
    }
    Ok(())
}

/// Has the agent forget an attachment, now or when it is back. Only a refusal that a later try cannot change is an error.
pub(crate) fn forget(
    attachment: &Attachment,
    body: &EndpointBatchDeleteRequest,
    config: &Config,
    agent: &Agent,
    log: &Log,
) -> Result<(), Error> {
    if agent.delete(body)? == Deleted::Yes {
        return Ok(());
    }
    let queue = match Queue::open(&config.state) {
        Ok(queue) => queue,
        Err(error) => {
            log.error(&format!(
                "the delete is lost, the queue cannot be used: {error}"
            ));
            return Ok(());
        }
    };
    // The agent may have come back, and replayed its queue, while the lock was waited for.
    if agent.delete(body)? == Deleted::Yes {
        return Ok(());
    }
    match queue.add(attachment, body) {
        Ok(()) => log.info("the agent is away, the delete is queued"),
        Err(error) => log.error(&format!("the delete is lost, it cannot be queued: {error}")),
    }
    Ok(())
}
