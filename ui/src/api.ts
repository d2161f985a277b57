// What the relay answers: canonical JSON of its protobuf messages. Numbers of 64 bits are strings, and what is zero or empty is absent.

export type Count = string | number | undefined;

export type Party = {
  cluster?: string;
  namespace?: string;
  name?: string;
  kind?: "WORKLOAD" | "ENTITY" | "DNS_NAME" | "ADDRESS";
};

export type Edge = {
  source?: Party;
  destination?: Party;
  service?: string;
  port?: number;
  protocol?: number;
};

export type Counters = Partial<
  Record<
    | "opened"
    | "answered"
    | "late"
    | "closed"
    | "idle"
    | "refused"
    | "unanswered"
    | "reset_by_client"
    | "reset_by_server"
    | "denied"
    | "dropped"
    | "syn_retransmits"
    | "retransmits_sent"
    | "retransmits_received"
    | "cut"
    | "packets_sent"
    | "packets_received"
    | "bytes_sent"
    | "bytes_received",
    Count
  >
>;

export type Sketch = { bucket?: number[]; count?: Count[] };

export type CauseKind =
  | "CAUSE_UNKNOWN"
  | "DENIED_BY_RULE"
  | "DENIED_BY_DEFAULT"
  | "DROPPED"
  | "REFUSED"
  | "UNANSWERED"
  | "RESET_BY_CLIENT"
  | "RESET_BY_SERVER"
  | "CUT_BY_SERVER"
  | "DNS_TIMEOUT"
  | "DNS_ERROR"
  | "DNS_NO_SUCH_NAME"
  | "HTTP_ERROR"
  | "GRPC_ERROR"
  | "NO_ANSWER"
  | "OVERDUE"
  | "KAFKA_ERROR"
  | "TLS_ALERT_BY_CLIENT"
  | "TLS_ALERT_BY_SERVER"
  | "TLS_UNFINISHED"
  | "STALLED_AT_SERVER"
  | "STALLED_AT_CLIENT"
  | "FULL_AT_SERVER"
  | "FULL_AT_CLIENT"
  | "UNCLOSED_AT_SERVER";

export type PolicyRef = { kind?: string; namespace?: string; name?: string };

export type Cause = {
  kind?: CauseKind;
  direction?: string;
  policies?: PolicyRef[];
  drop_reason?: number;
  delivered?: boolean;
  name?: string;
  code?: number;
};

export type Sample = {
  time_ns?: Count;
  source_pod?: string;
  source?: string;
  destination_pod?: string;
  destination?: string;
};

export type Tally = { cause?: Cause; count?: Count; excused?: Count; samples?: Sample[] };

export type CodeCount = { code?: number; count?: Count };

export type NameCount = { name?: string; count?: Count };

export type HttpCounters = {
  method?: string;
  path?: string;
  requests?: Count;
  status?: CodeCount[];
  grpc?: CodeCount[];
  unanswered?: Count;
  unknown?: Count;
  request_octets?: Count;
  response_octets?: Count;
  latency?: Sketch;
};

export type DnsCounters = {
  name?: string;
  type?: number;
  questions?: Count;
  codes?: CodeCount[];
  timeouts?: Count;
  unanswered?: Count;
  unknown?: Count;
  searched?: Count;
  repeats?: Count;
  latency?: Sketch;
  addresses?: string[];
  first_ns?: Count;
  last_ns?: Count;
};

export type KafkaCounters = {
  topic?: string;
  id?: string;
  produces?: Count;
  fetches?: Count;
  others?: Count;
  produced_octets?: Count;
  fetched_octets?: Count;
  errors?: CodeCount[];
  unanswered?: Count;
  unknown?: Count;
  groups?: NameCount[];
  produce_latency?: Sketch;
  fetch_latency?: Sketch;
};

export type TlsCounters = { server_name?: string; handshakes?: Count; done?: Count; unfinished?: Count; client_alerts?: CodeCount[]; server_alerts?: CodeCount[] };

export type Outsider = { address?: string; connections?: Count };

export type Row = {
  edge?: Edge;
  counters?: Counters;
  connect?: Sketch;
  failures?: Tally[];
  outsiders?: Outsider[];
  http?: HttpCounters[];
  dns?: DnsCounters[];
  kafka?: KafkaCounters[];
  tls?: TlsCounters[];
  served?: Sketch;
  round_trip?: Sketch;
  least_round_trip?: Sketch;
};

export type Completeness = {
  share?: number;
  lost?: Count;
  nodes?: number;
  missing?: string[];
  known_since?: string;
  said?: Count;
  unknown?: Count;
};

type Answer = { since?: string; until?: string; completeness?: Completeness };

