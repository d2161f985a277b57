// How long the first answer and requests take, edge by edge; and which services are the worst.
import { type JSX, Show, createMemo } from "solid-js";
import type { Row } from "../api";
import type { Answers } from "../data";
import { attempts, edgeKey, ends, failed, merged, quantile, shown, total } from "../edges";
import { count, duration, port, share } from "../format";
import { parse, selects } from "../language";
import { Details, Facts } from "../parts/details";
import { None, Rows } from "../parts/rows";
import type { Column } from "../parts/table";
import { type Summary, summary } from "../said";
import { Who } from "./failing";
import { view } from "../view";
import { type Asked, failsInRequests, worse, worst } from "../worst";

/** An edge with what its durations come to, microseconds. */
type Timed = { row: Row; count: number; p50: number; p95: number; p99: number; said: Summary; said95: number; said99: number; trip: Map<number, number>; least: Map<number, number> };

function timed(row: Row): Timed {
  const buckets = merged([row.connect]);
  const of = (share: number): number => quantile(buckets, share) ?? 0;
  const said = summary(row);
  const ofSaid = (share: number): number => quantile(said.latency, share) ?? 0;
  return { row, count: total(buckets), p50: of(0.5), p95: of(0.95), p99: of(0.99), said, said95: ofSaid(0.95), said99: ofSaid(0.99), trip: merged([row.round_trip]), least: merged([row.least_round_trip]) };
}

const edgeOf = (of: Timed) => of.row.edge;

const COLUMNS: Column<Timed>[] = [
  { name: "From", cell: (of) => shown(edgeOf(of)?.source), by: (of) => shown(edgeOf(of)?.source) },
  { name: "To", wide: true, cell: (of) => shown(edgeOf(of)?.destination), by: (of) => shown(edgeOf(of)?.destination) },
  { name: "Port", number: true, cell: (of) => port(edgeOf(of)?.port, edgeOf(of)?.protocol), by: (of) => edgeOf(of)?.port ?? 0 },
  { name: "Answers", number: true, minor: true, cell: (of) => count(of.count), by: (of) => of.count },
  { name: "p50", number: true, minor: true, title: "Of the time to the first answer", cell: (of) => (of.count > 0 ? duration(of.p50) : ""), by: (of) => of.p50 },
  { name: "p95", number: true, cell: (of) => (of.count > 0 ? duration(of.p95) : ""), by: (of) => of.p95 },
  { name: "p99", number: true, minor: true, cell: (of) => (of.count > 0 ? duration(of.p99) : ""), by: (of) => of.p99 },
  { name: "Round trip p95", number: true, title: "Of octets on open connections and their acknowledgement, as the kernel of one end smooths it", cell: (of) => (of.trip.size > 0 ? duration(p95(of.trip)) : ""), by: (of) => p95(of.trip) },
  { name: "Requests", number: true, minor: true, title: "Requests and questions that were seen on the edge", cell: (of) => (of.said.requests > 0 ? count(of.said.requests) : ""), by: (of) => of.said.requests },
  { name: "Request p95", number: true, title: "Of requests over HTTP, questions to DNS servers, and producing to Kafka", cell: (of) => (of.said.latency.size > 0 ? duration(of.said95) : ""), by: (of) => of.said95 },
  { name: "Request p99", number: true, minor: true, cell: (of) => (of.said.latency.size > 0 ? duration(of.said99) : ""), by: (of) => of.said99 },
];

export function Latency(props: { answers: Answers }): JSX.Element {
  const answer = () => props.answers.map();
  const rows = createMemo(() => {
    const filter = parse(view().q);
    return (answer().value?.edges ?? [])
      .filter((row) => row.connect || row.round_trip || summary(row).latency.size > 0)
      .filter((row) => selects(filter, { text: edgeKey(row.edge), port: port(row.edge?.port, row.edge?.protocol) }))
      .map(timed)
      .sort((a, b) => Math.max(b.p95, b.said95) - Math.max(a.p95, a.said95));
  });
  const key = (of: Timed): string => edgeKey(of.row.edge);
  return (
    <Rows
      answer={answer()}
      label="Time to the first answer, and of requests" rows={rows()} columns={COLUMNS} key={key}
      ends={(of) => ends(edgeOf(of))}
      none={<None what="Nothing was answered in this time" />}
      details={(of) => (
            <Details title="Time to the first answer" ends={ends(edgeOf(of()))}>
              <Facts
                of={[
                  ["From", <Who name={shown(edgeOf(of())?.source)} side="from" />],
                  ["To", <Who name={shown(edgeOf(of())?.destination)} side="to" />],
                  ["Service", edgeOf(of())?.service],
                  ["Answers", count(of().count)],
                  ["p50", of().count > 0 ? duration(of().p50) : undefined],
                  ["p95", of().count > 0 ? duration(of().p95) : undefined],
                  ["p99", of().count > 0 ? duration(of().p99) : undefined],
                  ["Failed", `${count(failed(of().row.counters))} of ${count(attempts(of().row.counters))} attempts`],
                ]}
              />
              <Show when={of().trip.size > 0}>
                <h3>Round trips on open connections</h3>
                <Facts
                  of={[
                    ["p50", duration(quantile(of().trip, 0.5) ?? 0)],
                    ["p95", duration(p95(of().trip))],
                    ["Shortest in five minutes, median", duration(quantile(of().least, 0.5) ?? 0)],
                  ]}
                />
              </Show>
              <Show when={of().said.latency.size > 0}>
                <h3>{`Requests (${of().said.protocols.filter((name) => name !== "TLS").join(", ")})`}</h3>
                <Facts
                  of={[
                    ["Seen", count(of().said.requests)],
                    ["Failed", of().said.failed > 0 ? `${count(of().said.failed)} (${share(of().said.failed, of().said.requests)})` : undefined],
                    ["p50", duration(quantile(of().said.latency, 0.5) ?? 0)],
                    ["p95", duration(of().said95)],
                    ["p99", duration(of().said99)],
                    ["Median at the server", of().said.shares ? duration(of().said.shares?.server ?? 0) : undefined],
                    ["and on the way", of().said.shares ? duration(of().said.shares?.network ?? 0) : undefined],
                  ]}
                />
                <Distribution title="Distribution of requests" of={of().said.latency} />
              </Show>
              <Distribution title="Distribution of the first answer" of={merged([of().row.connect])} />
            </Details>
          )}
    />
  );
}

