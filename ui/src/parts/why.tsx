// Between two: the steps of a connection, what is known of each, and the evidence, over the screen that one came from.
import { For, type JSX, Show, createMemo } from "solid-js";
import { type DnsAnswer, type FailingAnswer, type MapAnswer, n } from "../api";
import { clock, count, share } from "../format";
import { poll } from "../poll";
import { type State, type Step, chain, pair, verdict } from "../why";
import { range, show, to, view } from "../view";
import { Facts } from "./details";
import { Answered, Whole } from "./states";

/** A shape for each state, so that colour is never alone. */
const SHAPES: Record<State, { shape: string; tone: string; word: string }> = {
  ok: { shape: "✓", tone: "ok", word: "well" },
  warn: { shape: "!", tone: "warn", word: "a little fails" },
  bad: { shape: "✕", tone: "bad", word: "fails" },
  unknown: { shape: "·", tone: "quiet", word: "not seen" },
};

export function Why(): JSX.Element {
  const two = createMemo(() => pair(view().why));
  const close = (): void => show({ why: "" });
  return (
    <Show when={two()}>
      {(of) => (
        <section class="panel why" aria-label="Why">
          <header>
            <h2>
              {of().from} <span class="quiet">→</span> {of().to || "?"}
            </h2>
            <Show when={of().to}>
              <button type="button" class="small" onClick={() => show({ why: `${of().to}..${of().from}` })}>
                The other way
              </button>
              <a href={to("records", { q: `from:${of().from} to:${of().to}` })}>Records</a>
              <a href={to("latency", { q: `from:${of().from} to:${of().to}` })}>Latency</a>
            </Show>
            <button type="button" class="bare push" aria-label="Close why" title="Close (Esc)" onClick={close}>
              ×
            </button>
          </header>
          <Show when={of().to} fallback={<p class="quiet">Whom does it ask? Choose the other one: shift-click on the map, or W on its card.</p>}>
            <Chain from={of().from} to={of().to} />
          </Show>
        </section>
      )}
    </Show>
  );
}

function Chain(props: { from: string; to: string }): JSX.Element {
  const live = () => view().at === "";
  const times = (): Record<string, string> => ({ ...range(view()), from: props.from });
  const map = poll<MapAnswer>(() => "answers/map", () => ({ ...times(), to: props.to }), live);
  const failing = poll<FailingAnswer>(() => "answers/failing", times, live);
  const dns = poll<DnsAnswer>(() => "answers/dns", times, live);
  const steps = createMemo(() => chain(props.to, { map: map().value, failing: failing().value, dns: dns().value }));
  const comes = () => verdict(steps(), map().value?.completeness);
  const asked = () => {
    const all = [map(), failing(), dns()];
    const error = all.find((of) => of.error)?.error;
    const value = all.every((of) => of.value !== undefined) ? true : undefined;
    return { ...(value ? { value } : {}), slow: all.some((of) => of.slow), ...(error ? { error } : {}) };
  };
  return (
    <Answered asked={asked()} empty={false} none="">
      <Whole of={map().value} />
      <p class={`verdict cause ${SHAPES[comes().state].tone}`}>{comes().sentence}</p>
      <ol class="chain">
        <For each={steps()}>{(step) => <One step={step} />}</For>
      </ol>
    </Answered>
  );
}

function One(props: { step: Step }): JSX.Element {
  const mark = () => SHAPES[props.step.state];
  const samples = () => props.step.failures.flatMap((of) => of.samples ?? []).slice(0, 3);
  return (
    <li class={mark().tone}>
      <h3>
        <span class={`cause ${mark().tone}`}>
          <span aria-hidden="true">{mark().shape}</span> {props.step.name}
        </span>
        <span class="quiet">{mark().word}</span>
      </h3>
      <p>{props.step.says}</p>
      <Facts of={props.step.facts} />
      <For each={props.step.failures.slice(0, 4)}>
        {(of) => (
          <p class="failure">
            {of.sentence}{" "}
            <span class="quiet">{`${count(n(of.count))} (${share(n(of.count), n(of.attempts))})`}</span>
          </p>
        )}
      </For>
      <ul class="samples">
        <For each={samples()}>
          {(of) => (
            <li>
              <span class="quiet">{clock(n(of.time_ns) / 1e6)}</span> {of.source_pod || of.source} <span class="quiet">→</span> {of.destination_pod || of.destination}
              <div class="quiet mono">{`${of.source ?? ""} → ${of.destination ?? ""}`}</div>
            </li>
          )}
        </For>
      </ul>
    </li>
  );
}
