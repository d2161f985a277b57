// The one filter language of all screens: KEY:VALUE for what the relay selects by, other words for what a row must contain.

export const KEYS = ["from", "to", "ns", "port", "proto", "verdict", "cause", "name"] as const;
export type Key = (typeof KEYS)[number];
export type Filter = Partial<Record<Key, string>> & { words: string[] };

/** Understands what was typed; a key that nobody knows is a word. */
export function parse(text: string): Filter {
  const filter: Filter = { words: [] };
  for (const token of text.split(/\s+/).filter(Boolean)) {
    const at = token.indexOf(":");
    const key = KEYS.find((of) => of === token.slice(0, Math.max(at, 0)).toLowerCase());
    if (key && at < token.length - 1) filter[key] = token.slice(at + 1);
    else if (!key) filter.words.push(token.toLowerCase());
  }
  return filter;
}

/** The same filter with one key set, or taken away. */
export function set(text: string, key: Key, value: string | undefined): string {
  const rest = text.split(/\s+/).filter((token) => token && !token.toLowerCase().startsWith(`${key}:`));
  return [...rest, ...(value ? [`${key}:${value}`] : [])].join(" ");
}

/** Whether a row, as it is shown, is meant: every word is in it, and its port and protocol are those. */
export function selects(filter: Filter, row: { text: string; port?: string; cause?: string }): boolean {
  const [number, protocol] = (row.port ?? "").split("/");
  if (filter.port && number !== filter.port) return false;
  if (filter.proto && (protocol ?? number ?? "").toLowerCase() !== filter.proto.toLowerCase()) return false;
  if (filter.cause && !(row.cause ?? "").toLowerCase().includes(filter.cause.toLowerCase())) return false;
  const text = row.text.toLowerCase();
  return filter.words.every((word) => text.includes(word));
}

/** NAMESPACE/NAME as a filter of flows has it for pods: a prefix of a pod's name; anybody else is a DNS name. */
function party(side: "source" | "destination", value: string): Record<string, unknown>[] {
  if (["world", "host", "remote-node", "kube-apiserver", "health", "ingress", "init", "unmanaged"].includes(value)) {
    return [{ [`${side}_label`]: [`reserved:${value}`] }];
  }
  if (/^[0-9.:a-f]+(\/\d+)?$/i.test(value) && /[.:]/.test(value)) return [{ [`${side}_ip`]: [value] }];
  if (value.includes("/")) return [{ [`${side}_pod`]: [value] }];
  if (value.includes(".")) return [{ [`${side}_fqdn`]: [value] }];
  return [{ [`${side}_pod`]: [value] }];
}

/** Kinds of records, each with the filter that chooses its flows. */
export const KINDS: Record<string, { name: string; filter: Record<string, unknown> }> = {
  "": { name: "All", filter: {} },
  // Traces and verdicts of policies; not what was said, and not what was dropped.
  conn: { name: "Connections", filter: { event_type: [{ type: 4 }, { type: 5 }] } },
  http: { name: "HTTP", filter: { protocol: ["http"] } },
  dns: { name: "DNS", filter: { protocol: ["dns"] } },
  kafka: { name: "Kafka", filter: { protocol: ["kafka"] } },
  drop: { name: "Dropped", filter: { verdict: ["DROPPED"] } },
};

/** The filters of `observer.GetFlowsRequest`, any of which must hold. */
export function flowFilters(filter: Filter, kind = ""): Record<string, unknown>[] {
  const base: Record<string, unknown> = { ...KINDS[kind]?.filter };
  if (filter.from) Object.assign(base, party("source", filter.from)[0]);
  if (filter.to) Object.assign(base, party("destination", filter.to)[0]);
  if (filter.port) base.destination_port = [filter.port];
  if (filter.proto) base.protocol = [filter.proto];
  if (filter.verdict) base.verdict = [filter.verdict.toUpperCase()];
  if (!filter.ns) return Object.keys(base).length > 0 ? [base] : [];
  const namespace = `${filter.ns}/`;
  const sides: Record<string, unknown>[] = [];
  if (!filter.from) sides.push({ ...base, source_pod: [namespace] });
  if (!filter.to) sides.push({ ...base, destination_pod: [namespace] });
  return sides.length > 0 ? sides : [base];
}
