// What is other than before: new and gone edges, those that fail more or less, and those that are slower or faster.
import { type JSX, Show, createMemo } from "solid-js";
import type { Answers } from "../data";
import { type Difference, type Measured, type What, differences, earlier } from "../diff";
import { edgeKey, ends, shown } from "../edges";
import { clock, count, duration, port, share } from "../format";
import { parse, selects } from "../language";
import { Details, Facts } from "../parts/details";
import { None, Rows } from "../parts/rows";
import type { Column } from "../parts/table";
import { Who } from "./failing";
import { show, to, view } from "../view";

const WORDS: Record<What, { shape: string; tone: string }> = {
  "fails more": { shape: "▲", tone: "bad" },
  slower: { shape: "◐", tone: "warn" },
  gone: { shape: "−", tone: "warn" },
  new: { shape: "+", tone: "denied" },
  "fails less": { shape: "▽", tone: "ok" },
  faster: { shape: "○", tone: "ok" },
};

function Word(props: { of: What }): JSX.Element {
  return (
    <span class={`cause ${WORDS[props.of].tone}`}>
      <span aria-hidden="true">{WORDS[props.of].shape}</span> {props.of}
    </span>
  );
}

const key = (of: Difference): string => `${of.what} ${edgeKey(of.edge)}`;
const p95 = (of: Measured): string => (of.p95 === undefined ? "" : duration(of.p95));

const measures = (name: string, of: (row: Difference) => Measured): Column<Difference>[] => [
  { name: `Attempts ${name}`, number: true, cell: (row) => count(of(row).attempts), by: (row) => of(row).attempts },
  { name: `Failed ${name}`, number: true, cell: (row) => share(of(row).failed, of(row).attempts), by: (row) => of(row).failed / Math.max(1, of(row).attempts) },
  { name: `p95 ${name}`, number: true, title: "Of the time to the first answer", cell: (row) => p95(of(row)), by: (row) => of(row).p95 ?? 0 },
];

const COLUMNS: Column<Difference>[] = [
  { name: "What", cell: (of) => <Word of={of.what} />, by: (of) => of.what },
  { name: "From", cell: (of) => shown(of.edge?.source), by: (of) => shown(of.edge?.source) },
  { name: "To", wide: true, cell: (of) => shown(of.edge?.destination), by: (of) => shown(of.edge?.destination) },
  { name: "Port", number: true, cell: (of) => port(of.edge?.port, of.edge?.protocol), by: (of) => of.edge?.port ?? 0 },
  ...measures("before", (of) => of.before),
  ...measures("after", (of) => of.after),
];

export function Diff(props: { answers: Answers; now: number }): JSX.Element {
  const answer = () => props.answers.map();
  const before = () => props.answers.before();
  const rows = createMemo(() => {
    const [old, young] = [before().value, answer().value];
    if (!old || !young) return [];
    const filter = parse(view().q);
    return differences(old, young).filter((of) => selects(filter, { text: `${of.what} ${edgeKey(of.edge)}`, port: port(of.edge?.port, of.edge?.protocol) }));
  });
  const asked = () => {
    const error = answer().error ?? before().error;
    const value = before().value === undefined ? undefined : answer().value;
    return { ...(value ? { value } : {}), slow: !!(answer().slow || before().slow), ...(error ? { error } : {}) };
  };
  const then = () => earlier(view(), props.now);
  return (
    <Rows
      answer={asked()}
      label="What is other than before"
      rows={rows()}
      columns={COLUMNS}
      key={key}
      ends={(of) => ends(of.edge)}
      head={
        <div class="chips">
          <span>
            <span class="quiet">Before: </span>
            {`${clock(then().since)} to ${clock(then().until)}`}
            <span class="quiet">{view().mark ? " (marked). After: " : " (the span before). After: "}</span>
            {view().at ? `up to ${clock(view().at)}` : "now"}
          </span>
          <button type="button" class="push" title="M" onClick={() => show({ mark: view().at || new Date().toISOString() })}>
            Mark this time
          </button>
          <Show when={view().mark}>
            <button type="button" onClick={() => show({ mark: "" })}>
              Forget the mark
            </button>
          </Show>
        </div>
      }
      none={<None what="Nothing is other than before" more="Edges that are new or gone, whose share of failures differs by more than 1 %, or whose p95 differs by half or more." />}
      details={(of) => (
        <Details title={<Word of={of().what} />} ends={ends(of().edge)}>
          <Facts
            of={[
              ["From", <Who name={shown(of().edge?.source)} side="from" />],
              ["To", <Who name={shown(of().edge?.destination)} side="to" />],
              ["Service", of().edge?.service],
              ["Port", port(of().edge?.port, of().edge?.protocol)],
              ["Attempts", `${count(of().before.attempts)} before, ${count(of().after.attempts)} after`],
              ["Failed", `${count(of().before.failed)} (${share(of().before.failed, of().before.attempts)}) before, ${count(of().after.failed)} (${share(of().after.failed, of().after.attempts)}) after`],
              ["p95", of().before.p95 !== undefined || of().after.p95 !== undefined ? `${p95(of().before) || "–"} before, ${p95(of().after) || "–"} after` : undefined],
            ]}
          />
          <p>
            <a href={to("map", { q: `from:${shown(of().edge?.source)} to:${shown(of().edge?.destination)}` })}>On the map</a>
          </p>
        </Details>
      )}
    />
  );
}
