// Who produces to which topic of Kafka, and who fetches from it.
import { For, type JSX, Show, createMemo } from "solid-js";
import type { Answers } from "../data";
import { shown, spanOf } from "../edges";
import { bytes, count, duration, rate } from "../format";
import { parse, selects } from "../language";
import { Details, Facts } from "../parts/details";
import { Bad, Chips, Counted, Seen, durations, timed } from "../parts/said";
import { FILTERED, None, Rows } from "../parts/rows";
import type { Column } from "../parts/table";
import { type Use, quantiles, uses } from "../said";
import { Who } from "./failing";
import { view } from "../view";

const key = (of: Use): string => `${of.topic} ${of.does} ${shown(of.who)} ${shown(of.broker)} ${of.port}`;
const groups = (of: Use): string => of.groups.join(", ");
const errors = (of: Use): number => of.errors.reduce((sum, [, all]) => sum + all, 0);

/** A shape for each way, so that a topic's producers and consumers are told apart at a glance. */
const WAYS: Record<Use["does"], string> = { produces: "→", fetches: "←", other: "·" };

const columns = (seconds: number): Column<Use>[] => [
  { name: "Topic", wide: true, cell: (of) => <span class="mono">{of.topic}</span>, by: (of) => of.topic },
  {
    name: "Does",
    cell: (of) => (
      <>
        <span aria-hidden="true">{WAYS[of.does]}</span> {of.does}
      </>
    ),
    by: (of) => of.does,
  },
  { name: "Who", cell: (of) => shown(of.who), by: (of) => shown(of.who) },
  { name: "Groups", cell: groups, by: groups },
  { name: "Broker", minor: true, cell: (of) => shown(of.broker), by: (of) => shown(of.broker) },
  { name: "Req/s", number: true, cell: (of) => rate(of.requests / seconds), by: (of) => of.requests },
  { name: "Bytes/s", number: true, cell: (of) => (of.does === "other" ? "" : bytes(of.octets / seconds)), by: (of) => of.octets },
  { name: "Errors", number: true, cell: (of) => <Bad of={errors(of)} />, by: errors },
  { name: "Mostly", minor: true, cell: (of) => of.errors[0]?.[0] ?? "", by: (of) => of.errors[0]?.[0] ?? "" },
  ...timed<Use>((of) => of.latency, ["p50", "p95"], "A fetch waits for records: it takes as long as the client lets it"),
];

export function Kafka(props: { answers: Answers }): JSX.Element {
  const answer = () => props.answers.kafka();
  const rows = createMemo(() => {
    const filter = parse(view().q);
    return uses(answer().value?.topics ?? []).filter((of) => selects(filter, { text: `${key(of)} ${groups(of)}`, port: `${of.port}/TCP` }));
  });
  const all = createMemo(() => columns(spanOf(answer().value)));
  return (
    <Rows
      answer={answer()}
      label="Topics of Kafka" rows={rows()} columns={all()} key={key}
      ends={(of) => ({ from: shown(of.who), to: shown(of.broker) })}
      head={<Chips bad="With errors" />}
      none={<None what={view().bad ? "Every request to a broker came to something" : "No request to a Kafka broker was seen"} more={FILTERED} />}
      foot={<Seen of={answer().value?.completeness} count={rows().reduce((sum, of) => sum + of.requests, 0)} what="request" />}
      details={(of) => <One of={of()} all={uses(answer().value?.topics ?? [])} seconds={spanOf(answer().value)} />}
    />
  );
}

function One(props: { of: Use; all: Use[]; seconds: number }): JSX.Element {
  const others = () => props.all.filter((of) => of.topic === props.of.topic && key(of) !== key(props.of));
  const p95 = (of: Use): string => {
    const all = quantiles(of.latency);
    return all ? `, p95 ${duration(all.p95)}` : "";
  };
  return (
    <Details title={<span class="mono">{props.of.topic}</span>} ends={{ from: shown(props.of.who), to: shown(props.of.broker) }}>
      <Facts
        of={[
          [props.of.does === "produces" ? "Producer" : props.of.does === "fetches" ? "Consumer" : "Who", <Who name={shown(props.of.who)} side="from" />],
          ["Groups", groups(props.of)],
          ["Broker", <Who name={shown(props.of.broker)} side="to" />],
          ["Requests", `${count(props.of.requests)} (${rate(props.of.requests / props.seconds)}/s)`],
          ["Records", props.of.does === "other" ? undefined : `${bytes(props.of.octets)} (${bytes(props.of.octets / props.seconds)}/s)`],
          ...durations(props.of.latency),
        ]}
      />
      <Counted title="Errors" of={props.of.errors} all={props.of.requests} />
      <Show when={others().length > 0}>
        <h3>Others of this topic</h3>
        <ul>
          <For each={others()}>
            {(of) => (
              <li>
                {`${shown(of.who)} ${of.does} `}
                <span class="quiet">{`${rate(of.requests / props.seconds)}/s${p95(of)}`}</span>
              </li>
            )}
          </For>
        </ul>
      </Show>
    </Details>
  );
}
