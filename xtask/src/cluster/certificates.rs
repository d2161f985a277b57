//! Keys, certificates and kubeconfigs of a cluster; what exists stays.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::families::{CONTROL, Families, host_port};
use super::layout::{API_PORT, Layout};

#[cfg(test)]
mod tests;

/// Whom a certificate is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Subject {
    /// Name of its files.
    file: String,
    common: String,
    /// The group that the API server reads from it.
    organization: Option<String>,
    names: Vec<String>,
    addresses: Vec<String>,
}

/// Makes all of them.
pub(super) fn make(layout: &Layout) -> Result<()> {
    let keys = layout.keys();
    if keys.join("complete").exists() {
        return Ok(());
    }
    fs::create_dir_all(&keys)?;
    let authority = authority(&keys, "ca", "axoneme test cluster")?;
    for subject in subjects(layout) {
        issue(&keys, &authority, &subject)?;
    }
    let front = self::authority(
        &keys,
        "front-proxy-ca",
        "axoneme test cluster's front proxy",
    )?;
    issue(&keys, &front, &named("front-proxy", "front-proxy-client"))?;
    let accounts = KeyPair::generate()?;
    fs::write(keys.join("accounts.key"), accounts.serialize_pem())?;
    fs::write(keys.join("accounts.pub"), accounts.public_key_pem())?;
    for who in clients(layout) {
        fs::write(layout.kubeconfig(&who), kubeconfig(layout, &who))?;
    }
    fs::write(keys.join("complete"), "")?;
    Ok(())
}

fn named(file: &str, common: &str) -> Subject {
    Subject {
        file: file.to_owned(),
        common: common.to_owned(),
        ..Subject::default()
    }
}

/// All whose certificates the cluster's authority signs.
fn subjects(layout: &Layout) -> Vec<Subject> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let mut subjects = vec![
        Subject {
            names: owned(&[
                "localhost",
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
            ]),
            addresses: api_addresses(),
            ..named("apiserver", "kube-apiserver")
        },
        Subject {
            organization: Some("system:masters".to_owned()),
            ..named("admin", "admin")
        },
        Subject {
            addresses: owned(&["127.0.0.1"]),
            ..named("controllers", "system:kube-controller-manager")
        },
        Subject {
            addresses: owned(&["127.0.0.1"]),
            ..named("scheduler", "system:kube-scheduler")
        },
    ];
    for node in layout.nodes() {
        subjects.push(Subject {
            file: format!("node-{}", node.name),
            common: format!("system:node:{}", node.name),
            organization: Some("system:nodes".to_owned()),
            names: vec![node.name.to_owned()],
            addresses: node.addresses,
        });
    }
    subjects
}

/// Of both families, whichever the cluster speaks.
fn api_addresses() -> Vec<String> {
    let mut addresses = vec!["127.0.0.1".to_owned(), "::1".to_owned()];
    for family in Families::Dual.all() {
        addresses.push(family.address(CONTROL));
        addresses.push(family.api_service().to_owned());
    }
    addresses
}

/// Those who get a kubeconfig.
fn clients(layout: &Layout) -> Vec<String> {
    let mut clients = ["admin", "controllers", "scheduler"]
        .map(str::to_owned)
        .to_vec();
    clients.extend(
        layout
            .nodes()
            .iter()
            .map(|node| format!("node-{}", node.name)),
    );
    clients
}

fn authority(keys: &Path, file: &str, common: &str) -> Result<Issuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    fs::write(keys.join(format!("{file}.crt")), certificate.pem())?;
    fs::write(keys.join(format!("{file}.key")), key.serialize_pem())?;
    Ok(Issuer::new(params, key))
}

fn issue(keys: &Path, authority: &Issuer<'static, KeyPair>, subject: &Subject) -> Result<()> {
    let key = KeyPair::generate()?;
    let certificate = parameters(subject)?
        .signed_by(&key, authority)
        .with_context(|| format!("certificate of {}", subject.common))?;
    fs::write(
        keys.join(format!("{}.crt", subject.file)),
        certificate.pem(),
    )?;
    fs::write(
        keys.join(format!("{}.key", subject.file)),
        key.serialize_pem(),
    )?;
    Ok(())
}

fn parameters(subject: &Subject) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(subject.names.clone())?;
    for address in &subject.addresses {
        let address: IpAddr = address.parse().with_context(|| address.clone())?;
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    if let Some(organization) = &subject.organization {
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
    }
    params
        .distinguished_name
        .push(DnType::CommonName, &subject.common);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn kubeconfig(layout: &Layout, who: &str) -> String {
    let keys = layout.keys();
    let keys = keys.display();
    let server = host_port(&layout.families.api(), API_PORT);
    format!(
        "\
apiVersion: v1
kind: Config
current-context: axoneme
clusters:
- name: axoneme
  cluster: {{server: 'https://{server}', certificate-authority: '{keys}/ca.crt'}}
users:
- name: {who}
  user: {{client-certificate: '{keys}/{who}.crt', client-key: '{keys}/{who}.key'}}
contexts:
- name: axoneme
  context: {{cluster: axoneme, user: {who}}}
"
    )
}
