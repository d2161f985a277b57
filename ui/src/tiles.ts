// The questions of the first screen, each answered in a sentence, out of answers of the relay.
import { type ExposedAnswer, type FailingAnswer, type Failure, type History, type HttpAnswer, type KafkaAnswer, type MapAnswer, type ResolvedAnswer, type Sums, n } from "./api";
import { FAULTS, type Tone, isDenied, isReset, kind, merged, quantile, shown, spanOf, total } from "./edges";
import { duration, plural, port, rate, share } from "./format";
import * as said from "./said-tiles";
import type { Screen, View } from "./view";
import { failsInRequests, worse, worst } from "./worst";

export type Tile = {
  /** By which it is known to people, and the key that opens it. */
  key: string;
  question: string;
  number: string;
  unit: string;
  sentence: string;
  tone: Tone;
  screen: Screen;
  change?: Partial<View>;
  /** What its line shows of each span. */
  line: (sums: Sums) => number | undefined;
  lineName: string;
};

/** What is known so far; a question without its answer has no tile yet. */
export type Known = { map?: MapAnswer | undefined; failing?: FailingAnswer | undefined; exposed?: ExposedAnswer | undefined; http?: HttpAnswer | undefined; kafka?: KafkaAnswer | undefined; resolved?: ResolvedAnswer | undefined };

const sum = (failures: Failure[]): number => failures.reduce((of, failure) => of + n(failure.count), 0);

function ends(failure: Failure): string {
  const { source, destination } = failure.edge ?? {};
  return `${shown(source)} → ${shown(destination)} ${port(failure.edge?.port, failure.edge?.protocol)}`;
}

/** Who is concerned, as far as the sentence does not say it. */
function before(failure: Failure): string {
  if (kind(failure.cause).startsWith("TLS_ALERT")) return "";
  const isSaid = failure.layer === "L7" && !["NO_ANSWER", "TLS_UNFINISHED"].includes(kind(failure.cause));
  return `${isSaid ? shown(failure.edge?.source) : ends(failure)}: `;
}

/** The failure that counts most, in words. */
export function most(failures: Failure[]): string {
  const first = [...failures].sort((a, b) => n(b.count) - n(a.count))[0];
  return first ? `${before(first)}${first.sentence ?? ""}` : "";
}

function whoTalks(map: MapAnswer): Tile {
  const rows = map.edges ?? [];
  const parties = new Set(rows.flatMap((row) => [shown(row.edge?.source), shown(row.edge?.destination)]));
  const opened = rows.reduce((of, row) => of + n(row.counters?.opened), 0);
  const busiest = rows[0]?.edge;
  return {
    key: "1",
    question: "Who talks to whom",
    number: rate(opened / spanOf(map)),
    unit: "connections/s",
    sentence: busiest
      ? `${plural(parties.size, "party", "parties")} over ${plural(rows.length, "edge")}; the busiest is ${shown(busiest.source)} → ${shown(busiest.destination)}.`
      : "Nobody, in this time.",
    tone: "ok",
    screen: "map",
    line: (of) => of.opened,
    lineName: "connections",
  };
}

function whatFails(failures: Failure[]): Tile {
  const faults = new Set(failures.map((of) => FAULTS[of.fault ?? "FAULT_UNKNOWN"] ?? "?"));
  const known = [...faults].filter((of) => of !== "?");
  return {
    key: "2",
    question: "What fails, and why",
    number: plural(failures.length, "failure").split(" ")[0] ?? "0",
    unit: failures.length === 1 ? "cause on an edge" : "causes, edge by edge",
    sentence: failures.length > 0 ? `${most(failures)}${known.length > 0 ? `. Fault: ${known.join(", ")}.` : "."}` : "Nothing fails.",
    tone: failures.length === 0 ? "ok" : failures.every(isDenied) ? "denied" : "bad",
    screen: "failing",
    line: (of) => of.failed + of.said_failed,
    lineName: "failed connections, requests and questions",
  };
}

function refused(failures: Failure[]): Tile {
  const of = failures.filter((failure) => ["REFUSED", "CUT_BY_SERVER"].includes(kind(failure.cause)) || isReset(failure));
  const bad = of.filter((failure) => !isReset(failure));
  return {
    key: "3",
    question: "Refused or reset",
    number: sum(of).toLocaleString("en-US"),
    unit: "connections",
    sentence: of.length > 0 ? `${most(bad.length > 0 ? bad : of)}.` : "Every connection that was answered was accepted.",
    tone: bad.length > 0 ? "bad" : of.length > 0 ? "warn" : "ok",
    screen: "failing",
    change: { only: "tcp" },
    line: (sums) => sums.refused,
    lineName: "refused connections",
  };
}

function unanswered(failures: Failure[]): Tile {
  const of = failures.filter((failure) => kind(failure.cause) === "UNANSWERED");
  return {
    key: "4",
    question: "Unanswered",
    number: sum(of).toLocaleString("en-US"),
    unit: "connections",
    sentence: of.length > 0 ? `${most(of)}.` : "Whoever was asked has answered.",
    tone: of.length > 0 ? "bad" : "ok",
    screen: "failing",
    change: { only: "unanswered" },
    line: (sums) => sums.unanswered,
    lineName: "unanswered connections",
  };
}