/** How many answers took how long, in steps of a doubling. */
function Distribution(props: { title: string; of: Map<number, number> }): JSX.Element {
  const steps = createMemo(() => {
    const doubled = new Map<number, number>();
    for (const [bucket, of] of props.of) {
      const step = Math.floor((bucket * Math.log(1.01 / 0.99)) / Math.LN2);
      doubled.set(step, (doubled.get(step) ?? 0) + of);
    }
    const known = [...doubled.keys()].sort((a, b) => a - b);
    const [from = 0, to = -1] = [known[0], known.at(-1)];
    return Array.from({ length: to - from + 1 }, (_, index) => ({ from: 2 ** (from + index), count: doubled.get(from + index) ?? 0 }));
  });
  const most = () => Math.max(...steps().map((of) => of.count), 1);
  return (
    <Show when={props.of.size > 0}>
      <h3>{props.title}</h3>
      <table class="plain bars">
        <tbody>
          {steps().map((of) => (
            <tr>
              <th scope="row" class="number">{`from ${duration(of.from)}`}</th>
              <td class="wide">
                <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
                  <rect width={(of.count / most()) * 100} height="10" />
                </svg>
              </td>
              <td class="number">{count(of.count)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Show>
  );
}

const p95 = (of: Map<number, number>): number => quantile(of, 0.95) ?? 0;

/** A share of failures, and in red the one for which the row stands where it stands. */
const Share = (props: { bad: number; all: number; leads: boolean }): JSX.Element => (
  <span class={props.bad > 0 && props.leads ? "cause bad" : props.bad > 0 ? "" : "quiet"}>{props.all > 0 ? share(props.bad, props.all) : ""}</span>
);

const WORST: Column<Asked>[] = [
  { name: "Service or workload", wide: true, cell: (of) => of.name, by: (of) => of.name },
  { name: "Failed", number: true, cell: (of) => count(of.failed), by: (of) => of.failed },
  { name: "Attempts", number: true, cell: (of) => count(of.attempts), by: (of) => of.attempts },
  { name: "Share", number: true, cell: (of) => <Share bad={of.failed} all={of.attempts} leads={!failsInRequests(of)} />, by: worse, title: "Sorted by the larger of both shares" },
  { name: "p95", number: true, cell: (of) => (of.connect.size > 0 ? duration(p95(of.connect)) : ""), by: (of) => p95(of.connect), title: "Of the time to the first answer" },
  { name: "Req. failed", number: true, cell: (of) => (of.requests > 0 ? count(of.requestsFailed) : ""), by: (of) => of.requestsFailed },
  { name: "Requests", number: true, cell: (of) => (of.requests > 0 ? count(of.requests) : ""), by: (of) => of.requests },
  { name: "Req. share", number: true, cell: (of) => <Share bad={of.requestsFailed} all={of.requests} leads={failsInRequests(of)} />, by: (of) => of.requestsFailed / Math.max(1, of.requests) },
  { name: "Req. p95", number: true, cell: (of) => (of.latency.size > 0 ? duration(p95(of.latency)) : ""), by: (of) => p95(of.latency), title: "Of the time to the answers of requests" },
  { name: "Callers", number: true, cell: (of) => count(of.sources.size), by: (of) => of.sources.size },
];

export function Worst(props: { answers: Answers }): JSX.Element {
  const answer = () => props.answers.map();
  const rows = createMemo(() => {
    const filter = parse(view().q);
    return worst(answer().value?.edges ?? []).filter((of) => selects({ words: filter.words }, { text: of.name }));
  });
  return (
    <Rows
      answer={answer()}
      label="Worst services" rows={rows()} columns={WORST} key={(of) => of.name}
      none={<None what="Nobody was asked for anything in this time" />}
      details={(of) => (
            <Details title={of().name}>
              <Facts
                of={[
                  ["Failed", `${count(of().failed)} of ${count(of().attempts)} attempts (${share(of().failed, of().attempts)})`],
                  ["p95", of().connect.size > 0 ? duration(p95(of().connect)) : undefined],
                  ["Requests failed", of().requests > 0 ? `${count(of().requestsFailed)} of ${count(of().requests)} (${share(of().requestsFailed, of().requests)})` : undefined],
                  ["Requests, p95", of().latency.size > 0 ? duration(p95(of().latency)) : undefined],
                ]}
              />
              <h3>Callers</h3>
              <ul>
                {[...of().sources].sort().map((source) => (
                  <li>
                    <Who name={source} side="from" />
                  </li>
                ))}
              </ul>
            </Details>
          )}
    />
  );
}
