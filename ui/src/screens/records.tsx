// Flows as they come, or those of a time; each with all that is known of it.
import { For, type JSX, Show, createMemo } from "solid-js";
import { type Flow, type FlowEnd, n } from "../api";
import { type Seen, end, like, protocol, request, summary, tail } from "../flows";
import { clock, count, duration } from "../format";
import { KINDS, flowFilters, parse } from "../language";
import { Copy, Details, Facts } from "../parts/details";
import { policyName } from "../parts/evidence";
import { type Column, type Ends, Table } from "../parts/table";
import { dnsCode, kafkaCode } from "../said";
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

const took = (flow: Flow): string => (n(flow.l7?.latency_ns) > 0 ? duration(n(flow.l7?.latency_ns) / 1000) : "");

const WHAT: Column<Seen> = { name: "What", wide: true, cell: ({ flow }) => summary(flow) };
const TOOK: Column<Seen> = { name: "Took", number: true, cell: ({ flow }) => took(flow) };

/** What is known beside when, whether, and between whom, by the kind of records. */
const OWN: Record<string, Column<Seen>[]> = {
  http: [
    { name: "Method", cell: ({ flow }) => flow.l7?.http?.method ?? "" },
    { name: "URL", wide: true, cell: ({ flow }) => <span class="mono">{flow.l7?.http?.url ?? ""}</span> },
    { name: "Status", number: true, cell: ({ flow }) => <Status code={flow.l7?.http?.code ?? 0} /> },
    TOOK,
  ],
  dns: [
    { name: "Name", wide: true, cell: ({ flow }) => <span class="mono">{flow.l7?.dns?.query ?? ""}</span> },
    { name: "Answer", cell: ({ flow }) => (flow.l7?.type === "RESPONSE" ? dnsCode(flow.l7.dns?.rcode ?? 0) : "asked") },
    { name: "Addresses", cell: ({ flow }) => <span class="mono">{(flow.l7?.dns?.ips ?? []).join(", ")}</span> },
    TOOK,
  ],
  kafka: [
    { name: "Does", cell: ({ flow }) => flow.l7?.kafka?.api_key ?? "" },
    { name: "Topic", wide: true, cell: ({ flow }) => <span class="mono">{flow.l7?.kafka?.topic ?? ""}</span> },
    { name: "Answer", cell: ({ flow }) => (flow.l7?.kafka?.error_code ? kafkaCode(flow.l7.kafka.error_code) : "") },
    TOOK,
  ],
  drop: [
    { name: "Reason", wide: true, cell: ({ flow }) => summary(flow) },
    { name: "Denied by", cell: ({ flow }) => [...(flow.egress_denied_by ?? []), ...(flow.ingress_denied_by ?? [])].map(policyName).join(", ") },
  ],
};

function Status(props: { code: number }): JSX.Element {
  return <span class={props.code >= 500 ? "cause bad" : props.code >= 400 ? "cause warn" : ""}>{props.code || ""}</span>;
}

const columns = (kind: string): Column<Seen>[] => [
  { name: "Time", number: true, cell: ({ flow }) => milliseconds(flow.time) },
  { name: "Verdict", cell: ({ flow }) => <Verdict flow={flow} /> },
  { name: "From", cell: ({ flow }) => withPort(end(flow, "source"), protocol(flow).from) },
  { name: "To", cell: ({ flow }) => withPort(end(flow, "destination"), protocol(flow).to) },
  { name: "Protocol", minor: true, cell: ({ flow }) => protocol(flow).name },
  ...(OWN[kind] ?? [WHAT]),
  { name: "Node", minor: true, cell: ({ flow }) => flow.node_name ?? "" },
];

/** The workload at an end of a flow, or how else it is called. */
function party(flow: Flow, side: "source" | "destination"): string {
  const of = flow[side];
  const workload = of?.workloads?.[0]?.name;
  return workload && of?.namespace ? `${of.namespace}/${workload}` : end(flow, side);
}

/** Who began, and who was asked: of an answer the other way round. */
function ends(flow: Flow): Ends {
  const [from, to] = flow.is_reply ? (["destination", "source"] as const) : (["source", "destination"] as const);
  return { from: party(flow, from), to: party(flow, to) };
}

export function Records(): JSX.Element {
  const asked = createMemo(() => {
    const { since, until } = range(view());
    return request(flowFilters(parse(view().q), view().only), since, until);
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
  return (
    <section class="screen">
      <div class="chips" role="group" aria-label="Which records">
        <For each={Object.entries(KINDS)}>
          {([only, of]) => (
            <button type="button" aria-pressed={view().only === only} onClick={() => show({ only, pick: "" })}>
              {of.name}
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
          <Table label="Records" rows={rows()} columns={columns(view().only)} key={(of) => of.id} ends={({ flow }) => ends(flow)} follow={view().at === "" && view().pick === ""} />
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
    <Details title={<Verdict flow={flow} />} ends={ends(flow)}>
      <p class="sentence">{summary(flow)}</p>
      <Facts
        of={[
          ["Time", milliseconds(flow.time)],
          ["Node", flow.node_name],
          ["Protocol", [name, ...flags.map(([flag]) => flag)].join(" ")],
          ["Direction", flow.traffic_direction?.toLowerCase()],
          ["Seen", flow.trace_observation_point?.toLowerCase().replaceAll("_", " ")],
          ["Answer", flow.l7?.http?.code ? String(flow.l7.http.code) : flow.l7?.dns && flow.l7.type === "RESPONSE" ? dnsCode(flow.l7.dns.rcode ?? 0) : flow.l7?.kafka?.error_code ? kafkaCode(flow.l7.kafka.error_code) : undefined],
          ["Took", took(flow)],
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
