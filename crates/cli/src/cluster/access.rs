//! Which API server is meant: flags, environment, the home directory, or the pod that this program runs in, as for kubectl.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use store::{Client, Options};

/// Flags of all commands that ask an API server.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct AccessArgs {
    /// Kubeconfig of the API server; in the environment several, as in PATH [default: ~/.kube/config, in a pod its service account]
    #[arg(
        long,
        env = "KUBECONFIG",
        value_name = "FILE",
        help_heading = "API server"
    )]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME", help_heading = "API server")]
    pub(crate) context: Option<String>,
}

impl AccessArgs {
    /// The kubeconfig that is named, or the one in the home directory.
    pub(crate) fn kubeconfig(&self) -> Option<PathBuf> {
        let home = || {
            let home = std::env::var_os("HOME")?;
            Some(Path::new(&home).join(".kube/config")).filter(|path| path.exists())
        };
        let named = self.kubeconfig.as_deref();
        let named = named.filter(|path| !path.as_os_str().is_empty());
        named.map(Path::to_owned).or_else(home)
    }

    /// Whether there is an API server to ask: by kubeconfig, or because this is a pod.
    pub(crate) fn is_server_known(&self) -> bool {
        self.kubeconfig().is_some() || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
    }

    /// A client; nothing is connected yet.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        anyhow::ensure!(
            self.is_server_known(),
            "no API server is known: name a kubeconfig with --kubeconfig or KUBECONFIG"
        );
        let options = Options {
            kubeconfig: self.kubeconfig(),
            context: self.context.clone(),
            requests_per_second: 100.0,
            burst: 100.0,
            ..Options::named("axoneme")
        };
        Client::new(options)
            .await
            .context("cannot use the kubeconfig")
    }
}
