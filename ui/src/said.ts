// What is said on edges: requests, questions, topics; the same rules as those of the command line.
import { type Cause, type CodeCount, type DnsCounters, type HttpCounters, type KafkaCounters, type Party, type Requests, type Row, type Sketch, type Topic, type Unread, n } from "./api";
import { merged, quantile, shown, total } from "./edges";
import { plural, share } from "./format";

/** Answers with the codes that are chosen. */
export const counted = (codes: CodeCount[] | undefined, chosen: (code: number) => boolean): number =>
  (codes ?? []).reduce((sum, of) => sum + (chosen(of.code ?? 0) ? n(of.count) : 0), 0);

/** Of one class of status codes: 2 for 200 to 299. */
export const ofClass = (of: HttpCounters | undefined, digit: number): number => counted(of?.status, (code) => Math.floor(code / 100) === digit);

/** Statuses of gRPC that say that the server is at fault. */
const GRPC_FAULTS = new Set([2, 4, 12, 13, 14, 15]);

/** Requests whose server is at fault, or that got no answer. */
export const httpFailed = (of: HttpCounters | undefined): number =>
  counted(of?.status, (code) => code >= 500) + counted(of?.grpc, (code) => GRPC_FAULTS.has(code)) + n(of?.unanswered);

/** Requests that were not answered well, whoever is at fault. */
export const httpErrors = (of: HttpCounters | undefined): number =>
  counted(of?.status, (code) => code >= 400) + counted(of?.grpc, (code) => code !== 0) + n(of?.unanswered);

const NO_SUCH_NAME = 3;

/** Answers that there is no such name; those of a search that went on are none. */
export const missing = (of: DnsCounters | undefined): number => Math.max(0, counted(of?.codes, (code) => code === NO_SUCH_NAME) - n(of?.searched));

/** Questions that came to nothing. */
export const dnsFailed = (of: DnsCounters | undefined): number =>
  counted(of?.codes, (code) => code !== 0 && code !== NO_SUCH_NAME) + missing(of) + n(of?.timeouts) + n(of?.unanswered);

/** Requests that came to nothing. */
export const kafkaFailed = (of: KafkaCounters | undefined): number => counted(of?.errors, () => true) + n(of?.unanswered);

const DNS_CODES: Record<number, string> = { 0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 9: "NOTAUTH", 16: "BADVERS" };
const DNS_TYPES: Record<number, string> = { 0: "", 1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 43: "DS", 64: "SVCB", 65: "HTTPS", 255: "ANY" };
const GRPC_CODES =
  "OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED".split(
    " ",
  );
const KAFKA_CODES: Record<number, string> = {
  [-1]: "UNKNOWN_SERVER_ERROR",
  1: "OFFSET_OUT_OF_RANGE",
  2: "CORRUPT_MESSAGE",
  3: "UNKNOWN_TOPIC_OR_PARTITION",
  5: "LEADER_NOT_AVAILABLE",
  6: "NOT_LEADER_OR_FOLLOWER",
  7: "REQUEST_TIMED_OUT",
  9: "REPLICA_NOT_AVAILABLE",
  10: "MESSAGE_TOO_LARGE",
  15: "COORDINATOR_NOT_AVAILABLE",
  16: "NOT_COORDINATOR",
  17: "INVALID_TOPIC_EXCEPTION",
  19: "NOT_ENOUGH_REPLICAS",
  20: "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
  22: "ILLEGAL_GENERATION",
  25: "UNKNOWN_MEMBER_ID",
  27: "REBALANCE_IN_PROGRESS",
  29: "TOPIC_AUTHORIZATION_FAILED",
  30: "GROUP_AUTHORIZATION_FAILED",
  31: "CLUSTER_AUTHORIZATION_FAILED",
  35: "UNSUPPORTED_VERSION",
  36: "TOPIC_ALREADY_EXISTS",
  58: "SASL_AUTHENTICATION_FAILED",
  100: "UNKNOWN_TOPIC_ID",
};

export const dnsCode = (code: number): string => DNS_CODES[code] ?? `code ${code}`;
export const dnsType = (type: number | undefined): string => DNS_TYPES[type ?? 0] ?? `TYPE${type}`;
export const grpcCode = (code: number): string => (GRPC_CODES[code] ? `gRPC ${GRPC_CODES[code]}` : `gRPC status ${code}`);
export const kafkaCode = (code: number): string => KAFKA_CODES[code] ?? `error ${code}`;

/** A cause of what was said, with the code of its answer; nothing for others. */
export function coded(cause: Cause | undefined): string | undefined {
  const code = cause?.code ?? 0;
  switch (cause?.kind) {
    case "HTTP_ERROR":
      return `HTTP ${code || "error"}`;
    case "GRPC_ERROR":
      return grpcCode(code);
    case "DNS_ERROR":
      return `DNS ${dnsCode(code)}`;
    case "KAFKA_ERROR":
      return `Kafka error ${code}`;
    default:
      return undefined;
  }
}

/** Names with their counts, the most first, none that did not happen. */
export type Named = [string, number][];

const named = (codes: CodeCount[] | undefined, name: (code: number) => string): Named => (codes ?? []).map((of) => [name(of.code ?? 0), n(of.count)]);