function denied(failures: Failure[]): Tile {
  const of = failures.filter(isDenied);
  return {
    key: "5",
    question: "Denied by policy",
    number: sum(of).toLocaleString("en-US"),
    unit: "attempts",
    sentence: of.length > 0 ? `${most(of)}.` : "No policy denied anything.",
    tone: of.length > 0 ? "denied" : "ok",
    screen: "denied",
    line: (sums) => sums.denied,
    lineName: "denied attempts",
  };
}

function exposed(answer: ExposedAnswer): Tile {
  const all = answer.exposures ?? [];
  const first = all[0];
  const addresses = new Set(all.flatMap((of) => (of.outsiders ?? []).map((outsider) => outsider.address)));
  return {
    key: "6",
    question: "Reached from outside",
    number: String(new Set(all.map((of) => of.service || shown(of.destination))).size),
    unit: "services",
    sentence: first
      ? `Mostly ${first.service || shown(first.destination)} on ${port(first.port, first.protocol)}; ${plural(addresses.size, "address", "addresses")} named among those who came.`
      : "Nobody came from outside.",
    tone: "ok",
    screen: "exposed",
    line: (sums) => sums.outside,
    lineName: "connections from outside",
  };
}

function latency(map: MapAnswer): Tile {
  const rows = map.edges ?? [];
  const all = merged(rows.map((row) => row.connect));
  const slowest = rows
    .filter((row) => row.connect)
    .map((row) => ({ row, p95: quantile(merged([row.connect]), 0.95) ?? 0 }))
    .sort((a, b) => b.p95 - a.p95)[0];
  const p95 = quantile(all, 0.95);
  const [number = "–", unit = ""] = p95 === undefined ? [] : duration(p95).split(" ");
  return {
    key: "7",
    question: "Time to the first answer",
    number,
    unit: p95 === undefined ? "" : `${unit} p95 of ${plural(total(all), "answer")}`,
    sentence: slowest
      ? `Slowest: ${shown(slowest.row.edge?.source)} → ${shown(slowest.row.edge?.destination)}, p95 ${duration(slowest.p95)}.`
      : "Nothing was answered.",
    tone: "ok",
    screen: "latency",
    line: (sums) => sums.p95_us,
    lineName: "p95 of the time to the first answer, microseconds",
  };
}

function worstOf(map: MapAnswer): Tile {
  const [first] = worst(map.edges ?? []).filter((of) => worse(of) > 0);
  const inRequests = first !== undefined && failsInRequests(first);
  const [bad, all] = first ? (inRequests ? [first.requestsFailed, first.requests] : [first.failed, first.attempts]) : [0, 0];
  return {
    key: "8",
    question: "The worst service",
    number: share(bad, all),
    unit: inRequests ? "of requests fail" : "of attempts fail",
    sentence: first
      ? `${first.name}: ${bad.toLocaleString("en-US")} of ${plural(all, inRequests ? "request" : "attempt")} by ${plural(first.sources.size, "caller")}.`
      : "Every service answers everybody.",
    tone: first ? (bad * 100 > all * 5 ? "bad" : "warn") : "ok",
    screen: "worst",
    line: (sums) => (sums.opened + sums.denied > 0 ? (sums.failed / (sums.opened + sums.denied)) * 100 : undefined),
    lineName: "share of attempts that failed, per cent",
  };
}

const SEVERITY: Record<Tone, number> = { bad: 0, denied: 1, warn: 2, ok: 3 };

/** The tiles whose answers are there, the worst first. */
export function tiles({ map, failing, exposed: outside, http, kafka, resolved }: Known): Tile[] {
  const failures = failing?.failures ?? [];
  const all = [
    ...(map ? [whoTalks(map)] : []),
    ...(failing ? [whatFails(failures.filter((of) => !isReset(of))), refused(failures), unanswered(failures), denied(failures)] : []),
    ...(outside ? [exposed(outside)] : []),
    ...(map ? [latency(map), worstOf(map)] : []),
    ...(map && http ? [said.requests(map, http)] : []),
    ...(map && failing ? [said.errors(map, failures)] : []),
    ...(map ? [said.slow(map)] : []),
    ...(map && failing ? [said.names(map, failures)] : []),
    ...(kafka ? [said.topics(kafka)] : []),
    ...(map && resolved ? [said.resolved(map, resolved)] : []),
  ];
  // Those that are equally bad stay in the order of their keys.
  return all.sort((a, b) => SEVERITY[a.tone] - SEVERITY[b.tone]);
}

/** The points of a tile's line. */
export const points = (tile: Tile, history: History | undefined): (number | undefined)[] => (history?.spans ?? []).map(tile.line);

/** Runs of neighbours that are known, as points from left to right and from the bottom (0) to the largest value. */
export function runs(values: (number | undefined)[]): [number, number][][] {
  const most = Math.max(...values.map((value) => value ?? 0), 0);
  const all: [number, number][][] = [[]];
  values.forEach((value, index) => {
    if (value === undefined) all.push([]);
    else all.at(-1)?.push([values.length < 2 ? 0 : index / (values.length - 1), most === 0 ? 0 : value / most]);
  });
  return all.filter((run) => run.length > 0);
}
