// What is reached from outside of the cluster, and by whom.
import { For, type JSX, createMemo } from "solid-js";
import { type Exposure, n } from "../api";
import type { Answers } from "../data";
import { shown } from "../edges";
import { clock, count, port } from "../format";
import { parse, selects } from "../language";
import { Details, Facts } from "../parts/details";
import { None, Rows } from "../parts/rows";
import type { Column } from "../parts/table";
import { view } from "../view";

const key = (of: Exposure): string => `${shown(of.destination)} ${of.service ?? ""} ${of.port ?? 0} ${of.protocol ?? 0}`;

const COLUMNS: Column<Exposure>[] = [
  { name: "Workload", cell: (of) => shown(of.destination), by: (of) => shown(of.destination) },
  { name: "Service", cell: (of) => of.service ?? "", by: (of) => of.service ?? "" },
  { name: "Port", number: true, cell: (of) => port(of.port, of.protocol), by: (of) => of.port ?? 0 },
  { name: "Connections", number: true, cell: (of) => count(n(of.connections)), by: (of) => n(of.connections) },
  {
    name: "Denied",
    number: true,
    cell: (of) => <span class={n(of.denied) > 0 ? "cause denied" : "quiet"}>{count(n(of.denied))}</span>,
    by: (of) => n(of.denied),
  },
  {
    name: "From",
    wide: true,
    cell: (of) => (of.outsiders ?? []).map((outsider) => `${outsider.address ?? ""} (${count(n(outsider.connections))})`).join(", "),
  },
  { name: "Last", number: true, minor: true, cell: (of) => clock(of.last), by: (of) => of.last ?? "" },
];

export function Exposed(props: { answers: Answers }): JSX.Element {
  const answer = () => props.answers.exposed();
  const rows = createMemo(() => {
    const filter = parse(view().q);
    const text = (of: Exposure): string => `${key(of)} ${(of.outsiders ?? []).map((outsider) => outsider.address).join(" ")}`;
    return (answer().value?.exposures ?? []).filter((of) => selects(filter, { text: text(of), port: port(of.port, of.protocol) }));
  });
  return (
    <Rows
      answer={answer()}
      label="What is reached from outside" rows={rows()} columns={COLUMNS} key={key}
      ends={(of) => ({ from: "world", to: shown(of.destination) })}
      none={<None what="Nothing was reached from outside" more="Nobody from outside of the cluster connected to a workload in this time." />}
      details={(of) => (
            <Details title={of().service || shown(of().destination)} ends={{ from: "world", to: shown(of().destination) }}>
              <Facts
                of={[
                  ["Workload", shown(of().destination)],
                  ["Port", port(of().port, of().protocol)],
                  ["Connections", count(n(of().connections))],
                  ["Denied", count(n(of().denied))],
                  ["First", clock(of().first)],
                  ["Last", clock(of().last)],
                ]}
              />
              <h3>Addresses with the most connections</h3>
              <ul class="mono">
                <For each={of().outsiders ?? []}>{(outsider) => <li>{`${outsider.address ?? ""}  ${count(n(outsider.connections))}`}</li>}</For>
              </ul>
            </Details>
          )}
    />
  );
}
