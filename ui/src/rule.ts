// The rule that a denial asks for, as a CiliumNetworkPolicy: who is to let whom in, or out, on which port.
import { type Failure, type Flow, type FlowEnd, type Party, n } from "./api";
import { kind, shown } from "./edges";

/** Denials that one rule would end: of one workload, in one direction, on one port, for the same cause. */
export type Denial = {
  id: string;
  /** Whose policy denies. */
  subject: Party | undefined;
  direction: "ingress" | "egress";
  port: number;
  protocol: number;
  /** A rule that denies stands above all that allow. */
  byRule: boolean;
  peers: Party[];
  failures: Failure[];
  count: number;
  last: string;
};

/** Denials, grouped by the rule that is missing; the most first. */
export function missingRules(failures: Failure[]): Denial[] {
  const groups = new Map<string, Denial>();
  for (const failure of failures) {
    const edge = failure.edge ?? {};
    const direction = failure.cause?.direction === "EGRESS" ? "egress" : "ingress";
    const [subject, peer] = direction === "egress" ? [edge.source, edge.destination] : [edge.destination, edge.source];
    const byRule = kind(failure.cause) === "DENIED_BY_RULE";
    const id = [byRule ? "rule" : "default", direction, shown(subject), edge.port ?? 0, edge.protocol ?? 0].join(" ");
    const group = groups.get(id) ?? { id, subject, direction, port: edge.port ?? 0, protocol: edge.protocol ?? 0, byRule, peers: [], failures: [], count: 0, last: "" };
    if (peer && !group.peers.some((of) => shown(of) === shown(peer))) group.peers.push(peer);
    group.failures.push(failure);
    group.count += n(failure.count);
    if ((failure.last ?? "") > group.last) group.last = failure.last ?? "";
    groups.set(id, group);
  }
  return [...groups.values()].sort((a, b) => b.count - a.count);
}

/** Labels that say what a pod is of, the best first; others come and go with versions. */
const SAYING = ["app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component", "k8s-app", "app", "component", "role", "name"];
/** Labels that controllers give to single pods and versions. */
const PASSING = /^(io\.cilium\.|io\.kubernetes\.|pod-template-|controller-revision-hash|controller-uid|job-name|statefulset\.kubernetes\.io\/|apps\.kubernetes\.io\/|batch\.kubernetes\.io\/|helm\.sh\/|app\.kubernetes\.io\/(version|managed-by|part-of)$|topology\.)/;

export type Labels = [string, string][];

/** The labels by which a rule selects the workload of this end. */
export function selecting(end: FlowEnd | undefined): Labels | undefined {
  const own: Labels = (end?.labels ?? []).flatMap((label): Labels => {
    const [key = "", value = ""] = label.replace(/^k8s:/, "").split(/=(.*)/s);
    return label.startsWith("k8s:") && !PASSING.test(key) ? [[key, value]] : [];
  });
  const saying = own.filter(([key]) => SAYING.includes(key));
  const chosen = saying.length > 0 ? saying : own;
  return chosen.length > 0 ? chosen.sort(([a], [b]) => (a < b ? -1 : 1)) : undefined;
}

/** Labels of who is named, out of flows of him. */
export function labelsOf(party: Party | undefined, flows: Flow[]): Labels | undefined {
  const isHe = (end: FlowEnd | undefined): boolean => end?.namespace === party?.namespace && ((end?.workloads ?? []).some((of) => of.name === party?.name) || end?.pod_name === party?.name);
  const found = flows.flatMap((flow) => [flow.source, flow.destination]).find(isHe);
  return selecting(found);
}

/** Words that YAML would take for something else than text. */
const OTHERWISE = /^(true|false|yes|no|on|off|null|y|n|~)$/i;

/** A text as YAML has it. */
export const scalar = (text: string): string => (/^[a-z_][\w./-]*$/i.test(text) && !OTHERWISE.test(text) ? text : JSON.stringify(text));

const PROTOCOLS: Record<number, string> = { 6: "TCP", 17: "UDP", 132: "SCTP" };

const indented = (lines: string[], by: number): string[] => lines.map((line) => " ".repeat(by) + line);

const matching = (labels: Labels): string[] => ["matchLabels:", ...indented(labels.map(([key, value]) => `${scalar(key)}: ${scalar(value)}`), 2)];

type Sources = { name: string; entries: string[][] };

/** Peers as a rule names them; an error for who cannot be named. */
function peers(of: Denial, flows: Flow[]): Sources[] | { unknown: string } {
  const way = of.direction === "ingress" ? "from" : "to";
  const groups = new Map<string, string[][]>();
  const add = (name: string, entry: string[]): void => void groups.set(name, [...(groups.get(name) ?? []), entry]);
  for (const peer of of.peers) {
    if (peer.kind === "DNS_NAME") {
      if (of.direction === "ingress") return { unknown: shown(peer) };
      add("toFQDNs", [`matchName: ${scalar(peer.name ?? "")}`]);
    } else if (peer.kind === "ENTITY") add(`${way}Entities`, [peer.name ?? ""]);
    else if (peer.kind === "ADDRESS") add(`${way}CIDR`, [scalar(`${peer.name ?? ""}/${(peer.name ?? "").includes(":") ? 128 : 32}`)]);
    else {
      const labels = labelsOf(peer, flows);
      if (!labels) return { unknown: shown(peer) };
      const foreign: Labels = peer.namespace === of.subject?.namespace ? [] : [["k8s:io.kubernetes.pod.namespace", peer.namespace ?? ""]];
      add(`${way}Endpoints`, matching([...labels, ...foreign]));
    }
  }
  return [...groups].map(([name, entries]) => ({ name, entries }));
}

/** The policy that would allow it; or of whom nothing is known by which it could be written. */
export function policy(of: Denial, flows: Flow[]): { yaml: string } | { unknown: string } {
  const selected = of.subject?.kind === undefined || of.subject.kind === "WORKLOAD" ? labelsOf(of.subject, flows) : undefined;
  if (!selected) return { unknown: shown(of.subject) };
  const who = peers(of, flows);
  if ("unknown" in who) return who;
  const protocol = PROTOCOLS[of.protocol];
  const ports = of.port > 0 && protocol ? ["toPorts:", "  - ports:", `      - port: "${of.port}"`, `        protocol: ${protocol}`] : [];
  // Each kind of peer is a rule of its own: within one they would all have to hold.
  const rules = who.flatMap(({ name, entries }) => {
    const listed = entries.flatMap(([first = "", ...rest]) => [`- ${first}`, ...indented(rest, 2)]);
    const [head = "", ...rest] = [`${name}:`, ...indented(listed, 2), ...ports];
    return [`- ${head}`, ...indented(rest, 2)];
  });
  const other = of.peers.length === 1 ? (of.peers[0]?.name ?? "") : "peers";
  const name = `${of.subject?.name ?? ""}-${of.direction === "ingress" ? "from" : "to"}-${other}`.toLowerCase().replaceAll(/[^a-z0-9-]+/g, "-").slice(0, 200);
  const lines = [
    "apiVersion: cilium.io/v2",
    "kind: CiliumNetworkPolicy",
    "metadata:",
    `  namespace: ${scalar(of.subject?.namespace ?? "")}`,
    `  name: ${scalar(name.replaceAll(/^-+|-+$/g, ""))}`,
    "spec:",
    "  endpointSelector:",
    ...indented(matching(selected), 4),
    `  ${of.direction}:`,
    ...indented(rules, 4),
  ];
  return { yaml: `${lines.join("\n")}\n` };
}
