// What is known of one row, beside the rows.
import { For, type JSX, Show } from "solid-js";
import { show } from "../view";
import type { Ends } from "./table";

export function Details(props: { title: JSX.Element; ends?: Ends | undefined; children: JSX.Element }): JSX.Element {
  return (
    <aside id="details" class="details" tabindex="-1" aria-label="Details">
      <header>
        <h2>{props.title}</h2>
        <Show when={props.ends}>
          {(two) => (
            <button type="button" class="small" title="Why these two can or cannot talk (W)" onClick={() => show({ why: `${two().from}..${two().to}` })}>
              Why
            </button>
          )}
        </Show>
        <button type="button" class="bare" aria-label="Close details" title="Close (Esc)" onClick={() => show({ pick: "" })}>
          ×
        </button>
      </header>
      <div class="body" tabindex="0">{props.children}</div>
    </aside>
  );
}

export function Facts(props: { of: [string, JSX.Element | undefined][] }): JSX.Element {
  return (
    <dl class="facts">
      <For each={props.of.filter(([, value]) => value !== undefined && value !== "")}>
        {([name, value]) => (
          <>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </>
        )}
      </For>
    </dl>
  );
}

/** Copies, and says so. */
export function Copy(props: { text: string; label: string }): JSX.Element {
  const copy = async (event: MouseEvent): Promise<void> => {
    const button = event.currentTarget as HTMLButtonElement;
    try {
      await navigator.clipboard.writeText(props.text);
      button.textContent = "Copied";
    } catch {
      // Without TLS a browser has no clipboard for pages: select the text instead.
      const text = button.previousElementSibling;
      if (text) getSelection()?.selectAllChildren(text);
      button.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => (button.textContent = props.label), 1500);
  };
  return (
    <button type="button" class="small" onClick={(event) => void copy(event)}>
      {props.label}
    </button>
  );
}
