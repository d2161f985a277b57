// The map as cards and links, out of edges: which parties there are, in which island each lies, and what goes between them.
import { type CauseKind, type Party, type Row, n } from "../api";
import { attempts, edgeKey, failed, isOutside, merged, quantile, shown, worstCause } from "../edges";

export type Scope = "workload" | "namespace";

export type Card = {
  /** NAMESPACE/NAME, or the name of who is no workload. */
  id: string;
  name: string;
  island: string;
  /** Connections that it was asked for and began. */
  asked: number;
  began: number;
  /** Of what it was asked. */
  failed: number;
  ports: number[];
};

export type Link = {
  id: string;
  from: string;
  to: string;
  rows: Row[];
  attempts: number;
  failed: number;
  bytes: number;
  cause: CauseKind | undefined;
};

export type Graph = { cards: Card[]; links: Link[] };

/** Islands that are no namespace; their names cannot be those of one. */
export const WORLD_IN = "From outside";
export const WORLD_OUT = "To outside";
export const NODES = "Nodes";
export const UNNAMED = "Unnamed addresses";

function place(party: Party | undefined, side: "from" | "to", scope: Scope): { id: string; name: string; island: string } {
  const name = shown(party);
  if (isOutside(party)) {
    const island = side === "from" ? WORLD_IN : WORLD_OUT;
    return { id: `${side === "from" ? "→" : "←"} ${name}`, name, island };
  }
  if (party?.kind === "ENTITY") return { id: name, name, island: NODES };
  if (party?.kind === "ADDRESS") return { id: name, name, island: UNNAMED };
  const namespace = party?.namespace ?? "";
  if (scope === "namespace") return { id: `${namespace}/`, name: namespace, island: "Namespaces" };
  return { id: name, name: party?.name ?? "", island: namespace };
}

/** The graph of these edges. With `bad`, only what fails and who takes part in it. */
export function graph(rows: Row[], scope: Scope, bad: boolean): Graph {
  const cards = new Map<string, Card>();
  const grouped = new Map<string, { from: string; to: string; rows: Row[] }>();
  const card = (of: { id: string; name: string; island: string }): Card => {
    const known = cards.get(of.id) ?? { ...of, asked: 0, began: 0, failed: 0, ports: [] };
    cards.set(of.id, known);
    return known;
  };
  for (const row of rows) {
    if (bad && failed(row.counters) + n(row.counters?.dropped) === 0 && !worstCause([row])) continue;
    const from = card(place(row.edge?.source, "from", scope));
    const to = card(place(row.edge?.destination, "to", scope));
    from.began += attempts(row.counters);
    to.asked += attempts(row.counters);
    to.failed += failed(row.counters);
    const port = row.edge?.port ?? 0;
    if (port > 0 && !to.ports.includes(port)) to.ports.push(port);
    const id = `${from.id} ⇒ ${to.id}`;
    const group = grouped.get(id) ?? { from: from.id, to: to.id, rows: [] };
    group.rows.push(row);
    grouped.set(id, group);
  }
  const links = [...grouped].map(([id, of]) => ({
    id,
    ...of,
    attempts: of.rows.reduce((sum, row) => sum + attempts(row.counters), 0),
    failed: of.rows.reduce((sum, row) => sum + failed(row.counters), 0),
    bytes: of.rows.reduce((sum, row) => sum + n(row.counters?.bytes_sent) + n(row.counters?.bytes_received), 0),
    cause: worstCause(of.rows),
  }));
  for (const of of cards.values()) of.ports.sort((a, b) => a - b);
  return { cards: [...cards.values()].sort((a, b) => (a.id < b.id ? -1 : 1)), links };
}

/** The p95 of the time to the first answer, microseconds. */
export const p95 = (link: Link): number | undefined => quantile(merged(link.rows.map((row) => row.connect)), 0.95);

export const parties = (rows: Row[]): number => new Set(rows.flatMap((row) => [shown(row.edge?.source), shown(row.edge?.destination)])).size;

export const rowKey = (row: Row): string => edgeKey(row.edge);
