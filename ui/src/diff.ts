// What is other than before, edge by edge; the same rules as those of `axoneme diff`.
import { type Edge, type MapAnswer, type Row } from "./api";
import { attempts, edgeKey, failed, merged, quantile, total } from "./edges";
import { seconds } from "./format";
import { type View, range } from "./view";

/** Fewer failures than these are chance. */
const FAILURES = 3;
/** Shares of failures that differ by less are alike. */
const SHARE = 0.01;
/** Fewer answers than these have no 95th percentile. */
const ANSWERS = 20;
/** Percentiles that differ by a smaller factor are alike. */
const FACTOR = 1.5;

/** The worst first. */
const ORDER = ["fails more", "slower", "gone", "new", "fails less", "faster"] as const;
export type What = (typeof ORDER)[number];

export type Measured = { attempts: number; failed: number; /** Microseconds to the first answer. */ p95?: number };
export type Difference = { what: What; edge: Edge | undefined; before: Measured; after: Measured };

/** The earlier span: as long as the later one, up to the mark, or else directly before it. */
export function earlier(of: View, now: number): { since: string; until: string } {
  const length = (seconds(of.span) ?? 900) * 1000;
  const end = of.mark ? Date.parse(of.mark) : (of.at ? Date.parse(of.at) : now) - length;
  return { since: new Date(end - length).toISOString(), until: new Date(end).toISOString() };
}

/** The later span; it ends where the time stands, or now. */
export const later = (of: View): { since: string; until: string } => range(of);

function measured(row: Row | undefined): Measured {
  const connect = merged([row?.connect]);
  const p95 = total(connect) >= ANSWERS ? quantile(connect, 0.95) : undefined;
  return { attempts: attempts(row?.counters), failed: failed(row?.counters), ...(p95 === undefined ? {} : { p95 }) };
}

function what(before: Measured, after: Measured): What | undefined {
  if (before.attempts === 0 && after.attempts === 0) return undefined;
  if (before.attempts === 0) return "new";
  if (after.attempts === 0) return "gone";
  const more = after.failed / after.attempts - before.failed / before.attempts;
  if (more > SHARE && after.failed >= FAILURES) return "fails more";
  if (-more > SHARE && before.failed >= FAILURES) return "fails less";
  if (before.p95 === undefined || after.p95 === undefined) return undefined;
  if (after.p95 / before.p95 > FACTOR) return "slower";
  return after.p95 / before.p95 < 1 / FACTOR ? "faster" : undefined;
}

/** What differs, the worst first. */
export function differences(before: MapAnswer, after: MapAnswer): Difference[] {
  const keyed = (answer: MapAnswer): Map<string, Row> => new Map((answer.edges ?? []).map((row) => [edgeKey(row.edge), row]));
  const [old, young] = [keyed(before), keyed(after)];
  const all = [...new Set([...old.keys(), ...young.keys()])].sort();
  return all
    .flatMap((key) => {
      const [then, now] = [measured(old.get(key)), measured(young.get(key))];
      const word = what(then, now);
      return word ? [{ what: word, edge: (young.get(key) ?? old.get(key))?.edge, before: then, after: now }] : [];
    })
    .sort((a, b) => ORDER.indexOf(a.what) - ORDER.indexOf(b.what) || b.after.attempts - a.after.attempts);
}
