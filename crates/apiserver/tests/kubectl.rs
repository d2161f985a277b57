//! The real kubectl against our server; a test that finds none on PATH says that it was skipped.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(clippy::too_many_lines, reason = "a contract reads best as one story")]

#[path = "support/driver.rs"]
mod driver;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use apiserver::{Config, Running, Server, TlsSource};
use serde_json::Value;

struct Kubectl {
    home: PathBuf,
    runtime: tokio::runtime::Runtime,
    running: Option<Running>,
    _directory: tempfile::TempDir,
}

impl Kubectl {
    /// A server with TLS and a token, and the kubeconfig it writes; `None` without kubectl.
    fn new() -> Option<Self> {
        Command::new("kubectl")
            .args(["version", "--client"])
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().to_owned();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut config = Config::new(home.join("data"));
        config.tls = Some(TlsSource::SelfMade);
        config.token = Some("kubectl-token".to_owned());
        let running = runtime.block_on(Server::start(config)).unwrap();
        running.write_kubeconfig(&home.join("kubeconfig")).unwrap();
        Some(Self {
            home,
            runtime,
            running: Some(running),
            _directory: directory,
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .env("HOME", &self.home)
            .env("KUBECONFIG", self.home.join("kubeconfig"));
        command
            .arg("--cache-dir")
            .arg(self.home.join("cache"))
            .args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "kubectl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            !output.status.success(),
            "kubectl {arguments:?} was not refused"
        );
        String::from_utf8(output.stderr).unwrap()
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.home.join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }
}

impl Drop for Kubectl {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
    }
}

const SHOP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {endpointSelector: {matchLabels: {app: web}}, ingress: [{}]}
";

