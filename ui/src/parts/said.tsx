// What the screens of requests, questions and topics have in common.
import { For, type JSX, Show } from "solid-js";
import type { Completeness, Sketch } from "../api";
import { n } from "../api";
import { count, duration, plural, share } from "../format";
import { type Named, quantiles } from "../said";
import { show, view } from "../view";
import type { Column } from "./table";

/** All of it, or what fails alone. */
export function Chips(props: { bad: string; children?: JSX.Element }): JSX.Element {
  const one = (bad: string, name: string): JSX.Element => (
    <button type="button" aria-pressed={view().bad === bad} title={bad ? "b" : undefined} onClick={() => show({ bad, pick: "" })}>
      {name}
    </button>
  );
  return (
    <div class="chips" role="group" aria-label="Which">
      {one("", "All")}
      {one("1", props.bad)}
      {props.children}
    </div>
  );
}

/** A count that is one too many where it is not zero. */
export const Bad = (props: { of: number; tone?: string }): JSX.Element => <span class={props.of > 0 ? `cause ${props.tone ?? "bad"}` : "quiet"}>{count(props.of)}</span>;

/** The columns of a distribution of durations. */
export function timed<T>(of: (row: T) => Sketch | undefined, names: ("p50" | "p95" | "p99")[], title?: string): Column<T>[] {
  return names.map((name) => ({
    name,
    number: true,
    minor: name === "p50" || (name === "p99" && names.includes("p50")),
    ...(title ? { title } : {}),
    cell: (row) => {
      const all = quantiles(of(row));
      return all ? duration(all[name]) : "";
    },
    by: (row) => quantiles(of(row))?.[name] ?? -1,
  }));
}

/** Facts of a distribution. */
export function durations(sketch: Sketch | undefined): [string, JSX.Element | undefined][] {
  const all = quantiles(sketch);
  return [["p50 / p95 / p99", all ? `${duration(all.p50)} / ${duration(all.p95)} / ${duration(all.p99)}` : undefined]];
}

/** Names with their counts as bars. */
export function Counted(props: { title: string; of: Named; all: number }): JSX.Element {
  return (
    <Show when={props.of.length > 0}>
      <h3>{props.title}</h3>
      <table class="plain bars">
        <tbody>
          <For each={props.of}>
            {([name, of]) => (
              <tr>
                <th scope="row" class="number">
                  {name}
                </th>
                <td class="wide">
                  <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
                    <rect width={(of / Math.max(1, props.all)) * 100} height="10" />
                  </svg>
                </td>
                <td class="number">{count(of)}</td>
                <td class="number quiet">{share(of, props.all)}</td>
              </tr>
            )}
          </For>
        </tbody>
      </table>
    </Show>
  );
}

/** At the foot: how much is in the rows, and what could not be seen. */
export function Seen(props: { of: Completeness | undefined; count: number; what: string; more?: string }): JSX.Element {
  const [said, unknown] = [() => n(props.of?.said), () => n(props.of?.unknown)];
  return (
    <p class="seen quiet">
      {`${plural(props.count, props.what)}. `}
      <Show when={unknown() > 0}>{`Of all that was said (${count(said())} requests, questions and handshakes), of ${count(unknown())} (${share(unknown(), said())}) neither name nor end was seen. `}</Show>
      {props.more}
    </p>
  );
}
