import { describe, expect, it } from "vitest";
import type { Failure, Flow, Party } from "../src/api";
import { labelsOf, missingRules, policy, scalar, selecting } from "../src/rule";

const workload = (name: string): Party => ({ namespace: name.split("/")[0] ?? "", name: name.split("/")[1] ?? "" });
const end = (name: string, ...labels: string[]) => ({ ...workload(name), pod_name: `${workload(name).name}-7f-x`, workloads: [{ name: workload(name).name ?? "" }], labels });
const denied = (source: Party, destination: Party, more: object = {}, count = 1): Failure => ({
  edge: { source, destination, port: 5432, protocol: 6 },
  cause: { kind: "DENIED_BY_DEFAULT", direction: "INGRESS", ...more },
  count,
  last: `2026-01-01T00:00:0${count}Z`,
});
const flows: Flow[] = [{ source: end("shop/web", "k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"), destination: end("data/db", "k8s:app=db", "k8s:pod-template-hash=7f") }, { source: end("data/job", "k8s:app=job") }];

describe("the rule that is missing", () => {
  it("is one for all peers of a workload's port, and another for what a rule denies", () => {
    const all = missingRules([
      denied(workload("shop/web"), workload("data/db"), {}, 2),
      denied(workload("data/job"), workload("data/db"), {}, 3),
      denied(workload("shop/web"), workload("data/db"), { kind: "DENIED_BY_RULE" }, 1),
      denied(workload("data/db"), { name: "www.example.com", kind: "DNS_NAME" }, { direction: "EGRESS" }, 4),
    ]);
    expect(all.map((of) => [of.direction, of.byRule, of.count, of.peers.map((peer) => peer.name)])).toEqual([
      ["ingress", false, 5, ["web", "job"]],
      ["egress", false, 4, ["www.example.com"]],
      ["ingress", true, 1, ["web"]],
    ]);
    expect(all[0]?.last).toBe("2026-01-01T00:00:03Z");
  });

  it("selects by labels that say what a pod is of", () => {
    const own = (...labels: string[]) => selecting({ labels });
    expect(own("k8s:app=db", "k8s:pod-template-hash=7f", "k8s:io.kubernetes.pod.namespace=data")).toEqual([["app", "db"]]);
    expect(own("k8s:tier=back", "k8s:io.cilium.k8s.policy.cluster=default")).toEqual([["tier", "back"]]);
    expect(own("k8s:tier=back", "k8s:app.kubernetes.io/name=db", "k8s:app.kubernetes.io/version=3")).toEqual([["app.kubernetes.io/name", "db"]]);
    expect(own("reserved:world")).toBeUndefined();
    expect(labelsOf(workload("data/web"), flows)).toBeUndefined();
  });

  it("is written with labels of both ends, and with the namespace of who is of another", () => {
    const [group] = missingRules([denied(workload("shop/web"), workload("data/db")), denied(workload("data/job"), workload("data/db")), denied({ name: "world", kind: "ENTITY" }, workload("data/db"))]);
    const made = policy(group!, flows);
    expect("yaml" in made && made.yaml).toBe(`apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  namespace: data
  name: db-from-peers
spec:
  endpointSelector:
    matchLabels:
      app: db
  ingress:
    - fromEndpoints:
        - matchLabels:
            app: web
            "k8s:io.kubernetes.pod.namespace": shop
        - matchLabels:
            app: job
      toPorts:
        - ports:
            - port: "5432"
              protocol: TCP
    - fromEntities:
        - world
      toPorts:
        - ports:
            - port: "5432"
              protocol: TCP
`);
  });

  it("lets out to names and addresses", () => {
    const out = (peer: Party, port = 443) => {
      const [group] = missingRules([{ ...denied(workload("shop/web"), peer, { direction: "EGRESS" }), edge: { source: workload("shop/web"), destination: peer, port, protocol: port ? 6 : 1 } }]);
      const made = policy(group!, flows);
      return "yaml" in made ? made.yaml.split("  egress:\n")[1] : made.unknown;
    };
    expect(out({ name: "www.example.com", kind: "DNS_NAME" })).toBe(`    - toFQDNs:
        - matchName: www.example.com
      toPorts:
        - ports:
            - port: "443"
              protocol: TCP
`);
    expect(out({ name: "192.0.2.7", kind: "ADDRESS" }, 0)).toBe(`    - toCIDR:\n        - "192.0.2.7/32"\n`);
    expect(out(workload("lab/nobody"))).toBe("lab/nobody");
  });

  it("is not written for who has no known labels", () => {
    const [group] = missingRules([denied(workload("shop/web"), workload("data/db"))]);
    expect(policy(group!, [])).toEqual({ unknown: "data/db" });
  });

  it("quotes what YAML would take for something else", () => {
    expect(["web", "a.b/c-d", "true", "No", "7", "1e3", "", "a: b", "null"].map(scalar)).toEqual(["web", "a.b/c-d", '"true"', '"No"', '"7"', '"1e3"', '""', '"a: b"', '"null"']);
  });
});
