// The questions as live tiles, what is red first.
import { For, type JSX, Show, createMemo } from "solid-js";
import type { Answers } from "../data";
import { n } from "../api";
import { ofTile } from "../commands";
import { isReset, shown } from "../edges";
import { age, count, port } from "../format";
import { Answered, Whole } from "../parts/states";
import { Line } from "../parts/line";
import { Cause } from "./failing";
import { type Tile, points, tiles } from "../tiles";
import { to, view } from "../view";

export function Home(props: { answers: Answers; now: number }): JSX.Element {
  const all = createMemo(() => {
    const { map, failing, exposed, http, kafka, resolved } = props.answers;
    return tiles({ map: map().value, failing: failing().value, exposed: exposed().value, http: http().value, kafka: kafka().value, resolved: resolved().value });
  });
  const each = () => {
    const { map, failing, exposed, http, kafka, resolved } = props.answers;
    return [map(), failing(), exposed(), http(), kafka(), resolved()];
  };
  const asked = () => {
    const of = each();
    const error = of.find((one) => one.error)?.error;
    return { value: all().length > 0 ? all() : undefined, slow: of.some((one) => one.slow), ...(error ? { error } : {}) };
  };
  const newest = () => Math.max(...each().map((of) => of.asked ?? 0));
  const whole = () => props.answers.failing().value ?? props.answers.map().value;
  return (
    <section class="home" aria-label="Questions">
      <Whole of={whole()} />
      <Answered asked={asked()} empty={false} none="">
        <ol class="tiles">
          <For each={all()}>{(tile) => <One tile={tile} answers={props.answers} />}</For>
        </ol>
        <First answers={props.answers} />
        <p class="quiet foot">
          <Show when={view().at === ""} fallback="The time stands still.">{`Answered ${age(newest(), props.now)}, over the last ${view().span}.`}</Show>
        </p>
      </Answered>
    </section>
  );
}

function One(props: { tile: Tile; answers: Answers }): JSX.Element {
  const tile = () => props.tile;
  return (
    <li>
      <a class={`tile ${tile().tone}`} href={to(tile().screen, tile().change)} data-key={tile().key} title={ofTile(tile().key, view())}>
        <h2>
          <span class={`mark ${tile().tone}`} aria-hidden="true" />
          {tile().question}
          <kbd aria-hidden="true">{tile().key}</kbd>
        </h2>
        <p class="number">
          <strong>{tile().number}</strong> <span class="quiet">{tile().unit}</span>
        </p>
        <p class="sentence">{tile().sentence}</p>
        <Show when={props.answers.history().value} fallback={<div class="line" />}>
          <Line values={points(tile(), props.answers.history().value)} tone={tile().tone} label={`${tile().lineName} over the last ${view().span}`} />
        </Show>
      </a>
    </li>
  );
}

/** How many failures are named on the first screen. */
const NAMED = 8;

/** The failures that count most. */
function First(props: { answers: Answers }): JSX.Element {
  const rows = createMemo(() => (props.answers.failing().value?.failures ?? []).filter((of) => !isReset(of)).slice(0, NAMED));
  return (
    <Show when={rows().length > 0}>
      <section class="first" aria-label="What fails first">
        <h3>What fails first</h3>
        <table class="plain">
          <tbody>
            <For each={rows()}>
              {(of) => (
                <tr>
                  <td>
                    <Cause failure={of} />
                  </td>
                  <td class="number">{count(n(of.count))}</td>
                  <td>{`${shown(of.edge?.source)} → ${shown(of.edge?.destination)}`}</td>
                  <td class="number">{port(of.edge?.port, of.edge?.protocol)}</td>
                  <td class="quiet">{of.sentence}</td>
                  <td class="number quiet">{age(of.last, props.answers.failing().asked)}</td>
                </tr>
              )}
            </For>
          </tbody>
        </table>
      </section>
    </Show>
  );
}
