// Flows as they come, the newest some thousand of them.
import { type Accessor, createEffect, createSignal, on, onCleanup } from "solid-js";
import type { Flow, FlowReply } from "./api";
import { n } from "./api";

/** Flows that are kept. */
export const KEPT = 5000;
/** Asked for at the beginning. */
const FIRST = 500;
const RETRY = 3000;

export type Tail = {
  rows: Accessor<Seen[]>;
  /** What nodes lost before it could be sent. */
  lost: Accessor<number>;
  /** What nodes said of themselves, the newest. */
  said: Accessor<string>;
  error: Accessor<string | undefined>;
  /** Whether the end of a finite answer has come. */
  ended: Accessor<boolean>;
};

/** A flow with a number of its own. */
export type Seen = { id: string; flow: Flow };

/** What is asked: flows of a range, or, without an end, those that come. */
export function request(filters: Record<string, unknown>[], since: string, until: string): string {
  const time = until ? { since, until, number: String(KEPT) } : { follow: true, number: String(FIRST) };
  return JSON.stringify({ ...time, ...(filters.length > 0 ? { whitelist: filters } : {}) });
}

export function tail(asked: Accessor<string>): Tail {
  const [rows, setRows] = createSignal<Seen[]>([]);
  const [lost, setLost] = createSignal(0);
  const [said, setSaid] = createSignal("");
  const [error, setError] = createSignal<string | undefined>();
  const [ended, setEnded] = createSignal(false);
  let source: EventSource | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let next = 0;

  function take(replies: FlowReply[]): void {
    const fresh: Seen[] = [];
    for (const reply of replies) {
      if (reply.flow) fresh.push({ id: reply.flow.uuid ?? `#${next++}`, flow: reply.flow });
      if (reply.lost_events) setLost((before) => before + n(reply.lost_events?.num_events_lost));
      const status = reply.node_status;
      if (status && status.state_change !== "NODE_CONNECTED") {
        setSaid(`${(status.node_names ?? []).join(", ")}: ${(status.state_change ?? "").replace("NODE_", "").toLowerCase()} ${status.message ?? ""}`);
      }
    }
    if (fresh.length > 0) setRows((before) => [...before, ...fresh].slice(-KEPT));
  }

  function open(text: string): void {
    source?.close();
    clearTimeout(timer);
    setRows([]);
    setLost(0);
    setSaid("");
    setEnded(false);
    setError(undefined);
    const own = (source = new EventSource(`/api/flows?request=${encodeURIComponent(text)}`));
    own.addEventListener("flows", (event) => {
      setError(undefined);
      take(JSON.parse((event as MessageEvent<string>).data) as FlowReply[]);
    });
    own.addEventListener("end", () => {
      own.close();
      setEnded(true);
    });
    own.addEventListener("failed", (event) => {
      own.close();
      setError((event as MessageEvent<string>).data);
    });
    own.onerror = () => {
      own.close();
      if (source !== own) return;
      void why(text).then((reason) => source === own && setError(reason));
      timer = setTimeout(() => open(text), RETRY);
    };
  }

  createEffect(on(asked, open));
  onCleanup(() => {
    clearTimeout(timer);
    source?.close();
    source = undefined;
  });
  return { rows, lost, said, error, ended };
}

/** A stream does not say why it was refused: the same request does. */
async function why(text: string): Promise<string> {
  const stop = new AbortController();
  try {
    const response = await fetch(`/api/flows?request=${encodeURIComponent(text)}`, { signal: stop.signal });
    if (response.ok) return "the stream was cut off; it is opened again";
    const refused = (await response.json()) as { error?: string };
    return refused.error ?? `the relay answers ${response.status}`;
  } catch {
    return "the relay cannot be reached";
  } finally {
    stop.abort();
  }
}

/** An end of a flow by the name that people know it by. */
export function end(flow: Flow, side: "source" | "destination"): string {
  const of = flow[side];
  const names = flow[side === "source" ? "source_names" : "destination_names"];
  if (of?.pod_name) return of.namespace ? `${of.namespace}/${of.pod_name}` : of.pod_name;
  if (names?.[0]) return names[0];
  const reserved = of?.labels?.find((label) => label.startsWith("reserved:"));
  return reserved?.slice("reserved:".length) ?? flow.IP?.[side] ?? "";
}

/** Protocol, and the ports of both ends. */
export function protocol(flow: Flow): { name: string; from?: number; to?: number } {
  const [name, of] = Object.entries(flow.l4 ?? {})[0] ?? ["", undefined];
  return { name, ...(of?.source_port ? { from: of.source_port } : {}), ...(of?.destination_port ? { to: of.destination_port } : {}) };
}

/** What happened, in a few words: the request, or the flags. */
export function summary(flow: Flow): string {
  const { http, dns, kafka } = flow.l7 ?? {};
  if (http) return [http.method, http.url, http.code || undefined].filter(Boolean).join(" ");
  if (dns) return [dns.query, dns.ips?.join(", ")].filter(Boolean).join(" → ");
  if (kafka) return [kafka.api_key, kafka.topic].filter(Boolean).join(" ");
  if (flow.drop_reason_desc) return flow.drop_reason_desc.toLowerCase().replaceAll("_", " ");
  return flow.Summary ?? "";
}

/** The command that shows flows of the same two ends. */
export function like(flow: Flow): string {
  const words = ["axoneme hubble observe"];
  for (const side of ["source", "destination"] as const) {
    const flag = side === "source" ? "from" : "to";
    const of = flow[side];
    const address = flow.IP?.[side];
    if (of?.pod_name) words.push(`--${flag}-pod ${of.namespace ? `${of.namespace}/` : ""}${of.pod_name}`);
    else if (address) words.push(`--${flag}-ip ${address}`);
  }
  const { name, to } = protocol(flow);
  if (to && !flow.is_reply) words.push(`--to-port ${to}`);
  if (name) words.push(`--protocol ${name.toLowerCase()}`);
  return words.join(" ");
}

/** The newest flows of a time, any of the filters, at most so many. */
export async function recent(filters: Record<string, unknown>[], since: string, until: string, most: number): Promise<Flow[]> {
  const asked = JSON.stringify({ since, until, number: String(most), whitelist: filters });
  const response = await fetch(`/api/flows?request=${encodeURIComponent(asked)}`);
  const text = await response.text();
  if (!response.ok) throw new Error((JSON.parse(text) as { error?: string }).error ?? `the relay answers ${response.status}`);
  // Server-sent events: blocks of lines, of which each names itself.
  const events = text.split("\n\n").map((block) => new Map(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()])));
  const failed = events.find((event) => event.get("event") === "failed");
  if (failed) throw new Error(failed.get("data"));
  const replies = events.filter((event) => event.get("event") === "flows").flatMap((event) => JSON.parse(event.get("data") ?? "[]") as FlowReply[]);
  return replies.flatMap((reply) => (reply.flow ? [reply.flow] : []));
}