#[test]
fn kubectl_creates_gets_watches_replaces_and_deletes() {
    let Some(kubectl) = Kubectl::new() else {
        println!("skipped, needs kubectl on PATH");
        return;
    };
    let shop = kubectl.file("shop.yaml", SHOP);
    let created = kubectl.ok(&["create", "-f", &shop]);
    assert_eq!(created.lines().count(), 3, "{created}");
    let table = kubectl.ok(&["get", "svc", "-n", "shop"]);
    let heading: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(
        heading,
        [
            "NAME",
            "TYPE",
            "CLUSTER-IP",
            "EXTERNAL-IP",
            "PORT(S)",
            "AGE"
        ]
    );
    assert!(table.contains("80/TCP"), "{table}");
    let policies = kubectl.ok(&["get", "cnp", "-A"]);
    assert!(
        policies.lines().next().unwrap().contains("VALID"),
        "{policies}"
    );

    let mut watch = kubectl
        .command(&["get", "svc", "web", "-n", "shop", "-w"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(lines.next().unwrap().starts_with("NAME"));
    assert!(lines.next().unwrap().contains("80/TCP"));
    let address: Value =
        serde_json::from_str(&kubectl.ok(&["get", "svc", "web", "-n", "shop", "-o", "json"]))
            .unwrap();
    kubectl.ok(&[
        "replace",
        "-f",
        &kubectl.file("shop2.yaml", &SHOP.replace("port: 80", "port: 81")),
    ]);
    assert!(
        lines.next().unwrap().contains("81/TCP"),
        "the watch shows what was replaced"
    );
    watch.kill().unwrap();
    watch.wait().unwrap();
    let replaced: Value =
        serde_json::from_str(&kubectl.ok(&["get", "svc", "web", "-n", "shop", "-o", "json"]))
            .unwrap();
    assert_eq!(replaced["spec"]["clusterIP"], address["spec"]["clusterIP"]);

    kubectl.ok(&["label", "svc", "web", "-n", "shop", "team=a"]);
    kubectl.ok(&[
        "patch",
        "svc",
        "web",
        "-n",
        "shop",
        "--type=json",
        "-p",
        r#"[{"op":"remove","path":"/metadata/labels/team"}]"#,
    ]);
    // The namespace comes first in the file and takes the rest along.
    kubectl.ok(&["delete", "--ignore-not-found", "-f", &shop]);
    assert!(kubectl.refused(&["get", "ns", "shop"]).contains("NotFound"));
}

#[test]
fn kubectl_creates_namespaces_maps_secrets_accounts_and_services_by_name() {
    let Some(kubectl) = Kubectl::new() else {
        println!("skipped, needs kubectl on PATH");
        return;
    };
    kubectl.ok(&["create", "namespace", "shop"]);
    let json = |arguments: &[&str]| -> Value {
        let all: Vec<&str> = arguments
            .iter()
            .copied()
            .chain(["-n", "shop", "-o", "json"])
            .collect();
        serde_json::from_str(&kubectl.ok(&all)).unwrap()
    };
    let map = json(&["create", "configmap", "c", "--from-literal=k=v"]);
    assert_eq!(
        (&map["data"]["k"], &map["metadata"]["namespace"]),
        (&Value::from("v"), &Value::from("shop"))
    );
    let secret = json(&["create", "secret", "generic", "s", "--from-literal=k=v"]);
    assert_eq!(secret["data"]["k"], "dg==");
    json(&["create", "serviceaccount", "a"]);
    let service = json(&[
        "create",
        "service",
        "nodeport",
        "web",
        "--tcp=80:8080",
        "--node-port=30080",
    ]);
    let port = &service["spec"]["ports"][0];
    assert_eq!(
        (&port["port"], &port["targetPort"], &port["nodePort"]),
        (&80.into(), &8080.into(), &30080.into())
    );
    assert_eq!(service["spec"]["selector"]["app"], "web");
    let named = json(&["create", "service", "clusterip", "named", "--tcp=80:http"]);
    assert_eq!(named["spec"]["ports"][0]["targetPort"], "http");
    let headless = json(&["create", "service", "clusterip", "none", "--clusterip=None"]);
    assert_eq!(headless["spec"]["clusterIPs"], serde_json::json!(["None"]));
    let external = json(&[
        "create",
        "service",
        "externalname",
        "out",
        "--external-name=example.com",
    ]);
    assert_eq!(external["spec"]["externalName"], "example.com");
    assert!(
        kubectl
            .refused(&["create", "deployment", "d", "--image=i"])
            .contains("could not find the requested resource")
    );
}

#[test]
fn kubectl_reads_additional_columns_of_a_crd_it_created() {
    let Some(kubectl) = Kubectl::new() else {
        println!("skipped, needs kubectl on PATH");
        return;
    };
    let crd = kubectl.file("crd.json", &driver::widgets("example.com").to_string());
    kubectl.ok(&["create", "-f", &crd]);
    kubectl.ok(&[
        "wait",
        "--for=condition=Established",
        "crd/widgets.example.com",
        "--timeout=10s",
    ]);
    let one = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {size: 7}\n";
    kubectl.ok(&["create", "-f", &kubectl.file("widget.yaml", one)]);
    let table = kubectl.ok(&["get", "widgets"]);
    assert_eq!(
        table.split_whitespace().collect::<Vec<_>>(),
        ["NAME", "SIZE", "w", "7"]
    );
    kubectl.ok(&["delete", "crd", "widgets.example.com"]);
    let gone = kubectl.refused(&["get", "widgets"]);
    assert!(
        gone.contains("resource type") || gone.contains("NotFound"),
        "{gone}"
    );
}

#[test]
fn kubectl_apply_works_on_custom_kinds_and_is_refused_with_a_sentence_elsewhere() {
    let Some(kubectl) = Kubectl::new() else {
        println!("skipped, needs kubectl on PATH");
        return;
    };
    let shop = kubectl.file("shop.yaml", SHOP);
    kubectl.ok(&["apply", "-f", &shop]);
    kubectl.ok(&["apply", "-f", &shop]);
    let refusal = kubectl.refused(&[
        "apply",
        "-f",
        &kubectl.file("shop2.yaml", &SHOP.replace("port: 80", "port: 81")),
    ]);
    assert!(refusal.contains("no strategic merge"), "{refusal}");
    let refusal = kubectl.refused(&["apply", "--server-side", "-f", &shop]);
    assert!(refusal.contains("no server-side apply"), "{refusal}");
    let policy = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspec: {description: NOTE}\n";
    kubectl.ok(&["apply", "-f", &kubectl.file("p.yaml", policy)]);
    kubectl.ok(&[
        "apply",
        "-f",
        &kubectl.file("p.yaml", &policy.replace("NOTE", "changed")),
    ]);
    assert!(
        kubectl
            .ok(&["get", "cnp", "p", "-o", "jsonpath={.spec.description}"])
            .contains("changed")
    );
    assert!(Path::new(&shop).exists());
}
