// Flows as they come, or those of a time; each with all that is known of it.
import { For, type JSX, Show, createMemo } from "solid-js";
import type { Flow, FlowEnd } from "../api";
import { type Seen, end, like, protocol, request, summary, tail } from "../flows";
import { clock, count } from "../format";
import { flowFilters, parse, set } from "../language";
import { Copy, Details, Facts } from "../parts/details";
import { policyName } from "../parts/evidence";
import { type Column, Table } from "../parts/table";
import { pause, range, show, view } from "../view";

const VERDICTS: Record<string, { shape: string; tone: string }> = {
  FORWARDED: { shape: "●", tone: "ok" },
  DROPPED: { shape: "■", tone: "denied" },
  ERROR: { shape: "✕", tone: "bad" },
  AUDIT: { shape: "□", tone: "warn" },
};

function Verdict(props: { flow: Flow }): JSX.Element {
  const name = () => props.flow.verdict ?? "VERDICT_UNKNOWN";
  const of = () => VERDICTS[name()] ?? { shape: "○", tone: "ok" };
  return (
    <span class={`cause ${of().tone}`}>
      <span aria-hidden="true">{of().shape}</span> {name().toLowerCase()}
    </span>
  );
}

const withPort = (name: string, port: number | undefined): JSX.Element => (
  <>
    {name}
    <Show when={port}>
      <span class="quiet">{`:${port ?? ""}`}</span>
    </Show>
  </>
);

const milliseconds = (time: string | undefined): string => (time ? `${clock(time)}.${String(new Date(time).getMilliseconds()).padStart(3, "0")}` : "");

const COLUMNS: Column<Seen>[] = [
  { name: "Time", number: true, cell: ({ flow }) => milliseconds(flow.time) },
  { name: "Verdict", cell: ({ flow }) => <Verdict flow={flow} /> },
  { name: "From", cell: ({ flow }) => withPort(end(flow, "source"), protocol(flow).from) },
  { name: "To", cell: ({ flow }) => withPort(end(flow, "destination"), protocol(flow).to) },
  { name: "Protocol", minor: true, cell: ({ flow }) => protocol(flow).name },
  { name: "What", wide: true, cell: ({ flow }) => summary(flow) },
  { name: "Node", minor: true, cell: ({ flow }) => flow.node_name ?? "" },
];

const HIDDEN = ["FORWARDED", "DROPPED"];

export function Records(): JSX.Element {
  const asked = createMemo(() => {
    const { since, until } = range(view());
    return request(flowFilters(parse(view().q)), since, until);
  });
  const flows = tail(asked);
  const rows = createMemo(() => {
    const { words } = parse(view().q);
    if (words.length === 0) return flows.rows();
    return flows.rows().filter(({ flow }) => {
      const text = `${end(flow, "source")} ${end(flow, "destination")} ${summary(flow)} ${flow.node_name ?? ""}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
  });
  const picked = createMemo(() => rows().find((of) => of.id === view().pick));
  const verdict = () => parse(view().q).verdict?.toUpperCase() ?? "";
  return (
    <section class="screen">
      <div class="chips" role="group" aria-label="Which flows">
        <button type="button" aria-pressed={verdict() === ""} onClick={() => show({ q: set(view().q, "verdict", undefined), pick: "" })}>
          All verdicts
        </button>
        <For each={HIDDEN}>
          {(of) => (
            <button type="button" aria-pressed={verdict() === of} onClick={() => show({ q: set(view().q, "verdict", of.toLowerCase()), pick: "" })}>
              {of.toLowerCase()}
            </button>
          )}
        </For>
        <span class="quiet push number" role="status">
          {`${count(rows().length)} flows`}
          <Show when={flows.lost() > 0}>{`, ${count(flows.lost())} lost`}</Show>
        </span>
        <button type="button" onClick={pause}>
          {view().at ? "Follow" : "Pause"}
        </button>
      </div>
      <Show when={flows.error() ?? flows.said()}>
        <p class="whole" role="status">
          <span aria-hidden="true">◐ </span>
          {flows.error() ?? flows.said()}
        </p>
      </Show>
      <div class="split">
        <Show
          when={rows().length > 0}
          fallback={
            <div class="state">
              <Show when={!flows.error()}>
                <p class="quiet">{flows.ended() ? "No flow of this time is kept any more: rings of flows hold minutes, counts hold weeks." : "Waiting for flows …"}</p>
              </Show>
            </div>
          }
        >
          <Table label="Flows" rows={rows()} columns={COLUMNS} key={(of) => of.id} follow={view().at === "" && view().pick === ""} />
        </Show>
        <Show when={picked()} keyed>
          {(of) => <One flow={of.flow} />}
        </Show>
      </div>
    </section>
  );
}

function One(props: { flow: Flow }): JSX.Element {
  const flow = props.flow;
  const { name, from, to } = protocol(flow);
  const policies = [
    ["Egress allowed by", flow.egress_allowed_by],
    ["Ingress allowed by", flow.ingress_allowed_by],
    ["Egress denied by", flow.egress_denied_by],
    ["Ingress denied by", flow.ingress_denied_by],
  ] as const;
  const flags = Object.entries(Object.values(flow.l4 ?? {})[0]?.flags ?? {}).filter(([, isSet]) => isSet);
  return (
    <Details title={<Verdict flow={flow} />}>
      <p class="sentence">{summary(flow)}</p>
      <Facts
        of={[
          ["Time", milliseconds(flow.time)],
          ["Node", flow.node_name],
          ["Protocol", [name, ...flags.map(([flag]) => flag)].join(" ")],
          ["Direction", flow.traffic_direction?.toLowerCase()],
          ["Seen", flow.trace_observation_point?.toLowerCase().replaceAll("_", " ")],
          ["Reply", flow.is_reply === undefined ? undefined : flow.is_reply ? "yes" : "no"],
          ["Service", flow.destination_service ? `${flow.destination_service.namespace ?? ""}/${flow.destination_service.name ?? ""}` : undefined],
          ["Reason", flow.drop_reason_desc?.toLowerCase().replaceAll("_", " ")],
          ...policies.filter(([, of]) => of && of.length > 0).map(([title, of]): [string, string] => [title, (of ?? []).map(policyName).join(", ")]),
        ]}
      />
      <div class="both">
        <Side title="From" of={flow.source} address={flow.IP?.source} port={from} name={end(flow, "source")} />
        <Side title="To" of={flow.destination} address={flow.IP?.destination} port={to} name={end(flow, "destination")} />
      </div>
      <h3>The same on a terminal</h3>
      <code class="command">{like(flow)}</code>
      <Copy text={like(flow)} label="Copy" />
    </Details>
  );
}

function Side(props: { title: string; of: FlowEnd | undefined; address: string | undefined; port: number | undefined; name: string }): JSX.Element {
  return (
    <section>
      <h3>{props.title}</h3>
      <Facts
        of={[
          ["Name", props.name],
          ["Address", <span class="mono">{`${props.address ?? ""}${props.port ? `:${props.port}` : ""}`}</span>],
          ["Workload", (props.of?.workloads ?? []).map((of) => `${of.kind ?? ""} ${of.name ?? ""}`).join(", ")],
          ["Identity", props.of?.identity ? String(props.of.identity) : undefined],
          ["Cluster", props.of?.cluster_name],
        ]}
      />
      <ul class="labels mono">
        <For each={props.of?.labels ?? []}>{(label) => <li>{label}</li>}</For>
      </ul>
    </section>
  );
}
