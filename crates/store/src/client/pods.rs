//! What is done inside of pods through the API server: run a command, reach a port, read a log.
//!
//! The first two are streams over WebSocket (KEP-4006), which the server hands on to the kubelet of the pod's node.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::AttachParams;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::path::Query;
use super::send::Call;
use super::{Client, Error};

/// Between the socket and the reader of an output, in bytes; the client's own 1 KiB make long outputs slow.
const BUFFER: usize = 64 * 1024;

/// A container, and the command for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exec {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Which of its containers; empty where there is one only.
    pub container: String,
    /// The program and its arguments; no shell looks at them.
    pub command: Vec<String>,
    /// It fails if it runs longer. The command is not ended by that: the protocol has no word for it.
    pub limit: Duration,
    /// It fails if it says more than so many bytes, on either of its outputs.
    pub most: usize,
}

/// What a command did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Executed {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Exit code.
    pub code: i32,
}

/// Which part of a container's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogPart {
    /// That of the container before the last restart.
    pub previous: bool,
    /// At most so many bytes, from the beginning; 0 for all.
    pub bytes: u64,
    /// At most so many lines, from the end; 0 for all.
    pub lines: u64,
    /// Only of the last seconds; 0 for all.
    pub seconds: u64,
}

impl Client {
    /// Runs a command in a container to its end. An error means that it was not run, or that its end is not known; a command
    /// that fails is none.
    pub async fn exec(&self, exec: &Exec) -> Result<Executed, Error> {
        let path = exec.path();
        let call = Call::new("exec", Method::GET, &path);
        self.pace.wait().await;
        let done = tokio::time::timeout(exec.limit, self.attached(exec, &call)).await;
        done.unwrap_or_else(|_| Err(call.failed(format!("no end within {:?}", exec.limit))))
    }

    async fn attached(&self, exec: &Exec, call: &Call<'_>) -> Result<Executed, Error> {
        let mut parameters = AttachParams::default()
            .stdin(false)
            .stdout(true)
            .stderr(true)
            .max_stdout_buf_size(BUFFER)
            .max_stderr_buf_size(BUFFER);
        if !exec.container.is_empty() {
            parameters = parameters.container(&exec.container);
        }
        let pods = self.pods(&exec.namespace);
        let started = pods.exec(&exec.pod, &exec.command, &parameters).await;
        let mut process = started.map_err(|error| of_stream(call, error))?;
        let (stdout, stderr) = (process.stdout(), process.stderr());
        let status = process.take_status();
        let (stdout, stderr) = tokio::join!(whole(stdout, exec.most), whole(stderr, exec.most));
        let (stdout, stderr) = (
            stdout.map_err(|e| call.failed(e))?,
            stderr.map_err(|e| call.failed(e))?,
        );
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        // The server says how it went in its last message; without that nobody knows.
        let status = status
            .ok_or_else(|| call.failed("the connection ended before the command".to_owned()))?;
        let code = code_of(&status).map_err(|message| call.failed(message))?;
        Ok(Executed {
            stdout,
            stderr,
            code,
        })
    }

    /// A stream to a TCP port of a pod, as from inside of its network namespace.
    pub async fn port_forward(
        &self,
        namespace: &str,
        pod: &str,
        port: u16,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>, Error> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/portforward");
        let call = Call::new("forward", Method::GET, &path);
        self.pace.wait().await;
        let pods = self.pods(namespace);
        let limit = self.shared.options.request_timeout;
        let forwarded = tokio::time::timeout(limit, pods.portforward(pod, &[port])).await;
        let forwarded = forwarded.map_err(|_| call.silent())?;
        let mut forwarder = forwarded.map_err(|error| of_stream(&call, error))?;
        let stream = forwarder.take_stream(port);
        stream.ok_or_else(|| call.failed(format!("no stream to port {port}")))
    }

    /// The log of a container, as it was written.
    pub async fn log(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        part: LogPart,
    ) -> Result<Bytes, Error> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log");
        let mut query = Query::new(&path);
        query.add("container", container);
        if part.previous {
            query.add("previous", "true");
        }
        for (name, value) in [
            ("limitBytes", part.bytes),
            ("tailLines", part.lines),
            ("sinceSeconds", part.seconds),
        ] {
            if value > 0 {
                query.add(name, &value.to_string());
            }
        }
        self.paced(&Call::new("read", Method::GET, &query.text))
            .await
    }

    fn pods(&self, namespace: &str) -> Api<Pod> {
        let connection = self.shared.current.load_full();
        Api::namespaced(connection.client.clone(), namespace)
    }
}

impl Exec {
    fn path(&self) -> String {
        format!(
            "/api/v1/namespaces/{}/pods/{}/exec",
            self.namespace, self.pod
        )
    }
}

async fn whole(from: Option<impl AsyncRead + Unpin>, most: usize) -> Result<Vec<u8>, String> {
    let mut read = Vec::new();
    let Some(from) = from else {
        return Ok(read);
    };
    // One byte more tells a full answer from one that was cut.
    let mut from = from.take(most as u64 + 1);
    from.read_to_end(&mut read)
        .await
        .map_err(|error| error.to_string())?;
    if read.len() > most {
        return Err(format!("it says more than {most} bytes"));
    }
    Ok(read)
}

/// A command that fails is told by its code among the causes; what is refused or cannot be started has none.
fn code_of(status: &Status) -> Result<i32, String> {
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status
        .details
        .as_ref()
        .and_then(|details| details.causes.as_ref());
    let code = causes.into_iter().flatten().find_map(|cause| {
        let exit = cause.reason.as_deref() == Some("ExitCode");
        exit.then(|| cause.message.as_deref()?.parse().ok())
            .flatten()
    });
    let message = || {
        status
            .message
            .clone()
            .unwrap_or_else(|| "it failed, without a reason".to_owned())
    };
    code.ok_or_else(message)
}

fn of_stream(call: &Call<'_>, error: kube::Error) -> Error {
    match error {
        kube::Error::Api(status) => call.refusal(status.code, status.message.clone()),
        error => call.broken(&error),
    }
}

#[cfg(test)]
mod tests;
