// What the command line tells of the relay that serves the pages, as the tile of the same question has it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";

const sum = (all, of) => (all ?? []).reduce((whole, one) => whole + Number(of(one) ?? 0), 0);

/** Runs the command that a tile names, at this server; what it prints. */
function run(command, server, ...more) {
  const program = process.env.AXONEME_COMMAND;
  assert(program, "AXONEME_COMMAND names no program: run './x ui'");
  const words = command.split(" ").map((word) => word.replaceAll("'", ""));
  assert.deepEqual([words[0], words.at(-1)], ["axoneme", "-P"]);
  return execFileSync(program, [...words.slice(1, -1), "--server", server, "--limit", "0", ...more], { encoding: "utf8", maxBuffer: 1 << 28 });
}

const json = (...words) => JSON.parse(run(...words, "--output", "json"));

/** The cells of a table without its header, up to the first that has a comma. */
const table = (...words) =>
  run(...words, "--output", "csv")
    .trim()
    .split("\r\n")
    .slice(1)
    .map((line) => line.split(","));

const counts = (rows) => rows.reduce((whole, [count]) => whole + Number(count), 0).toLocaleString("en-US");

/** Three digits. */
function rate({ since, until }, count) {
  const of = count / ((Date.parse(until) - Date.parse(since)) / 1000);
  if (of === 0) return "0";
  if (of < 0.01) return "<0.01";
  return of < 10 ? of.toFixed(2) : of < 100 ? of.toFixed(1) : Math.round(of).toLocaleString("en-US");
}

/** The 95th of a hundred durations in its unit, with three digits. */
function p95(sketches) {
  const all = new Map();
  for (const { bucket = [], count = [] } of sketches) bucket.forEach((place, index) => all.set(place, (all.get(place) ?? 0) + Number(count[index])));
  let left = Math.ceil(0.95 * sum([...all.values()], (of) => of));
  if (left === 0) return "–";
  const [place] = [...all].sort(([a], [b]) => a - b).find(([, count]) => (left -= count) <= 0);
  const micros = (2 * (1.01 / 0.99) ** place) / (1.01 / 0.99 + 1);
  if (micros < 1e3) return micros.toFixed(0);
  const [value, digits] = micros < 1e6 ? [micros / 1e3, micros < 1e4 ? 2 : micros < 1e5 ? 1 : 0] : [micros / 1e6, 2];
  return value.toFixed(digits);
}

/** A share as a table has it, and as a page has it. */
const spaced = (share) => share.replace("%", " %");

function share(part, whole) {
  if (whole === 0) return "–";
  return part === 0 ? "0 %" : `${((part / whole) * 100).toFixed(1)} %`;
}

const isWrong = (of) => sum(of.status, ({ code, count }) => (code >= 400 ? count : 0)) + sum(of.grpc, ({ code, count }) => (code ? count : 0)) + Number(of.unanswered ?? 0);

const isUnresolved = (of) => sum(of.codes, ({ code, count }) => (code ? count : 0)) - Number(of.searched ?? 0) + Number(of.timeouts ?? 0) + Number(of.unanswered ?? 0);

/** The tile's command without the flag for what fails: all that was asked. */
const whole = (command) => command.replace(/ --(errors|failing)/, "");

const TOLD = {
  1: (...at) => ((answer) => rate(answer, sum(answer.edges, (of) => of.counters?.opened)))(json(...at)),
  2: (...at) => table(...at).length.toLocaleString("en-US"),
  3: (...at) => sum((json(...at).failures ?? []).filter((of) => /^(REFUSED|CUT|RESET)/.test(of.cause.kind)), (of) => of.count).toLocaleString("en-US"),
  4: (...at) => counts(table(...at)),
  5: (...at) => counts(table(...at)),
  6: (...at) => String(new Set(table(...at).map(([destination, service]) => service || destination)).size),
  7: (...at) => p95((json(...at).edges ?? []).map((of) => of.connect ?? {})),
  8: (...at) => {
    const [, , , connections, , , , requests] = table(...at)[0] ?? [];
    return spaced(parseFloat(requests || "0") > parseFloat(connections || "0") ? requests : connections || "0%");
  },
  9: (...at) => ((answer) => (answer.requests ? rate(answer, sum(answer.requests, (of) => of.counters.requests)) : "–"))(json(...at)),
  0: (command, server) =>
    share(
      sum(json(command, server).requests, (of) => isWrong(of.counters)),
      sum(json(whole(command), server).requests, (of) => of.counters.requests),
    ),
  q: (...at) => p95((json(...at).edges ?? []).flatMap((of) => (of.http ?? []).map(({ latency }) => latency ?? {}))),
  n: (command, server) =>
    share(
      sum(json(command, server).lookups, (of) => isUnresolved(of.counters)),
      sum(json(whole(command), server).lookups, (of) => of.counters.questions),
    ),
  t: (...at) => ((topics) => (topics.length > 0 ? String(new Set(topics.map((row) => row[0]).filter((name) => name !== "(none)")).size) : "–"))(table(...at)),
  r: (...at) => ((answer) => (answer.resolutions ? rate(answer, sum(answer.resolutions, (of) => of.questions)) : "–"))(json(...at)),
};

/** The number on the tile, out of what its command prints. */
export function told(key, command, server) {
  assert(TOLD[key], `no number of tile ${key}`);
  return TOLD[key](command, server);
}
