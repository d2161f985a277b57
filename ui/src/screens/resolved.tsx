// Who resolved a name, to which addresses, and whether he connected to them.
import { For, type JSX, Show, createMemo } from "solid-js";
import { type Resolution, n } from "../api";
import type { Answers } from "../data";
import { shown } from "../edges";
import { age, clock, count, share } from "../format";
import { parse, selects } from "../language";
import { Details, Facts } from "../parts/details";
import { Bad, Seen } from "../parts/said";
import { None, Rows } from "../parts/rows";
import type { Column } from "../parts/table";
import { Who } from "./failing";
import { to, view } from "../view";

const key = (of: Resolution): string => `${of.name ?? ""} ${shown(of.source)}`;
const addresses = (of: Resolution): string => (of.addresses ?? []).join(", ");

const COLUMNS: Column<Resolution>[] = [
  { name: "Name", wide: true, cell: (of) => <span class="mono">{of.name ?? ""}</span>, by: (of) => of.name ?? "" },
  { name: "Who", cell: (of) => shown(of.source), by: (of) => shown(of.source) },
  { name: "Asked", number: true, cell: (of) => count(n(of.questions)), by: (of) => n(of.questions) },
  { name: "Failed", number: true, cell: (of) => <Bad of={n(of.failures)} />, by: (of) => n(of.failures) },
  { name: "Addresses", cell: (of) => <span class="mono">{addresses(of)}</span>, by: addresses },
  { name: "Connections", number: true, title: "To the name, where what is outside is called by it", cell: (of) => (n(of.connections) > 0 ? count(n(of.connections)) : <span class="quiet">0</span>), by: (of) => n(of.connections) },
  { name: "First", number: true, minor: true, cell: (of) => clock(of.first), by: (of) => of.first ?? "" },
  { name: "Last", number: true, minor: true, cell: (of) => clock(of.last), by: (of) => of.last ?? "" },
];

export function Resolved(props: { answers: Answers }): JSX.Element {
  const answer = () => props.answers.resolved();
  const rows = createMemo(() => {
    const filter = parse(view().q);
    return (answer().value?.resolutions ?? []).filter((of) => selects({ words: filter.words }, { text: `${key(of)} ${addresses(of)}` }));
  });
  return (
    <Rows
      answer={answer()}
      label="Who resolved which name" rows={rows()} columns={COLUMNS} key={key}
      ends={(of) => ({ from: shown(of.source), to: of.name ?? "" })}
      none={<None what={parse(view().q).name ? "Nobody resolved such a name" : "Nobody resolved a name"} more={<>In this time. <code>name:*.example.com</code> in the filter looks for names like that.</>} />}
      foot={<Seen of={answer().value?.completeness} count={rows().reduce((sum, of) => sum + n(of.questions), 0)} what="question" more="name: in the filter looks for names; * stands for any letters." />}
      details={(of) => (
            <Details title={<span class="mono">{of().name}</span>} ends={{ from: shown(of().source), to: of().name ?? "" }}>
              <Facts
                of={[
                  ["Who", <Who name={shown(of().source)} side="from" />],
                  ["Asked", count(n(of().questions))],
                  ["Failed", `${count(n(of().failures))} (${share(n(of().failures), n(of().questions))})`],
                  ["Connections", n(of().connections) > 0 ? <a href={to("map", { q: `from:${shown(of().source)} to:${of().name ?? ""}` })}>{count(n(of().connections))}</a> : "none to it by this name"],
                  ["First", `${clock(of().first)}, ${age(of().first)}`],
                  ["Last", `${clock(of().last)}, ${age(of().last)}`],
                ]}
              />
              <h3>Addresses in the answers</h3>
              <Show when={(of().addresses ?? []).length > 0} fallback={<p class="quiet">None.</p>}>
                <ul class="mono">
                  <For each={of().addresses ?? []}>{(address) => <li>{address}</li>}</For>
                </ul>
              </Show>
            </Details>
          )}
    />
  );
}
