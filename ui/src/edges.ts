// What is made of edges: names, failures, quantiles; the same rules as those of the command line.
import { type Cause, type CauseKind, type Counters, type Edge, type Failure, type Party, type Row, type Sketch, n } from "./api";

/** NAMESPACE/NAME, or the name alone of who is no workload. */
export function shown(party: Party | undefined): string {
  const name = party?.name ?? "";
  return party?.namespace ? `${party.namespace}/${name}` : name;
}

/** Both ends by their names. */
export const ends = (edge: Edge | undefined): { from: string; to: string } => ({ from: shown(edge?.source), to: shown(edge?.destination) });

export const isOutside = (party: Party | undefined): boolean =>
  party?.kind === "DNS_NAME" || (party?.kind === "ENTITY" && party.name === "world");

/** Attempts that came to nothing. A reset after both sides spoke may end what was well, and is none. */
export function failed(counters: Counters | undefined): number {
  const of = counters ?? {};
  return n(of.refused) + n(of.cut) + Math.max(0, n(of.unanswered) - n(of.late)) + n(of.denied);
}

export const attempts = (counters: Counters | undefined): number => n(counters?.opened) + n(counters?.denied);

/** Buckets grow by this factor, so that a quantile is wrong by at most 1 %. */
const GROWTH = 1.01 / 0.99;

export function merged(sketches: (Sketch | undefined)[]): Map<number, number> {
  const sum = new Map<number, number>();
  for (const sketch of sketches) {
    sketch?.bucket?.forEach((bucket, index) => sum.set(bucket, (sum.get(bucket) ?? 0) + n(sketch.count?.[index])));
  }
  return sum;
}

export const total = (buckets: Map<number, number>): number => [...buckets.values()].reduce((sum, of) => sum + of, 0);

/** Microseconds that this share of all are not longer than; nothing of nothing. */
export function quantile(buckets: Map<number, number>, of: number): number | undefined {
  const rank = Math.max(1, Math.ceil(of * total(buckets)));
  let below = 0;
  for (const [bucket, count] of [...buckets].sort(([a], [b]) => a - b)) {
    below += count;
    if (below >= rank) return (2 * GROWTH ** bucket) / (GROWTH + 1);
  }
  return undefined;
}

export const kind = (cause: Cause | undefined): CauseKind => cause?.kind ?? "CAUSE_UNKNOWN";

/** How many programs end what was well: a failure only for who asks for connections. */
export const isReset = (failure: Failure): boolean => kind(failure.cause).startsWith("RESET");

export const isDenied = (failure: Failure): boolean => kind(failure.cause).startsWith("DENIED");

/** One word and one shape for each cause, so that colour is never alone. */
export const CAUSES: Record<CauseKind, { word: string; shape: string; tone: Tone }> = {
  DENIED_BY_RULE: { word: "denied", shape: "■", tone: "denied" },
  DENIED_BY_DEFAULT: { word: "denied", shape: "□", tone: "denied" },
  REFUSED: { word: "refused", shape: "✕", tone: "bad" },
  UNANSWERED: { word: "unanswered", shape: "▲", tone: "bad" },
  DROPPED: { word: "dropped", shape: "▼", tone: "bad" },
  RESET_BY_CLIENT: { word: "reset by client", shape: "◇", tone: "warn" },
  RESET_BY_SERVER: { word: "reset by server", shape: "◆", tone: "warn" },
  CUT_BY_SERVER: { word: "cut by server", shape: "◆", tone: "bad" },
  STALLED_AT_SERVER: { word: "stalled at server", shape: "▮", tone: "bad" },
  STALLED_AT_CLIENT: { word: "stalled at client", shape: "▯", tone: "bad" },
  FULL_AT_SERVER: { word: "server does not read", shape: "▬", tone: "bad" },
  FULL_AT_CLIENT: { word: "client does not read", shape: "▭", tone: "warn" },
  UNCLOSED_AT_SERVER: { word: "server does not close", shape: "◖", tone: "warn" },
  DNS_TIMEOUT: { word: "DNS time-out", shape: "△", tone: "bad" },
  DNS_ERROR: { word: "DNS error", shape: "✖", tone: "bad" },
  DNS_NO_SUCH_NAME: { word: "no such name", shape: "∅", tone: "warn" },
  HTTP_ERROR: { word: "HTTP error", shape: "✖", tone: "bad" },
  GRPC_ERROR: { word: "gRPC error", shape: "✖", tone: "bad" },
  NO_ANSWER: { word: "no answer", shape: "△", tone: "bad" },
  OVERDUE: { word: "answer overdue", shape: "△", tone: "bad" },
  KAFKA_ERROR: { word: "Kafka error", shape: "✖", tone: "bad" },
  TLS_ALERT_BY_CLIENT: { word: "TLS refused by client", shape: "⊘", tone: "bad" },
  TLS_ALERT_BY_SERVER: { word: "TLS refused by server", shape: "⊘", tone: "bad" },
  TLS_UNFINISHED: { word: "TLS unfinished", shape: "⊘", tone: "warn" },
  CAUSE_UNKNOWN: { word: "unknown", shape: "?", tone: "warn" },
};

