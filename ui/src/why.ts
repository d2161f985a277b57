// Why two may talk or may not, out of answers: the steps of a connection in their order, each with what is known of it.
import { type CauseKind, type Completeness, type DnsAnswer, type FailingAnswer, type Failure, type Lookup, type MapAnswer, type Row, n } from "./api";
import { FAULTS, attempts, isDenied, isReset, kind, merged, quantile, shown, total } from "./edges";
import { count, duration, plural, share } from "./format";
import { dnsFailed, missing, summary } from "./said";

export type State = "ok" | "warn" | "bad" | "unknown";

/** One step on the way. */
export type Step = {
  name: "DNS" | "Policy" | "Connection" | "TLS" | "Requests";
  state: State;
  /** What is known of it, in a few words. */
  says: string;
  facts: [string, string][];
  failures: Failure[];
};

export type Known = { map: MapAnswer | undefined; failing: FailingAnswer | undefined; dns: DnsAnswer | undefined };

/** The two of a view, as `A..B`; the second is empty while it is not chosen yet. */
export function pair(text: string): { from: string; to: string } | undefined {
  const at = text.indexOf("..");
  return at > 0 ? { from: text.slice(0, at), to: text.slice(at + 2) } : undefined;
}

/** Of a hundred: as many may fail before a step is called bad. */
const FEW = 1;

const judged = (failed: number, all: number): State => (all === 0 ? "unknown" : failed === 0 ? "ok" : failed * 100 > all * FEW ? "bad" : "warn");

const sum = <T>(all: T[], of: (one: T) => number): number => all.reduce((whole, one) => whole + of(one), 0);

/** Names without the dot at their end, in small letters. */
const plain = (name: string): string => name.toLowerCase().replace(/\.$/, "");

/** Whether a question is for somebody: for his name, or for a service of that name and namespace. */
export function isNameOf(asked: string, who: string): boolean {
  const [namespace, name] = who.includes("/") ? who.split("/") : ["", who];
  const text = plain(asked);
  if (!namespace || !name) return text === plain(who);
  const full = `${name}.${namespace}`;
  return text === name || text === full || text.startsWith(`${full}.`) || text.includes(`.${full}.`);
}

const isTo = (of: Failure | Row, to: string): boolean => {
  const name = shown(of.edge?.destination);
  return name === to || of.edge?.service === to || (to.endsWith("/") && name.startsWith(to));
};

const isSaidOf = (failure: Failure): boolean => kind(failure.cause).startsWith("DNS");

const p95 = (buckets: Map<number, number>): string => (total(buckets) > 0 ? duration(quantile(buckets, 0.95) ?? 0) : "");

/** The steps from one to the other. */
export function chain(to: string, { map, failing, dns }: Known): Step[] {
  const rows = (map?.edges ?? []).filter((row) => isTo(row, to));
  const failures = failing?.failures ?? [];
  // He may be asked for by other names than his own.
  const names = new Set([to, ...rows.flatMap((row) => (row.edge?.service ? [row.edge.service] : []))]);
  const isFor = (asked: string): boolean => [...names].some((name) => isNameOf(asked, name));
  const lookups = (dns?.lookups ?? []).filter((of) => isFor(of.counters?.name ?? ""));
  const own = failures.filter((of) => isTo(of, to));
  const tls = own.filter((of) => kind(of.cause).startsWith("TLS"));
  const said = own.filter((of) => of.layer === "L7" && !tls.includes(of));
  return [
    resolving(
      lookups,
      failures.filter((of) => isSaidOf(of) && isFor(of.cause?.name ?? "")),
    ),
    allowed(rows, own.filter(isDenied)),
    connecting(
      rows,
      own.filter(isDenied),
      own.filter((of) => of.layer !== "L7" && !isDenied(of)),
    ),
    encrypting(rows, tls),
    asking(rows, said),
  ];
}

function resolving(lookups: Lookup[], failures: Failure[]): Step {
  const all = lookups.map((of) => of.counters);
  const questions = sum(all, (of) => n(of?.questions));
  const failed = sum(all, dnsFailed);
  const absent = sum(all, missing);
  const took = p95(merged(all.map((of) => of?.latency)));
  const state = judged(failed, questions);
  return {
    name: "DNS",
    state: state === "bad" && failed === absent ? "warn" : state,
    says: questions === 0 ? "No question for the name was seen" : failed > 0 ? `${count(failed)} of ${plural(questions, "question")} came to nothing` : `${plural(questions, "question")}, all answered`,
    facts: facts([
      ["p95", took],
      ["No such name", absent > 0 ? count(absent) : ""],
      ["Names", [...new Set(all.map((of) => plain(of?.name ?? "")))].slice(0, 3).join(", ")],
      ["Addresses", [...new Set(all.flatMap((of) => of?.addresses ?? []))].slice(0, 4).join(", ")],
    ]),
    failures,
  };
}

/** Attempts that were denied: the policies of who was asked deny what, for who began, was begun and not answered. */
const deniedOf = (rows: Row[], failures: Failure[]): number =>
  Math.max(
    sum(rows, (row) => n(row.counters?.denied)),
    sum(failures, (of) => n(of.count)),
  );

function allowed(rows: Row[], failures: Failure[]): Step {
  const denied = deniedOf(rows, failures);
  const all = Math.max(
    denied,
    sum(rows, (row) => attempts(row.counters)),
  );
  return {
    name: "Policy",
    state: judged(denied, all),
    says: all === 0 ? "No attempt was seen" : denied > 0 ? `${count(denied)} of ${plural(all, "attempt")} denied` : `${plural(all, "connection")} allowed`,
    facts: facts([["Allowed", denied > 0 ? count(all - denied) : ""]]),
    failures,
  };
}

