//! Flags of commands that ask the API server themselves, because there may be no agent yet.

use std::path::PathBuf;

use anyhow::Context as _;
use store::{Client, Options};

#[derive(clap::Args, Debug)]
pub(super) struct ApiServerArgs {
    /// Kubeconfig of the API server, outside of a pod
    #[arg(long, value_name = "FILE")]
    k8s_kubeconfig_path: Option<PathBuf>,
    /// URLs of the API server, tried in turn
    #[arg(long, value_name = "URL,…", value_delimiter = ',')]
    k8s_api_server_urls: Vec<String>,
}

impl ApiServerArgs {
    /// A client of the server that the flags name, or of the one that pods are told of.
    pub(super) async fn client(&self) -> anyhow::Result<Client> {
        let mut options = Options::named("axoneme");
        options.kubeconfig.clone_from(&self.k8s_kubeconfig_path);
        options.urls.clone_from(&self.k8s_api_server_urls);
        Client::new(options).await.context("no API server is known")
    }
}
