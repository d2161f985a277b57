// The questions of the first screen that are about what is said: requests, names, topics.
import { type Failure, type HttpAnswer, type KafkaAnswer, type MapAnswer, type ResolvedAnswer, type Row, n } from "./api";
import { kind, merged, quantile, shown, spanOf, total } from "./edges";
import { duration, plural, rate, share } from "./format";
import { asked, call, counted, dnsFailed, httpErrors, httpFailed, kafkaErrors, missing, ofClass, topicName } from "./said";
import { type Tile, most } from "./tiles";

/** Above it, per cent, even errors that are the clients' own are worth a look. */
const MANY = 5;

const sum = <T>(all: T[], of: (one: T) => number): number => all.reduce((whole, one) => whole + of(one), 0);
const http = (rows: Row[]) => rows.flatMap((row) => row.http ?? []);
const dns = (rows: Row[]) => rows.flatMap((row) => row.dns ?? []);

/** The failures of these kinds. */
const those = (failures: Failure[], ...kinds: string[]): Failure[] => failures.filter((of) => kinds.includes(kind(of.cause)));

/** Which requests are made over HTTP. */
export function requests(map: MapAnswer, answer: HttpAnswer): Tile {
  const all = sum(http(map.edges ?? []), (of) => n(of.requests));
  const first = answer.requests?.[0];
  const encrypted = n(answer.encrypted);
  const rest = encrypted > 0 ? ` ${plural(encrypted, "connection")} more ${encrypted === 1 ? "is" : "are"} encrypted.` : "";
  return {
    key: "9",
    question: "Requests over HTTP",
    number: all > 0 ? rate(all / spanOf(map)) : "–",
    unit: all > 0 ? "requests/s" : "",
    sentence: first ? `Mostly ${call(first.counters)} of ${asked(first)}.${rest}` : `No request was seen in this time.${rest}`,
    tone: "ok",
    screen: "http",
    line: (of) => of.requests,
    lineName: "requests over HTTP",
  };
}

/** How many requests are not answered well, and whose fault it is. */
export function errors(map: MapAnswer, failures: Failure[]): Tile {
  const of = http(map.edges ?? []);
  const all = sum(of, (one) => n(one.requests));
  const [bad, fault] = [sum(of, httpErrors), sum(of, httpFailed)];
  const classes = [4, 5].map((digit) => `${sum(of, (one) => ofClass(one, digit)).toLocaleString("en-US")} with ${digit}xx`).join(", ");
  const worst = those(failures, "HTTP_ERROR", "GRPC_ERROR", "NO_ANSWER", "OVERDUE");
  const sentences = `${classes}, ${sum(of, (one) => n(one.unanswered)).toLocaleString("en-US")} without an answer.`;
  return {
    key: "0",
    question: "Errors over HTTP",
    number: all > 0 ? share(bad, all) : "–",
    unit: all > 0 ? `of ${plural(all, "request")}` : "",
    sentence: all === 0 ? "No request was seen in this time." : bad === 0 ? "Every request was answered well." : `${fault > 0 && worst.length > 0 ? `${most(worst)}. ` : ""}${sentences}`,
    tone: fault > 0 ? "bad" : all > 0 && bad * 100 > all * MANY ? "warn" : "ok",
    screen: "http",
    change: { bad: "1" },
    line: (sums) => (sums.requests > 0 ? (sums.request_errors / sums.requests) * 100 : undefined),
    lineName: "share of requests that were not answered well, per cent",
  };
}

/** How long requests take. */
export function slow(map: MapAnswer): Tile {
  const rows = (map.edges ?? []).map((row) => ({ row, took: merged((row.http ?? []).map((of) => of.latency)) })).filter((of) => of.took.size > 0);
  const all = merged(rows.flatMap(({ row }) => (row.http ?? []).map((of) => of.latency)));
  const [p95, p99] = [quantile(all, 0.95), quantile(all, 0.99)];
  const slowest = rows.map((of) => ({ ...of, p95: quantile(of.took, 0.95) ?? 0 })).sort((a, b) => b.p95 - a.p95)[0];
  const [number = "–", unit = ""] = p95 === undefined ? [] : duration(p95).split(" ");
  return {
    key: "q",
    question: "How long requests take",
    number,
    unit: p95 === undefined || p99 === undefined ? "" : `${unit} p95, ${duration(p99)} p99`,
    sentence: slowest ? `Of ${plural(total(all), "answer")}. Slowest: ${shown(slowest.row.edge?.source)} → ${shown(slowest.row.edge?.destination)}, p95 ${duration(slowest.p95)}.` : "No request was answered in this time.",
    tone: "ok",
    screen: "http",
    change: { sort: "p95" },
    line: (sums) => sums.request_p95_us,
    lineName: "p95 of the time to the answers of requests, microseconds",
  };
}