const sorted = (all: Named): Named => all.filter(([, count]) => count > 0).sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));

export const httpAnswers = (of: HttpCounters | undefined): Named =>
  sorted([...named(of?.status, String), ...named(of?.grpc, grpcCode), ["no answer", n(of?.unanswered)], ["not seen", n(of?.unknown)]]);

export const dnsAnswers = (of: DnsCounters | undefined): Named =>
  sorted([...named(of?.codes, dnsCode), ["time-out", n(of?.timeouts)], ["no answer", n(of?.unanswered)], ["not seen", n(of?.unknown)]]);

export const kafkaErrors = (of: KafkaCounters | undefined): Named => sorted([...named(of?.errors, kafkaCode), ["no answer", n(of?.unanswered)]]);

/** By which service or workload requests were asked for. */
export const asked = (of: Requests): string => of.service || shown(of.destination);

/** Of which connections of a service the requests are not seen, and why. */
export function notSeen(of: Unread): string {
  const names = (of.server_names ?? []).map((one) => one.name ?? "").join(", ");
  const why: [number, string][] = [
    [n(of.encrypted), names ? `encrypted, SNI ${names}` : "encrypted"],
    [n(of.other), "not understood"],
    [n(of.host_network), "between networks of nodes: not looked at"],
  ];
  const shares = why.filter(([count]) => count > 0).map(([count, what]) => `${share(count, n(of.connections))} ${what}`);
  return `${of.service || shown(of.destination)}:${of.port ?? 0}: of ${plural(n(of.connections), "connection")} ${shares.join("; ")}`;
}

/** A method and path; what is in a sum of many has none. */
export const call = (of: HttpCounters | undefined): string => `${of?.method ?? ""} ${of?.path ?? ""}`.trim() || "(not seen)";

export const topicName = (of: KafkaCounters | undefined): string => of?.topic || (of?.id ? `(id ${of.id})` : "(none)");

/** Somebody who produces to a topic, or fetches from it, or asks otherwise about it. */
export type Use = { topic: string; who: Party | undefined; broker: Party | undefined; port: number; does: "produces" | "fetches" | "other"; groups: string[]; requests: number; octets: number; errors: Named; latency?: Sketch };

/** One for each way in which a topic is asked for. */
export function uses(topics: Topic[]): Use[] {
  return topics.flatMap(({ edge, counters: of }) => {
    const groups = (of?.groups ?? []).map((group) => group.name ?? "");
    // Who produces or fetches does so of some topic, seen or not.
    const topic = of?.topic || of?.id ? topicName(of) : "(unknown)";
    const base = { topic, who: edge?.source, broker: edge?.destination, port: edge?.port ?? 0, errors: kafkaErrors(of) };
    // Groups fetch.
    const all: Use[] = [
      { ...base, does: "produces", groups: [], requests: n(of?.produces), octets: n(of?.produced_octets), ...(of?.produce_latency ? { latency: of.produce_latency } : {}) },
      { ...base, does: "fetches", groups, requests: n(of?.fetches), octets: n(of?.fetched_octets), ...(of?.fetch_latency ? { latency: of.fetch_latency } : {}) },
      { ...base, topic: topicName(of), does: "other", groups, requests: n(of?.others), octets: 0 },
    ];
    return all.filter((use) => use.requests > 0);
  });
}

/** What is said on an edge, in sum. */
export type Summary = {
  protocols: string[];
  requests: number;
  failed: number;
  latency: Map<number, number>;
  /** Of the median of requests over HTTP, what the node of who was asked saw, and the rest; microseconds. */
  shares?: { server: number; network: number };
};

/** A fetch of Kafka takes as long as the client lets it, so its time is not in here. */
export function summary(row: Row): Summary {
  const http = row.http ?? [];
  const dns = row.dns ?? [];
  const kafka = row.kafka ?? [];
  const add = <T>(all: T[], of: (one: T) => number): number => all.reduce((sum, one) => sum + of(one), 0);
  const server = quantile(merged([row.served]), 0.5);
  const client = quantile(merged(http.map((of) => of.latency)), 0.5);
  return {
    protocols: [...(http.length ? ["HTTP"] : []), ...(dns.length ? ["DNS"] : []), ...(kafka.length ? ["Kafka"] : []), ...(row.tls?.length ? ["TLS"] : [])],
    requests: add(http, (of) => n(of.requests)) + add(dns, (of) => n(of.questions)) + add(kafka, (of) => n(of.produces) + n(of.fetches) + n(of.others)),
    failed: add(http, httpFailed) + add(dns, dnsFailed) + add(kafka, kafkaFailed),
    latency: merged([...http.map((of) => of.latency), ...dns.map((of) => of.latency), ...kafka.map((of) => of.produce_latency)]),
    ...(server !== undefined && client !== undefined ? { shares: { server, network: Math.max(0, client - server) } } : {}),
  };
}

/** p50, p95 and p99 of a distribution, microseconds; nothing of nothing. */
export function quantiles(sketch: Sketch | undefined): { p50: number; p95: number; p99: number } | undefined {
  const buckets = merged([sketch]);
  if (total(buckets) === 0) return undefined;
  const of = (share: number): number => quantile(buckets, share) ?? 0;
  return { p50: of(0.5), p95: of(0.95), p99: of(0.99) };
}
