// Which names are asked for, and how DNS servers answer.
import { For, type JSX, Show, createMemo } from "solid-js";
import { type Lookup, n } from "../api";
import type { Answers } from "../data";
import { edgeKey, ends, shown, spanOf } from "../edges";
import { clock, count, port, rate, share } from "../format";
import { parse, selects } from "../language";
import { Details, Facts } from "../parts/details";
import { Bad, Chips, Counted, Seen, durations, timed } from "../parts/said";
import { FILTERED, None, Rows } from "../parts/rows";
import type { Column } from "../parts/table";
import { counted, dnsAnswers, dnsFailed, dnsType, missing } from "../said";
import { Who } from "./failing";
import { view } from "../view";

const name = (of: Lookup): string => of.counters?.name || "(others)";
const key = (of: Lookup): string => `${edgeKey(of.edge)} ${name(of)} ${dnsType(of.counters?.type)}`;
const questions = (of: Lookup): number => n(of.counters?.questions);

const answered = (word: string, code: number): Column<Lookup> => ({
  name: word,
  number: true,
  minor: true,
  cell: (of) => <Bad of={counted(of.counters?.codes, (one) => one === code)} />,
  by: (of) => counted(of.counters?.codes, (one) => one === code),
});

const COLUMNS: Column<Lookup>[] = [
  { name: "Name", wide: true, cell: (of) => <span class="mono">{name(of)}</span>, by: name },
  { name: "Type", cell: (of) => dnsType(of.counters?.type), by: (of) => dnsType(of.counters?.type) },
  { name: "From", cell: (of) => shown(of.edge?.source), by: (of) => shown(of.edge?.source) },
  { name: "Server", minor: true, cell: (of) => shown(of.edge?.destination), by: (of) => shown(of.edge?.destination) },
  { name: "Asked", number: true, cell: (of) => count(questions(of)), by: questions },
  { name: "NXDOMAIN", number: true, minor: true, title: "There is no such name; those of a search list that went on are not counted", cell: (of) => <Bad of={missing(of.counters)} tone="warn" />, by: (of) => missing(of.counters) },
  answered("SERVFAIL", 2),
  answered("REFUSED", 5),
  { name: "Time-outs", number: true, minor: true, cell: (of) => <Bad of={n(of.counters?.timeouts)} />, by: (of) => n(of.counters?.timeouts) },
  {
    name: "Failed",
    number: true,
    cell: (of) => <span class={dnsFailed(of.counters) > missing(of.counters) ? "cause bad" : dnsFailed(of.counters) > 0 ? "cause warn" : "quiet"}>{share(dnsFailed(of.counters), questions(of))}</span>,
    by: (of) => dnsFailed(of.counters) / Math.max(1, questions(of)),
  },
  ...timed<Lookup>((of) => of.counters?.latency, ["p95"]),
];

export function Dns(props: { answers: Answers }): JSX.Element {
  const answer = () => props.answers.dns();
  const rows = createMemo(() => {
    const filter = parse(view().q);
    return (answer().value?.lookups ?? []).filter((of) => selects(filter, { text: key(of), port: port(of.edge?.port, of.edge?.protocol) }));
  });
  return (
    <Rows
      answer={answer()}
      label="Questions to DNS servers" rows={rows()} columns={COLUMNS} key={key}
      ends={(of) => ends(of.edge)}
      head={<Chips bad="Came to nothing" />}
      none={<None what={view().bad ? "Every name that was asked for was found" : "No question to a DNS server was seen"} more={FILTERED} />}
      foot={<Seen of={answer().value?.completeness} count={rows().reduce((sum, of) => sum + questions(of), 0)} what="question" />}
      details={(of) => <One of={of()} seconds={spanOf(answer().value)} />}
    />
  );
}

function One(props: { of: Lookup; seconds: number }): JSX.Element {
  const counters = () => props.of.counters;
  const all = () => questions(props.of);
  return (
    <Details title={<span class="mono">{`${name(props.of)} ${dnsType(counters()?.type)}`}</span>} ends={ends(props.of.edge)}>
      <Facts
        of={[
          ["From", <Who name={shown(props.of.edge?.source)} side="from" />],
          ["Server", <Who name={props.of.edge?.service || shown(props.of.edge?.destination)} side="to" />],
          ["Asked", `${count(all())} (${rate(all() / props.seconds)}/s)`],
          ["Failed", `${count(dnsFailed(counters()))} (${share(dnsFailed(counters()), all())})`],
          ["Search list", n(counters()?.searched) > 0 ? `${count(n(counters()?.searched))} went on with another domain, and are no failures` : undefined],
          ["Asked again", n(counters()?.repeats) > 0 ? count(n(counters()?.repeats)) : undefined],
          ...durations(counters()?.latency),
          ["First", clock(n(counters()?.first_ns) / 1e6 || undefined)],
          ["Last", clock(n(counters()?.last_ns) / 1e6 || undefined)],
        ]}
      />
      <Counted title="Answers" of={dnsAnswers(counters())} all={all()} />
      <Show when={(counters()?.addresses ?? []).length > 0}>
        <h3>Addresses in the answers</h3>
        <ul class="mono">
          <For each={counters()?.addresses ?? []}>{(address) => <li>{address}</li>}</For>
        </ul>
      </Show>
    </Details>
  );
}
