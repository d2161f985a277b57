// Services and workloads by what fails of all that is asked of them; the same rule as that of the command line.
import { type Row } from "./api";
import { attempts, failed, merged, shown } from "./edges";
import { summary } from "./said";

/** A service or workload with all that was asked of it: connections, and what was said on them. */
export type Asked = {
  name: string;
  failed: number;
  attempts: number;
  connect: Map<number, number>;
  requestsFailed: number;
  requests: number;
  latency: Map<number, number>;
  sources: Set<string>;
};

/** Parts of a million. */
const part = (failed: number, all: number): number => (all === 0 ? 0 : Math.floor((failed * 1e6) / all));

/** Whether requests fail more than connections. */
export const failsInRequests = (of: Asked): boolean => part(of.requestsFailed, of.requests) > part(of.failed, of.attempts);

/** The larger share of failures, in parts of a million. */
export const worse = (of: Asked): number => Math.max(part(of.failed, of.attempts), part(of.requestsFailed, of.requests));

const sum = <T>(all: T[], of: (one: T) => number): number => all.reduce((whole, one) => whole + of(one), 0);

function added(distributions: Map<number, number>[]): Map<number, number> {
  const whole = new Map<number, number>();
  for (const of of distributions) for (const [bucket, count] of of) whole.set(bucket, (whole.get(bucket) ?? 0) + count);
  return whole;
}

/** Destinations by the larger of both shares of failures, the worst first. */
export function worst(rows: Row[]): Asked[] {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const name = row.edge?.service || shown(row.edge?.destination);
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  const all = [...groups].map(([name, of]): Asked => {
    const said = of.map(summary);
    return {
      name,
      failed: sum(of, (row) => failed(row.counters)),
      attempts: sum(of, (row) => attempts(row.counters)),
      connect: merged(of.map((row) => row.connect)),
      requestsFailed: sum(said, (one) => one.failed),
      requests: sum(said, (one) => one.requests),
      latency: added(said.map((one) => one.latency)),
      sources: new Set(of.map((row) => shown(row.edge?.source))),
    };
  });
  return all
    .filter((of) => of.attempts > 0 || of.requests > 0)
    .sort((a, b) => worse(b) - worse(a) || b.failed + b.requestsFailed - a.failed - a.requestsFailed || b.attempts - a.attempts || (a.name < b.name ? -1 : 1));
}
