//! Configuration of a node's container runtime and kubelet.

use std::path::Path;

use super::super::images::PAUSE;
use super::super::layout::Node;

/// For containerd 1.6 and 1.7 (configuration version 2). A process here may not lower its OOM score where the machine withholds
/// CAP_SYS_RESOURCE.
pub(super) fn containerd() -> String {
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/opt/cni/bin"
  conf_dir = "/etc/cni/net.d"

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false
"#
    )
}

/// failCgroupV1: since 1.35 the kubelet else refuses a machine whose controllers are in version 1. evictionHard: a share of 0
/// switches a threshold off; the disk is the machine's and full of what others keep on it, which no eviction here would free.
pub(super) fn kubelet(keys: &Path, node: &Node, dns: &str) -> String {
    let (keys, name, address) = (keys.display(), node.name, &node.addresses[0]);
    format!(
        "\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: '{address}'
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: true}}
  x509: {{clientCAFile: '{keys}/ca.crt'}}
authorization: {{mode: Webhook}}
tlsCertFile: '{keys}/node-{name}.crt'
tlsPrivateKeyFile: '{keys}/node-{name}.key'
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
clusterDomain: cluster.local
clusterDNS: ['{dns}']
resolvConf: /etc/resolv.conf
nodeStatusUpdateFrequency: 5s
syncFrequency: 10s
imageGCHighThresholdPercent: 100
evictionHard: {{memory.available: 100Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}}
"
    )
}
