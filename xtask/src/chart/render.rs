//! Calls of helm, none of which needs a cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::typed;

pub(super) struct Helm {
    program: PathBuf,
    chart: PathBuf,
    /// For values and charts of one call.
    scratch: PathBuf,
}

impl Helm {
    /// The program that `HELM` names, or the one of `tools/helm`.
    pub(super) fn find(chart: &Path) -> Result<Helm> {
        let program = match std::env::var_os("HELM") {
            Some(program) => program.into(),
            None => own()?,
        };
        let scratch = std::env::temp_dir().join(format!("axt-chart-{}", std::process::id()));
        fs::create_dir_all(&scratch)?;
        let helm = Helm {
            program,
            chart: chart.to_owned(),
            scratch,
        };
        let version = helm.call(&["version", "--short"])?;
        if !version.status.success() {
            bail!("{} is no helm", helm.program.display());
        }
        Ok(helm)
    }

    fn call(&self, words: &[&str]) -> Result<Output> {
        Command::new(&self.program)
            .args(words)
            .env("HELM_CACHE_HOME", self.scratch.join("cache"))
            .env("HELM_CONFIG_HOME", self.scratch.join("config"))
            .env("HELM_DATA_HOME", self.scratch.join("data"))
            .env("KUBECONFIG", "/dev/null")
            .stdin(Stdio::null())
            .output()
            .with_context(|| {
                format!(
                    "cannot start {}: name a helm with HELM",
                    self.program.display()
                )
            })
    }

    pub(super) fn lint(&self) -> Result<()> {
        let chart = self.chart.display().to_string();
        let output = self.call(&["lint", "--strict", &chart])?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stdout));
        }
        Ok(())
    }

    /// What an installation into `kube-system` would create.
    pub(super) fn template(&self, words: &[&str]) -> Result<String> {
        let output = self.templated(&self.chart, words)?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    fn templated(&self, chart: &Path, words: &[&str]) -> Result<Output> {
        let chart = chart.display().to_string();
        let mut all = vec!["template", "cilium", &chart, "--namespace", "kube-system"];
        all.extend(["--kube-version", "1.35.0"]);
        all.extend(words);
        self.call(&all)
    }

    pub(super) fn template_with(&self, values: &Value) -> Result<String> {
        let file = self.file(values)?;
        self.template(&["--values", &file])
    }

    fn file(&self, values: &Value) -> Result<String> {
        let path = self.scratch.join("values.json");
        fs::write(&path, values.to_string())?;
        Ok(path.display().to_string())
    }

    /// What is said to values that must not be accepted.
    pub(super) fn refusal_of(&self, values: &Value) -> Result<String> {
        let file = self.file(values)?;
        let output = self.templated(&self.chart, &["--values", &file])?;
        if output.status.success() {
            bail!("accepted: {values}");
        }
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// The chart's values: a chart of the same values that prints them.
    pub(super) fn values(&self) -> Result<Value> {
        let folder = self.scratch.join("values");
        fs::create_dir_all(folder.join("templates"))?;
        for name in ["Chart.yaml", "values.yaml"] {
            fs::copy(self.chart.join(name), folder.join(name))?;
        }
        let template = "values: {{ toJson .Values | quote }}\n";
        fs::write(folder.join("templates/values.yaml"), template)?;
        let output = self.templated(&folder, &[])?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("values: "));
        let quoted = line.with_context(|| {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            format!("{}: {error}", typed(&Command::new(&self.program)))
        })?;
        let json: String = serde_json::from_str(quoted)?;
        Ok(serde_json::from_str(&json)?)
    }
}

/// Builds ours if it is not there yet; the folder is the last line that is printed.
fn own() -> Result<PathBuf> {
    let us = std::env::current_exe()?;
    let output = Command::new(us)
        .args(["cluster", "tool", "helm"])
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let folder = text.lines().last().filter(|_| output.status.success());
    let folder = folder.context("there is no helm: name one with HELM")?;
    Ok(Path::new(folder).join("helm"))
}

impl Drop for Helm {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

/// Certificates are made anew in each call: only that they are there is compared.
pub(super) fn without_secrets(rendered: &str) -> String {
    let mut text = String::new();
    for line in rendered.lines() {
        let is_secret = ["ca.crt: ", "ca.key: ", "tls.crt: ", "tls.key: "]
            .iter()
            .find(|key| line.trim_start().starts_with(**key) && line.len() > 60);
        match is_secret {
            Some(key) => text.extend(["  ", key, "MADE"]),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}