export type Tone = "ok" | "warn" | "bad" | "denied";

/** The worst first. Resets come last: many programs end well with one. */
const WORST: CauseKind[] = [
  "REFUSED",
  "UNANSWERED",
  "CUT_BY_SERVER",
  "STALLED_AT_SERVER",
  "STALLED_AT_CLIENT",
  "FULL_AT_SERVER",
  "FULL_AT_CLIENT",
  "UNCLOSED_AT_SERVER",
  "DROPPED",
  "HTTP_ERROR",
  "GRPC_ERROR",
  "NO_ANSWER",
  "OVERDUE",
  "DNS_TIMEOUT",
  "DNS_ERROR",
  "KAFKA_ERROR",
  "TLS_ALERT_BY_CLIENT",
  "TLS_ALERT_BY_SERVER",
  "TLS_UNFINISHED",
  "DENIED_BY_RULE",
  "DENIED_BY_DEFAULT",
  "DNS_NO_SUCH_NAME",
  "CAUSE_UNKNOWN",
];

/** Causes of what is said on connections, not of connections themselves. */
const SAID = new Set<CauseKind>(["HTTP_ERROR", "GRPC_ERROR", "NO_ANSWER", "OVERDUE", "DNS_TIMEOUT", "DNS_ERROR", "DNS_NO_SUCH_NAME", "KAFKA_ERROR", "TLS_ALERT_BY_CLIENT", "TLS_ALERT_BY_SERVER", "TLS_UNFINISHED"]);

/** Of a hundred requests, questions and handshakes: as many may fail before an edge is called bad for it. */
const FEW = 1;

const said = (row: Row): number =>
  [...(row.http ?? []).map((of) => of.requests), ...(row.dns ?? []).map((of) => of.questions), ...(row.kafka ?? []).flatMap((of) => [of.produces, of.fetches, of.others]), ...(row.tls ?? []).map((of) => of.handshakes)].reduce(
    (sum: number, of) => sum + n(of),
    0,
  );

/** The worst cause for which something of these edges failed; resets do not count, and a few bad answers among many do not either. */
export function worstCause(rows: Row[]): CauseKind | undefined {
  const counts = new Map<CauseKind, number>();
  for (const of of rows.flatMap((row) => row.failures ?? [])) counts.set(kind(of.cause), (counts.get(kind(of.cause)) ?? 0) + Math.max(0, n(of.count) - n(of.excused)));
  const all = rows.reduce((sum, row) => sum + said(row), 0);
  return WORST.find((of) => (counts.get(of) ?? 0) * 100 > (SAID.has(of) ? all * FEW : 0));
}

export const FAULTS: Record<string, string> = {
  FAULT_UNKNOWN: "?",
  FAULT_CLIENT: "client",
  FAULT_SERVER: "server",
  FAULT_NETWORK: "network",
  FAULT_POLICY: "policy",
  FAULT_DNS: "DNS",
};

export const edgeKey = (edge: Edge | undefined): string =>
  [shown(edge?.source), shown(edge?.destination), edge?.service ?? "", edge?.port ?? 0, edge?.protocol ?? 0].join(" ");

/** The rows with the causes on which both nodes of an edge agree: what the policies of who was asked deny is unanswered for who began. */
export function agreed(rows: Row[], failures: Failure[]): Row[] {
  const told = new Map<string, Failure[]>();
  for (const of of failures) told.set(edgeKey(of.edge), [...(told.get(edgeKey(of.edge)) ?? []), of]);
  return rows.map((row) => {
    const own = told.get(edgeKey(row.edge));
    return own ? { ...row, failures: own } : row;
  });
}

/** Seconds from one time to another; at least one, since it divides. */
export function spanOf(answer: { since?: string; until?: string } | undefined): number {
  const { since, until } = answer ?? {};
  return since && until ? Math.max(1, (Date.parse(until) - Date.parse(since)) / 1000) : 1;
}
