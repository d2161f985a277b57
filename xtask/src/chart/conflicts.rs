//! What the chart refuses because it does not go together.

/// Values that are right alone and wrong together, and the one that is named.
pub(super) const CONFLICTS: &[(&str, &[(&str, &str)])] = &[
    (
        "ipam.operator.autoCreateCiliumPodIPPools",
        &[(
            "ipam.operator.autoCreateCiliumPodIPPools",
            "{\"default\": {\"ipv4\": {\"cidrs\": [\"10.0.0.0/16\"], \"maskSize\": 27}}}",
        )],
    ),
    (
        "ipam.operator.autoCreateCiliumPodIPPools",
        &[
            ("ipam.mode", "\"multi-pool\""),
            (
                "ipam.operator.autoCreateCiliumPodIPPools",
                "{\"default\": {\"ipv4\": {\"maskSize\": 27}}}",
            ),
        ],
    ),
    (
        "ipam.multiPoolPreAllocation",
        &[("ipam.multiPoolPreAllocation", "\"default=16\"")],
    ),
    ("identityAllocationMode", &[("etcd.enabled", "true")]),
    ("etcd.enabled", &[("identityAllocationMode", "\"kvstore\"")]),
    (
        "etcd.endpoints",
        &[
            ("etcd.enabled", "true"),
            ("identityAllocationMode", "\"kvstore\""),
        ],
    ),
    (
        "etcd.ssl",
        &[
            ("etcd.enabled", "true"),
            ("etcd.endpoints", "[\"https://one:2379\"]"),
            ("identityAllocationMode", "\"kvstore\""),
        ],
    ),
    (
        "hubble.metrics.enabled",
        &[("hubble.metrics.enabled", "true")],
    ),
    (
        "hubble.metrics.dynamic.enabled",
        &[
            ("hubble.metrics.enabled", "[\"flow\"]"),
            ("hubble.metrics.dynamic.enabled", "true"),
        ],
    ),
    (
        "hubble.metrics.tls.server.mtls.enabled",
        &[("hubble.metrics.tls.server.mtls.enabled", "true")],
    ),
    (
        "hubble.metrics.tls.server",
        &[
            ("hubble.metrics.tls.enabled", "true"),
            ("hubble.tls.auto.enabled", "false"),
            ("hubble.tls.server.existingSecret", "\"certs\""),
        ],
    ),
    (
        "hubble.export.otlp.endpoint",
        &[("hubble.export.otlp.enabled", "true")],
    ),
    (
        "hubble.export.otlp.tls.existingSecret",
        &[
            ("hubble.export.otlp.enabled", "true"),
            ("hubble.export.otlp.endpoint", "\"https://collector:4317\""),
        ],
    ),
    (
        "hubble.export.otlp.tls.existingSecret",
        &[
            ("hubble.export.otlp.enabled", "true"),
            ("hubble.export.otlp.endpoint", "\"http://collector:4317\""),
            ("hubble.export.otlp.tls.existingSecret", "\"collector\""),
        ],
    ),
    (
        "hubble.export.otlp.signals",
        &[
            ("hubble.export.otlp.enabled", "true"),
            ("hubble.export.otlp.endpoint", "\"http://collector:4317\""),
            ("hubble.export.otlp.signals", "[]"),
        ],
    ),
    (
        "hubble.relay.enabled",
        &[
            ("hubble.relay.enabled", "true"),
            ("hubble.enabled", "false"),
        ],
    ),
    (
        "hubble.relay.alerts.disabled",
        &[
            ("hubble.relay.enabled", "true"),
            ("hubble.relay.alerts.enabled", "true"),
            ("hubble.relay.alerts.disabled", "[\"Nothing\"]"),
        ],
    ),
    (
        "hubble.relay.clusters.tls.existingSecret",
        &[
            ("hubble.relay.enabled", "true"),
            (
                "hubble.relay.clusters.relays",
                "[{\"name\": \"west\", \"address\": \"relay.west.example:443\"}]",
            ),
            ("hubble.tls.enabled", "false"),
        ],
    ),
    (
        "hubble.relay.tls.client",
        &[
            ("hubble.relay.enabled", "true"),
            ("hubble.tls.auto.enabled", "false"),
            ("hubble.tls.server.existingSecret", "\"certs\""),
        ],
    ),
    (
        "hubble.relay.tls.server",
        &[
            ("hubble.relay.enabled", "true"),
            ("hubble.relay.tls.server.enabled", "true"),
            ("hubble.relay.tls.client.existingSecret", "\"certs\""),
            ("hubble.tls.auto.enabled", "false"),
            ("hubble.tls.server.existingSecret", "\"certs\""),
        ],
    ),
    (
        "hubble.relay.tls.server.enabled",
        &[
            ("hubble.relay.enabled", "true"),
            ("hubble.relay.tls.server.enabled", "true"),
            ("hubble.tls.enabled", "false"),
        ],
    ),
    (
        "hubble.relay.tls.server.mtls",
        &[("hubble.relay.tls.server.mtls", "true")],
    ),
    ("hubble.ui.enabled", &[("hubble.ui.enabled", "true")]),
    (
        "hubble.ui.ingress.enabled",
        &[("hubble.ui.ingress.enabled", "true")],
    ),
    (
        "tls.secretSync.enabled",
        &[
            ("tls.secretSync.enabled", "true"),
            ("operator.enabled", "false"),
        ],
    ),
    (
        "tls.secretsNamespace.name",
        &[
            ("tls.secretSync.enabled", "true"),
            ("tls.secretsNamespace.name", "\"\""),
        ],
    ),
    (
        "tls.ca.cert",
        &[
            ("hubble.relay.enabled", "true"),
            ("hubble.relay.tls.client.cert", "\"Yw==\""),
            ("hubble.relay.tls.client.key", "\"aw==\""),
            ("hubble.tls.auto.enabled", "false"),
            ("hubble.tls.server.existingSecret", "\"certs\""),
        ],
    ),
];
