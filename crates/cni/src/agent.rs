//! The agent, with the patience each step deserves.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use local_api::client::encode;
use local_api::config::DaemonConfiguration;
use local_api::endpoint::{
    Endpoint, EndpointBatchDeleteRequest, EndpointChangeRequest, EndpointHealth,
};
use local_api::health::StatusResponse;
use local_api::ipam::IpamResponse;
use local_api::{Client, Error, Method, Request, Timeouts};
use netlink::Family;

use crate::Limits;
use crate::attachment::Attachment;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What became of a request to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// The agent has no such endpoint any more.
    Yes,
    /// The agent could not be asked, or failed.
    Unknown,
}

/// A client of the agent for the length of one call.
pub(crate) struct Agent {
    patient: Client,
    brief: Client,
    limits: Limits,
    start: Instant,
}

impl Agent {
    pub(crate) fn new(socket: PathBuf, limits: Limits) -> Self {
        let timeouts = |total| Timeouts {
            connect: limits.brief,
            total,
        };
        Self {
            patient: Client::new(&socket).with_timeouts(timeouts(limits.answer)),
            brief: Client::new(socket).with_timeouts(timeouts(limits.brief)),
            limits,
            start: Instant::now(),
        }
    }

    /// Tries again while the agent is away or says it is too busy: in both cases nothing was done.
    fn reach<T>(&self, attempt: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
        let mut pause = FIRST_PAUSE;
        loop {
            match attempt() {
                Err(
                    error @ (Error::Connect { .. }
                    | Error::Status {
                        status: 429 | 503, ..
                    }),
                ) => {
                    if self.start.elapsed() + pause > self.limits.reach {
                        return Err(error);
                    }
                }
                other => return other,
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    pub(crate) fn config(&self) -> Result<DaemonConfiguration, Error> {
        self.reach(|| self.patient.get("/v1/config"))
    }

    /// An address of one family, which the agent takes back by itself unless an endpoint with it follows.
    pub(crate) fn allocate(&self, family: Family, owner: &str) -> Result<IpamResponse, Error> {
        let family = if family == Family::V4 { "ipv4" } else { "ipv6" };
        let request = Request::new(Method::Post, "/v1/ipam")
            .query("family", family)
            .query("owner", owner)
            .header("expiration", "true");
        self.reach(|| self.patient.call(&request))
    }

    /// Gives an address back; the owner is named so that nobody else's goes.
    pub(crate) fn release(&self, address: IpAddr, pool: &str, owner: &str) -> Result<(), Error> {
        let path = format!("/v1/ipam/{}", encode(&address.to_string()));
        let mut request = Request::new(Method::Delete, path).query("owner", owner);
        if !pool.is_empty() {
            request = request.query("pool", pool);
        }
        self.brief.send(&request).map(|_| ())
    }

    pub(crate) fn create(&self, endpoint: &EndpointChangeRequest) -> Result<Endpoint, Error> {
        let request = Request::new(Method::Put, "/v1/endpoint/cilium-local:0").json(endpoint)?;
        self.reach(|| self.patient.call(&request))
    }

    pub(crate) fn endpoint(&self, attachment: &Attachment) -> Result<Endpoint, Error> {
        self.reach(|| self.brief.get(&endpoint_path(attachment)))
    }

    pub(crate) fn endpoint_health(&self, attachment: &Attachment) -> Result<EndpointHealth, Error> {
        self.reach(|| {
            self.brief
                .get(&format!("{}/healthz", endpoint_path(attachment)))
        })
    }

    /// All endpoints; 404 is the agent's way to say that there are none.
    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>, Error> {
        match self.reach(|| self.brief.get("/v1/endpoint")) {
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            other => other,
        }
    }

    pub(crate) fn delete(&self, body: &EndpointBatchDeleteRequest) -> Result<Deleted, Error> {
        let request = Request::new(Method::Delete, "/v1/endpoint").json(body)?;
        match self.brief.send(&request) {
            Ok(_) => Ok(Deleted::Yes),
            Err(error) if error.is_not_found() => Ok(Deleted::Yes),
            Err(error)
                if error.is_unreachable()
                    || error
                        .status()
                        .is_some_and(|status| status == 429 || status >= 500) =>
            {
                Ok(Deleted::Unknown)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn health(&self) -> Result<StatusResponse, Error> {
        self.brief
            .call(&Request::new(Method::Get, "/v1/healthz").header("brief", "true"))
    }
}

fn endpoint_path(attachment: &Attachment) -> String {
    format!(
        "/v1/endpoint/cni-attachment-id:{}",
        encode(&attachment.to_string())
    )
}

/// The body that names one attachment.
pub(crate) fn delete_body(attachment: &Attachment) -> EndpointBatchDeleteRequest {
    EndpointBatchDeleteRequest {
        container_id: attachment.container.clone(),
        container_interface_name: attachment.interface.clone(),
    }
}