/** Which names are not found, and why. */
export function names(map: MapAnswer, failures: Failure[]): Tile {
  const of = dns(map.edges ?? []);
  const all = sum(of, (one) => n(one.questions));
  const bad = sum(of, dnsFailed);
  const absent = sum(of, missing);
  const silent = sum(of, (one) => n(one.timeouts));
  const refused = sum(of, (one) => counted(one.codes, (code) => code !== 0 && code !== 3));
  const worst = those(failures, "DNS_TIMEOUT", "DNS_ERROR");
  const parts = ([[absent, "without such a name"], [refused, "refused or failed"], [silent, "timed out"]] as [number, string][]).filter(([count]) => count > 0);
  const counts = parts.map(([count, words]) => `${count.toLocaleString("en-US")} ${words}`).join(", ");
  const named = worst.length > 0 ? worst : those(failures, "DNS_NO_SUCH_NAME");
  return {
    key: "n",
    question: "Names that fail",
    number: all > 0 ? share(bad, all) : "–",
    unit: all > 0 ? `of ${plural(all, "question")}` : "",
    sentence: all === 0 ? "No question to a DNS server was seen in this time." : bad === 0 ? "Every name that was asked for was found." : `${named.length > 0 ? `${most(named)}. ` : ""}${counts}.`,
    tone: bad > absent ? "bad" : bad > 0 ? "warn" : "ok",
    screen: "dns",
    change: { bad: "1" },
    line: (sums) => (sums.questions > 0 ? (sums.questions_failed / sums.questions) * 100 : undefined),
    lineName: "share of questions that came to nothing, per cent",
  };
}

/** Who produces and fetches which topics. */
export function topics(answer: KafkaAnswer): Tile {
  const all = answer.topics ?? [];
  const known = new Set(all.filter((of) => of.counters?.topic || of.counters?.id).map((of) => topicName(of.counters)));
  const makers = new Set(all.filter((of) => n(of.counters?.produces) > 0).map((of) => shown(of.edge?.source)));
  const takers = new Set(all.filter((of) => n(of.counters?.fetches) > 0).map((of) => shown(of.edge?.source)));
  const worst = all
    .map((of) => ({ of, errors: kafkaErrors(of.counters) }))
    .filter(({ errors: of }) => of.length > 0)
    .sort((a, b) => sum(b.errors, ([, count]) => count) - sum(a.errors, ([, count]) => count))[0];
  const wrong = worst ? ` ${shown(worst.of.edge?.source)} gets ${worst.errors[0]?.[0] ?? "errors"} for ${topicName(worst.of.counters)}.` : "";
  return {
    key: "t",
    question: "Topics of Kafka",
    number: all.length > 0 ? String(known.size) : "–",
    unit: all.length > 0 ? (known.size === 1 ? "topic" : "topics") : "",
    sentence: all.length > 0 ? `${plural(makers.size, "producer")}, ${plural(takers.size, "consumer")}.${wrong}` : "No request to a Kafka broker was seen in this time.",
    tone: worst ? "bad" : "ok",
    screen: "kafka",
    line: (sums) => sums.kafka,
    lineName: "requests to Kafka brokers",
  };
}

/** Who resolved which names. */
export function resolved(map: MapAnswer, answer: ResolvedAnswer): Tile {
  const all = sum(dns(map.edges ?? []), (of) => n(of.questions));
  const first = answer.resolutions?.[0];
  const outside = (answer.resolutions ?? []).find((of) => n(of.connections) > 0);
  const connected = outside ? ` ${shown(outside.source)} resolved ${outside.name ?? ""} and connected to it ${plural(n(outside.connections), "time")}.` : "";
  return {
    key: "r",
    question: "Who resolved which name",
    number: all > 0 ? rate(all / spanOf(map)) : "–",
    unit: all > 0 ? "questions/s" : "",
    sentence: first ? `Mostly ${shown(first.source)}, ${first.name ?? ""}.${connected}` : "Nobody resolved a name in this time.",
    tone: "ok",
    screen: "resolved",
    line: (sums) => sums.questions,
    lineName: "questions to DNS servers",
  };
}
