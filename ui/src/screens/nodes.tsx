// The nodes that answers are made of.
import type { JSX } from "solid-js";
import { type Node, n } from "../api";
import type { Answers } from "../data";
import { count, lasting } from "../format";
import { parse, selects } from "../language";
import { Details, Facts } from "../parts/details";
import { None, Rows } from "../parts/rows";
import type { Column } from "../parts/table";
import { view } from "../view";

const STATES: Record<string, { word: string; tone: string; shape: string }> = {
  NODE_CONNECTED: { word: "connected", tone: "ok", shape: "●" },
  NODE_UNAVAILABLE: { word: "unavailable", tone: "bad", shape: "✕" },
  NODE_ERROR: { word: "does not answer", tone: "bad", shape: "▲" },
  NODE_GONE: { word: "gone", tone: "warn", shape: "◇" },
};

const state = (of: Node) => STATES[of.state ?? ""] ?? { word: "unknown", tone: "warn", shape: "?" };

const COLUMNS: Column<Node>[] = [
  { name: "Node", wide: true, cell: (of) => of.name ?? "", by: (of) => of.name ?? "" },
  {
    name: "State",
    cell: (of) => (
      <span class={`cause ${state(of).tone}`}>
        <span aria-hidden="true">{state(of).shape}</span> {state(of).word}
      </span>
    ),
    by: (of) => state(of).word,
  },
  { name: "Address", cell: (of) => <span class="mono">{of.address ?? ""}</span> },
  { name: "Version", cell: (of) => of.version ?? "", by: (of) => of.version ?? "" },
  { name: "Up for", number: true, cell: (of) => (of.uptime_ns ? lasting(n(of.uptime_ns) / 1e9) : ""), by: (of) => n(of.uptime_ns) },
  { name: "Flows seen", number: true, cell: (of) => count(n(of.seen_flows)), by: (of) => n(of.seen_flows) },
  { name: "In its ring", number: true, cell: (of) => `${count(n(of.num_flows))} of ${count(n(of.max_flows))}`, by: (of) => n(of.num_flows) },
];

export function Nodes(props: { answers: Answers }): JSX.Element {
  const rows = () => {
    const filter = parse(view().q);
    return (props.answers.nodes().value?.nodes ?? []).filter((of) => selects({ words: filter.words }, { text: `${of.name ?? ""} ${state(of).word}` }));
  };
  return (
    <Rows
      answer={props.answers.nodes()}
      label="Nodes"
      rows={rows()}
      columns={COLUMNS}
      key={(of) => of.name ?? ""}
      none={<None what="The relay knows of no node yet" />}
      details={(of) => (
        <Details title={of().name}>
          <Facts
            of={[
              ["State", state(of()).word],
              ["Address", of().address],
              ["Version", of().version],
              ["Up for", of().uptime_ns ? lasting(n(of().uptime_ns) / 1e9) : undefined],
              ["Flows", `${count(n(of().num_flows))} of ${count(n(of().max_flows))} in its ring, ${count(n(of().seen_flows))} seen`],
            ]}
          />
        </Details>
      )}
    />
  );
}
