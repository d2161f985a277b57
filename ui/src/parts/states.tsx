// What stands where an answer should be: while it is not there yet, when there is none, and how whole it is.
import { type JSX, Match, Show, Switch } from "solid-js";
import { type Completeness, n } from "../api";
import { clock, count, plural } from "../format";
import type { Asked } from "../poll";
import { range, view } from "../view";

/** The answer, or why it is not there. Waiting is not mentioned before it is felt. */
export function Answered<T>(props: { asked: Asked<T>; empty: boolean; none: JSX.Element; children: JSX.Element }): JSX.Element {
  return (
    <Switch>
      <Match when={props.asked.value === undefined && props.asked.error}>
        <div class="state" role="alert">
          <p class="big">No answer</p>
          <p>{props.asked.error}</p>
          <p class="quiet">It is asked again every few seconds, unless the time stands still.</p>
        </div>
      </Match>
      <Match when={props.asked.value === undefined && props.asked.slow}>
        <div class="state" role="status">
          <p class="quiet">Asking all nodes …</p>
        </div>
      </Match>
      <Match when={props.asked.value === undefined}>
        <div class="state" />
      </Match>
      <Match when={props.empty}>
        <div class="state">{props.none}</div>
      </Match>
      <Match when={true}>{props.children}</Match>
    </Switch>
  );
}

/** Says what is missing of an answer; nothing where nothing is. */
export function Whole(props: { of: { completeness?: Completeness } | undefined }): JSX.Element {
  const whole = () => props.of?.completeness;
  const missing = () => whole()?.missing ?? [];
  const share = () => whole()?.share ?? 1;
  const late = () => {
    const known = whole()?.known_since;
    const { since, until } = range(view());
    return known !== undefined && until !== "" && Date.parse(known) > Date.parse(since) + 15_000 ? known : undefined;
  };
  return (
    <Show when={missing().length > 0 || share() < 1 || late()}>
      <p class="whole" role="status">
        <span aria-hidden="true">◐ </span>
        <Show when={share() < 1}>{`${(Math.floor(share() * 1000) / 10).toFixed(1)} % of all records: ${count(n(whole()?.lost))} were lost. `}</Show>
        <Show when={missing().length > 0}>
          {`${plural(missing().length, "node")} of ${missing().length + (whole()?.nodes ?? 0)} did not answer: ${missing().slice(0, 4).join(", ")}${missing().length > 4 ? " …" : ""}. `}
        </Show>
        <Show when={late()}>{`Nothing is known from before ${clock(late())}.`}</Show>
      </p>
    </Show>
  );
}
