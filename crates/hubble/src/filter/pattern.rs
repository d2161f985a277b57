//! Patterns with `*` for DNS names and node names.

use regex::Regex;

/// A DNS name, in which `*` is any run of letters, digits, `-` and `.`.
pub(super) struct DnsName(Regex);

impl DnsName {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let name = text.trim().to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        if name.is_empty() {
            return Err("the name is empty".into());
        }
        compile(name).map(Self)
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.0.is_match(name.strip_suffix('.').unwrap_or(&name))
    }
}

/// `cluster/node`; an empty side is any, a name without a slash is a node of any cluster.
pub(super) struct NodeName {
    cluster: Option<Regex>,
    node: Option<Regex>,
}

impl NodeName {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (cluster, node) = text.split_once('/').unwrap_or(("", text));
        if text.is_empty() {
            return Err("the name is empty".into());
        }
        if node.contains('/') {
            return Err(format!("{text:?} has more than one slash"));
        }
        let side = |name: &str| match name {
            "" => Ok(None),
            name => compile(&name.to_ascii_lowercase()).map(Some),
        };
        Ok(Self {
            cluster: side(cluster)?,
            node: side(node)?,
        })
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let (cluster, node) = name.split_once('/').unwrap_or(("default", &name));
        self.cluster
            .as_ref()
            .is_none_or(|wanted| wanted.is_match(cluster))
            && self
                .node
                .as_ref()
                .is_none_or(|wanted| wanted.is_match(node))
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    let mut regex = String::from(r"\A");
    for c in pattern.chars() {
        match c {
            '*' => regex.push_str("[-a-z0-9.]*"),
            '.' => regex.push_str(r"\."),
            'a'..='z' | '0'..='9' | '-' | '_' => regex.push(c),
            other => {
                return Err(format!(
                    "{pattern:?} has a {other:?}; only letters, digits, '-', '_', '.' and '*' are allowed"
                ));
            }
        }
    }
    regex.push_str(r"\z");
    Regex::new(&regex).map_err(|error| error.to_string())
}
