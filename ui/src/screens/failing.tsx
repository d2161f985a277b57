// What fails, with its cause, whose fault it is, and evidence; also what is denied, refused or unanswered alone.
import { type JSX, createMemo } from "solid-js";
import { type Failure, n } from "../api";
import type { Answers } from "../data";
import { CAUSES, FAULTS, edgeKey, ends, isDenied, isReset, kind, shown } from "../edges";
import { age, clock, count, port, share } from "../format";
import { parse, selects, set } from "../language";
import { Details, Facts } from "../parts/details";
import { Evidence, Policies } from "../parts/evidence";
import { None, Rows } from "../parts/rows";
import type { Column } from "../parts/table";
import { coded } from "../said";
import { show, view } from "../view";

const key = (of: Failure): string => `${edgeKey(of.edge)} ${kind(of.cause)} ${of.cause?.direction ?? ""} ${of.cause?.drop_reason ?? ""} ${of.cause?.delivered ?? ""} ${of.cause?.name ?? ""} ${of.cause?.code ?? ""}`;

const word = (of: Failure): string => coded(of.cause) ?? CAUSES[kind(of.cause)].word;

export function Cause(props: { failure: Failure }): JSX.Element {
  const cause = () => CAUSES[kind(props.failure.cause)];
  return (
    <span class={`cause ${cause().tone}`}>
      <span aria-hidden="true">{cause().shape}</span> {word(props.failure)}
    </span>
  );
}

const COLUMNS: Column<Failure>[] = [
  { name: "Cause", cell: (of) => <Cause failure={of} />, by: word },
  { name: "Count", number: true, cell: (of) => count(n(of.count)), by: (of) => n(of.count) },
  { name: "Share", number: true, minor: true, cell: (of) => share(n(of.count), n(of.attempts)), by: (of) => n(of.count) / Math.max(1, n(of.attempts)), title: "Of all attempts on this edge or, of what is said, of all that is alike" },
  { name: "From", cell: (of) => shown(of.edge?.source), by: (of) => shown(of.edge?.source) },
  { name: "To", cell: (of) => shown(of.edge?.destination), by: (of) => shown(of.edge?.destination) },
  { name: "Port", number: true, cell: (of) => port(of.edge?.port, of.edge?.protocol), by: (of) => of.edge?.port ?? 0 },
  { name: "Fault", minor: true, cell: (of) => FAULTS[of.fault ?? "FAULT_UNKNOWN"] ?? "?", by: (of) => of.fault ?? "", title: "Where the fault lies" },
  { name: "What happens", wide: true, cell: (of) => of.sentence ?? "" },
  { name: "Last", number: true, minor: true, cell: (of) => clock(of.last), by: (of) => of.last ?? "" },
];

/** Which failures are asked for. */
export function chosen(failures: Failure[], only: string): Failure[] {
  if (only === "unanswered") return failures.filter((of) => kind(of.cause) === "UNANSWERED");
  if (only === "tcp") return failures.filter((of) => of.edge?.protocol === 6 && !isDenied(of) && of.layer === "L4");
  if (only === "said") return failures.filter((of) => of.layer === "L7");
  return failures.filter((of) => !isReset(of));
}

const NOTHING: Record<string, string> = {
  tcp: "Every connection was accepted and ended well in this time.",
  unanswered: "Whoever was asked has answered in this time.",
  said: "Every request, question and handshake that was seen came to something.",
};

export function Failing(props: { answers: Answers }): JSX.Element {
  const answer = () => props.answers.failing();
  const rows = createMemo(() => matching(chosen(answer().value?.failures ?? [], view().only)));
  const one = (only: string, name: string): JSX.Element => (
    <button type="button" aria-pressed={view().only === only} onClick={() => show({ only, pick: "" })}>
      {name}
    </button>
  );
  return (
    <Rows
      answer={answer()}
      label="Failures"
      rows={rows()}
      columns={COLUMNS}
      key={key}
      ends={(of) => ends(of.edge)}
      head={
        <div class="chips" role="group" aria-label="Which failures">
          {one("", "All")}
          {one("tcp", "TCP: refused, reset, unanswered")}
          {one("unanswered", "Unanswered alone")}
          {one("said", "Said: requests, names, topics, TLS")}
        </div>
      }
      none={<None what={view().q ? "Nothing that the filter lets through" : "Nothing fails"} more={NOTHING[view().only] ?? "Every attempt of this time came to something."} />}
      details={(of) => <Failed of={of()} />}
    />
  );
}

/** Failures that the filter lets through. */
export function matching(failures: Failure[]): Failure[] {
  const filter = parse(view().q);
  return failures.filter((of) =>
    selects(filter, {
      text: `${shown(of.edge?.source)} ${shown(of.edge?.destination)} ${of.edge?.service ?? ""} ${of.sentence ?? ""}`,
      port: port(of.edge?.port, of.edge?.protocol),
      cause: `${word(of)} ${CAUSES[kind(of.cause)].word}`,
    }),
  );
}

function Failed(props: { of: Failure }): JSX.Element {
  // What is open stays while answers come: it may have the focus.
  const edge = () => props.of.edge ?? {};
  return (
    <Details title={<Cause failure={props.of} />} ends={ends(props.of.edge)}>
      <p class="sentence">{props.of.sentence}</p>
      <Facts
        of={[
          ["From", <Who name={shown(edge().source)} side="from" />],
          ["To", <Who name={shown(edge().destination)} side="to" />],
          ["Service", edge().service],
          ["Port", port(edge().port, edge().protocol)],
          ["About", props.of.cause?.name ? <span class="mono">{props.of.cause.name}</span> : undefined],
          ["Failed", `${count(n(props.of.count))} of ${count(n(props.of.attempts))} ${props.of.layer === "L7" ? "alike" : "attempts"} (${share(n(props.of.count), n(props.of.attempts))})`],
          ["Packets", props.of.packets ? count(n(props.of.packets)) : undefined],
          ["Fault", `${FAULTS[props.of.fault ?? "FAULT_UNKNOWN"] ?? "?"} (${props.of.layer ?? ""})`],
          ["First", `${clock(props.of.first)}, ${age(props.of.first)}`],
          ["Last", `${clock(props.of.last)}, ${age(props.of.last)}`],
        ]}
      />
      <Policies of={props.of.cause?.policies ?? []} title={kind(props.of.cause) === "DENIED_BY_RULE" ? "Denied by" : "Selected by, and allowed by none of"} />
      <Evidence samples={props.of.samples ?? []} />
    </Details>
  );
}

/** A name that narrows the filter. */
export function Who(props: { name: string; side: "from" | "to" }): JSX.Element {
  return (
    <button type="button" class="link" title={`Filter ${props.side}:${props.name}`} onClick={() => show({ q: set(view().q, props.side, props.name) })}>
      {props.name}
    </button>
  );
}