export type MapAnswer = Answer & { edges?: Row[] };

export type Failure = {
  edge?: Edge;
  cause?: Cause;
  layer?: string;
  fault?: string;
  sentence?: string;
  count?: Count;
  attempts?: Count;
  packets?: Count;
  first?: string;
  last?: string;
  samples?: Sample[];
};

export type FailingAnswer = Answer & { failures?: Failure[] };

export type Exposure = {
  destination?: Party;
  service?: string;
  port?: number;
  protocol?: number;
  connections?: Count;
  denied?: Count;
  outsiders?: Outsider[];
  first?: string;
  last?: string;
};

export type ExposedAnswer = Answer & { exposures?: Exposure[] };

export type Requests = {
  destination?: Party;
  service?: string;
  port?: number;
  counters?: HttpCounters;
  callers?: { party?: Party; requests?: Count }[];
  served?: Sketch;
};

/** Connections to a service that were not read, and why. */
export type Unread = { destination?: Party; service?: string; port?: number; connections?: Count; encrypted?: Count; server_names?: { name?: string; count?: Count }[]; other?: Count; host_network?: Count };

export type HttpAnswer = Answer & { requests?: Requests[]; encrypted?: Count; unread?: Unread[] };

export type Lookup = { edge?: Edge; counters?: DnsCounters };

export type DnsAnswer = Answer & { lookups?: Lookup[] };

export type Topic = { edge?: Edge; counters?: KafkaCounters };

export type KafkaAnswer = Answer & { topics?: Topic[] };

export type Resolution = { source?: Party; name?: string; questions?: Count; failures?: Count; addresses?: string[]; first?: string; last?: string; connections?: Count };

export type ResolvedAnswer = Answer & { resolutions?: Resolution[] };

/** Sums of one span of time, over all edges that were asked for. */
export type Sums = {
  /** Seconds since the Unix epoch. */
  since: number;
  opened: number;
  failed: number;
  refused: number;
  unanswered: number;
  denied: number;
  outside: number;
  /** Of the time to the first answer, microseconds; absent where nothing was answered. */
  p95_us?: number;
  requests: number;
  request_errors: number;
  /** Of the time to the answers of requests over HTTP, microseconds. */
  request_p95_us?: number;
  questions: number;
  questions_failed: number;
  kafka: number;
  said_failed: number;
};

export type History = { step: number; spans: Sums[] };

export type Node = { name?: string; version?: string; address?: string; state?: string; num_flows?: Count; max_flows?: Count; seen_flows?: Count; uptime_ns?: Count };

export type NodesAnswer = { nodes?: Node[] };

export type Flow = {
  time?: string;
  verdict?: string;
  IP?: { source?: string; destination?: string; ipVersion?: string };
  l4?: Record<string, { source_port?: number; destination_port?: number; flags?: Record<string, boolean>; type?: number; code?: number }>;
  source?: FlowEnd;
  destination?: FlowEnd;
  Type?: string;
  node_name?: string;
  source_names?: string[];
  destination_names?: string[];
  l7?: { type?: string; latency_ns?: Count; http?: { code?: number; method?: string; url?: string }; dns?: { query?: string; rcode?: number; ips?: string[] }; kafka?: { api_key?: string; topic?: string; error_code?: number } };
  destination_service?: { name?: string; namespace?: string };
  traffic_direction?: string;
  trace_observation_point?: string;
  drop_reason_desc?: string;
  is_reply?: boolean;
  egress_allowed_by?: PolicyRef[];
  ingress_allowed_by?: PolicyRef[];
  egress_denied_by?: PolicyRef[];
  ingress_denied_by?: PolicyRef[];
  Summary?: string;
  uuid?: string;
};

export type FlowEnd = { identity?: number; namespace?: string; labels?: string[]; pod_name?: string; workloads?: { name?: string; kind?: string }[]; cluster_name?: string };

export type FlowReply = {
  flow?: Flow;
  lost_events?: { num_events_lost?: Count };
  node_status?: { state_change?: string; node_names?: string[]; message?: string };
  node_name?: string;
  time?: string;
};

/** The number of a count; nothing is zero. */
export const n = (count: Count): number => Number(count ?? 0);

/** Asks the relay; throws its reason if it does not answer. */
export async function ask<T>(path: string, parameters: Record<string, string>, signal?: AbortSignal): Promise<T> {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== ""));
  let response: Response;
  try {
    response = await fetch(`/api/${path}?${query}`, signal ? { signal } : {});
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Error("the relay cannot be reached");
  }
  if (response.ok) return response.json() as Promise<T>;
  const refused: { error?: string } = await response.json().catch(() => ({}));
  throw new Error(refused.error ?? `the relay answers ${response.status}`);
}