function connecting(rows: Row[], denied: Failure[], failures: Failure[]): Step {
  const of = (name: "opened" | "denied" | "cut" | "dropped" | "syn_retransmits" | "retransmits_sent" | "retransmits_received" | "reset_by_client" | "reset_by_server"): number => sum(rows, (row) => n(row.counters?.[name]));
  const told = (of: CauseKind): number =>
    sum(
      failures.filter((failure) => kind(failure.cause) === of),
      (failure) => n(failure.count),
    );
  // Without those that the policies of who was asked denied.
  const begun = Math.max(0, of("opened") - (deniedOf(rows, denied) - of("denied")));
  const words: [number, string][] = [
    [told("REFUSED"), "refused"],
    [told("UNANSWERED"), "unanswered"],
    [told("CUT_BY_SERVER"), "cut"],
    [told("STALLED_AT_SERVER") + told("STALLED_AT_CLIENT"), "stalled"],
    [told("FULL_AT_SERVER") + told("FULL_AT_CLIENT"), "not read"],
    [told("UNCLOSED_AT_SERVER"), "not closed"],
  ];
  const failed = sum(words, ([times]) => times);
  const took = merged(rows.map((row) => row.connect));
  const again = of("retransmits_sent") + of("retransmits_received");
  const resets = of("reset_by_client") + Math.max(0, of("reset_by_server") - of("cut"));
  return {
    name: "Connection",
    state: judged(failed, Math.max(begun, failed)),
    says:
      begun === 0 && failed === 0
        ? "None was begun"
        : failed > 0
          ? `${words
              .filter(([times]) => times > 0)
              .map(([times, word]) => `${count(times)} ${word}`)
              .join(", ")} of ${count(Math.max(begun, failed))}`
          : `${plural(begun, "connection")}, all accepted`,
    facts: facts([
      ["First answer, p95", p95(took)],
      ["Ended by a reset", resets > 0 ? count(resets) : ""],
      ["Sent again (SYN)", of("syn_retransmits") > 0 ? count(of("syn_retransmits")) : ""],
      ["Segments sent again", again > 0 ? count(again) : ""],
      ["Packets dropped", of("dropped") > 0 ? count(of("dropped")) : ""],
    ]),
    // Resets after both sides spoke are how many programs end.
    failures: failures.filter((one) => !isReset(one)),
  };
}

function encrypting(rows: Row[], failures: Failure[]): Step {
  const all = rows.flatMap((row) => row.tls ?? []);
  const handshakes = sum(all, (of) => n(of.handshakes));
  const failed = sum(all, (of) => n(of.unfinished) + sum([...(of.client_alerts ?? []), ...(of.server_alerts ?? [])], (alert) => n(alert.count)));
  return {
    name: "TLS",
    state: judged(failed, handshakes),
    says: handshakes === 0 ? "No handshake was seen" : failed > 0 ? `${count(failed)} of ${plural(handshakes, "handshake")} failed` : `${plural(handshakes, "handshake")}, all well`,
    facts: facts([["Server names", [...new Set(all.flatMap((of) => (of.server_name ? [of.server_name] : [])))].slice(0, 3).join(", ")]]),
    failures,
  };
}

function asking(rows: Row[], failures: Failure[]): Step {
  const all = rows.map(summary);
  const [requests, failed] = [sum(all, (of) => of.requests), sum(all, (of) => of.failed)];
  const latency = new Map<number, number>();
  for (const { latency: of } of all) for (const [bucket, times] of of) latency.set(bucket, (latency.get(bucket) ?? 0) + times);
  const shares = all.find((of) => of.shares)?.shares;
  const protocols = [...new Set(all.flatMap((of) => of.protocols))].filter((name) => name !== "TLS");
  const what = protocols.length > 0 ? ` over ${protocols.join(", ")}` : "";
  return {
    name: "Requests",
    state: judged(failed, requests),
    says: requests === 0 ? "None was seen" : failed > 0 ? `${count(failed)} of ${count(requests)}${what} failed (${share(failed, requests)})` : `${count(requests)}${what}, all answered`,
    facts: facts([
      ["p95", p95(latency)],
      ["Median at the server", shares ? duration(shares.server) : ""],
      ["and on the way", shares ? duration(shares.network) : ""],
    ]),
    failures,
  };
}

const facts = (all: [string, string][]): [string, string][] => all.filter(([, value]) => value !== "");

/** What comes of it, in a sentence. */
export function verdict(steps: Step[], completeness: Completeness | undefined): { state: State; sentence: string } {
  const bad = steps.find((of) => of.state === "bad") ?? steps.find((of) => of.state === "warn");
  if (!bad) {
    if (steps.every((of) => of.state === "unknown")) return { state: "unknown", sentence: "Nothing was seen between the two in this time." };
    const unsure = (completeness?.missing ?? []).length > 0 ? " Not all nodes answered." : "";
    return { state: "ok", sentence: `All that was seen of it is well.${unsure}` };
  }
  const first = [...bad.failures].sort((a, b) => n(b.count) - n(a.count))[0];
  const where = bad.state === "bad" ? `It fails at ${PLACES[bad.name]}` : `A little fails at ${PLACES[bad.name]}`;
  const fault = first?.fault && FAULTS[first.fault] !== "?" ? ` Fault: ${FAULTS[first.fault] ?? ""}.` : "";
  return { state: bad.state, sentence: `${where}: ${first?.sentence ?? bad.says.toLowerCase()}.${fault}` };
}

const PLACES: Record<Step["name"], string> = { DNS: "the name", Policy: "policy", Connection: "the connection", TLS: "the handshake", Requests: "what is asked" };
