// The frame of all screens: where one is, of which time and of whom, and what stands beside it on demand.
import { For, type JSX, Match, Show, Switch, createEffect, createMemo, createSignal, on, onCleanup, onMount } from "solid-js";
import { command } from "./commands";
import { PEACE, answers } from "./data";
import { HELP, listen } from "./keys";
import { Copy } from "./parts/details";
import { TimeStrip } from "./parts/strip";
import { Why } from "./parts/why";
import { Diff } from "./screens/diff";
import { Exposed } from "./screens/exposed";
import { Failing } from "./screens/failing";
import { Home } from "./screens/home";
import { Dns } from "./screens/dns";
import { Http } from "./screens/http";
import { Kafka } from "./screens/kafka";
import { Resolved } from "./screens/resolved";
import { Latency, Worst } from "./screens/latency";
import { Map_ } from "./screens/map";
import { Nodes } from "./screens/nodes";
import { Policy } from "./screens/policy";
import { Records } from "./screens/records";
import { SPANS, type Screen, pass, pause, replay, show, step, to, view } from "./view";

const NAMES: [Screen, string, string][] = [
  ["home", "Questions", "g h"],
  ["map", "Map", "g m"],
  ["failing", "Failing", "g f"],
  ["denied", "Policy", "g p"],
  ["exposed", "From outside", "g x"],
  ["http", "HTTP", "g r"],
  ["dns", "DNS", "g d"],
  ["kafka", "Kafka", "g k"],
  ["resolved", "Resolved", "g s"],
  ["latency", "Latency", "g l"],
  ["worst", "Worst", "g w"],
  ["diff", "Changed", "g c"],
  ["records", "Records", "g t"],
  ["nodes", "Nodes", "g n"],
];

/** Light, dark, or as the system says. Of the reader, so not in the URL. */
function stored(): string {
  try {
    return localStorage.getItem("theme") ?? "";
  } catch {
    return "";
  }
}

export function App(): JSX.Element {
  const [now, setNow] = createSignal(Date.now());
  const all = answers(now);
  const [theme, setTheme] = createSignal(stored());
  const [panel, setPanel] = createSignal<"" | "help" | "explain">("");
  const ticking = setInterval(() => {
    setNow(Date.now());
    if (!document.hidden) pass(Date.now());
  }, 1000);
  onCleanup(() => clearInterval(ticking));
  createEffect(() => {
    document.documentElement.dataset.theme = theme();
    try {
      localStorage.setItem("theme", theme());
    } catch {
      // Where nothing may be stored, it holds until the page is left.
    }
  });
  createEffect(() => {
    const name = NAMES.find(([screen]) => screen === view().screen)?.[1] ?? "";
    document.title = `${name} · Axoneme`;
  });
  // Once: what a screen is made of later does not wait for the strip either.
  const answered = createMemo((was: boolean) => was || view().screen === "records" || Object.values(all).some((of) => of().value !== undefined || of().error !== undefined), false);
  const [ready, setReady] = createSignal(false);
  createEffect(on(answered, (is) => is && setTimeout(() => setReady(true), PEACE)));
  const turn = (): void => {
    const dark = theme() === "dark" || (theme() === "" && matchMedia("(prefers-color-scheme: dark)").matches);
    setTheme(dark ? "light" : "dark");
  };
  const toggle = (of: "help" | "explain") => (): void => void setPanel(panel() === of ? "" : of);
  onMount(() =>
    listen({
      help: toggle("help"),
      explain: toggle("explain"),
      close: () => (panel() !== "" ? (setPanel(""), true) : view().why !== "" && (show({ why: "" }), true)),
      theme: turn,
      question: (key) => {
        if (view().screen === "home") document.querySelector<HTMLAnchorElement>(`a[data-key="${key}"]`)?.click();
      },
    }),
  );
  return (
    <>
      <a class="skip" href="#main">
        To the content
      </a>
      <nav aria-label="Screens">
        <a class="brand" href={to("home")}>
          <img src="/icon.svg" alt="" width="20" height="20" />
          Axoneme
        </a>
        <For each={NAMES}>
          {([screen, name, keys]) => (
            <a href={to(screen)} aria-current={view().screen === screen ? "page" : undefined} title={keys}>
              {name}
            </a>
          )}
        </For>
        <div class="rest">
          <button type="button" class="bare" onClick={toggle("explain")} title="The command for what is on screen (e)" aria-expanded={panel() === "explain"}>
            Explain
          </button>
          <button type="button" class="bare" onClick={turn} title="Dark or light (d)">
            Theme
          </button>
          <button type="button" class="bare" onClick={toggle("help")} title="Keys (?)" aria-expanded={panel() === "help"}>
            Keys
          </button>
        </div>
      </nav>
      <div class="page">
        <header class="bar">
          <h1>{NAMES.find(([screen]) => screen === view().screen)?.[1]}</h1>
          <Filter />
          <Time />
        </header>
        <main id="main">
          <Switch>
            <Match when={view().screen === "home"}>
              <Home answers={all} now={now()} />
            </Match>
            <Match when={view().screen === "map"}>
              <Map_ answers={all} theme={theme()} />
            </Match>
            <Match when={view().screen === "failing"}>
              <Failing answers={all} />
            </Match>
            <Match when={view().screen === "denied"}>
              <Policy answers={all} />
            </Match>
            <Match when={view().screen === "exposed"}>
              <Exposed answers={all} />
            </Match>
            <Match when={view().screen === "http"}>
              <Http answers={all} />
            </Match>
            <Match when={view().screen === "dns"}>
              <Dns answers={all} />
            </Match>
            <Match when={view().screen === "kafka"}>
              <Kafka answers={all} />
            </Match>
            <Match when={view().screen === "resolved"}>
              <Resolved answers={all} />
            </Match>
            <Match when={view().screen === "latency"}>
              <Latency answers={all} />
            </Match>
            <Match when={view().screen === "worst"}>
              <Worst answers={all} />
            </Match>
            <Match when={view().screen === "diff"}>
              <Diff answers={all} now={now()} />
            </Match>
            <Match when={view().screen === "records"}>
              <Records />
            </Match>
            <Match when={view().screen === "nodes"}>
              <Nodes answers={all} />
            </Match>
          </Switch>
        </main>
        <Why />
        <TimeStrip now={now()} ready={ready()} />
        <Show when={panel() === "explain"}>
          <section class="panel" aria-label="The same on a terminal">
            <h2>The same on a terminal</h2>
            <div class="row">
              <code class="command">{command(view())}</code>
              <Copy text={command(view())} label="Copy" />
            </div>
            <p class="quiet">
              <Show when={view().why} fallback={<><code>-P</code> forwards a port to the relay of the cluster; <code>--explain</code> says what is asked of it.</>}>
                On a node, of pods: whether policies would let them, and what was last seen. Who is no pod is named by an address.
              </Show>
            </p>
          </section>
        </Show>
        <Show when={panel() === "help"}>
          <section class="panel help" aria-label="Keys">
            <h2>Keys</h2>
            <dl>
              <For each={HELP}>
                {([key, meaning]) => (
                  <div>
                    <dt>
                      <kbd>{key}</kbd>
                    </dt>
                    <dd>{meaning}</dd>
                  </div>
                )}
              </For>
            </dl>
            <p class="quiet">
              The filter takes <code>from:</code> <code>to:</code> <code>ns:</code> <code>port:</code> <code>proto:</code> <code>cause:</code> <code>verdict:</code> <code>name:</code> and words that a row must contain.
            </p>
          </section>
        </Show>
      </div>
    </>
  );
}

/** Milliseconds without a key before a filter is asked with. */
const TYPED = 250;

function Filter(): JSX.Element {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const put = (text: string): void => {
    clearTimeout(timer);
    timer = setTimeout(() => show({ q: text.trim() }, "replace"), TYPED);
  };
  onCleanup(() => clearTimeout(timer));
  return (
    <div class="filter">
      <label for="filter">Filter</label>
      <input
        id="filter"
        type="search"
        autocomplete="off"
        spellcheck={false}
        placeholder="from:shop/web  to:api  ns:shop  port:5432  words"
        value={view().q}
        onInput={(event) => put(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter") return;
          clearTimeout(timer);
          show({ q: event.currentTarget.value.trim() }, "replace");
          event.currentTarget.blur();
        }}
      />
    </div>
  );
}

/** A time as the field for local times has it. */
function local(time: string): string {
  const date = time ? new Date(time) : new Date();
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

function Time(): JSX.Element {
  return (
    <div class="time" role="group" aria-label="Time">
      <button type="button" onClick={() => step(-1)} title="Half a span back ([)" aria-label="Half a span back">
        ‹
      </button>
      <select aria-label="Span" value={view().span} onChange={(event) => show({ span: event.currentTarget.value })}>
        <For each={SPANS.includes(view().span) ? SPANS : [view().span, ...SPANS]}>{(span) => <option value={span}>{`last ${span}`}</option>}</For>
      </select>
      <Show when={view().at}>
        <input
          type="datetime-local"
          step="1"
          aria-label="Up to"
          value={local(view().at)}
          onChange={(event) => event.currentTarget.value && show({ at: new Date(event.currentTarget.value).toISOString() })}
        />
      </Show>
      <button type="button" onClick={() => step(1)} title="Half a span forth (])" aria-label="Half a span forth" disabled={!view().at}>
        ›
      </button>
      <button type="button" onClick={replay} aria-pressed={view().play !== ""} title="Show it again, faster, and stop (P)" aria-label={view().play ? `Shown again, ${view().play} times as fast` : "Show it again"}>
        {view().play ? `▶ ${view().play}×` : "▶"}
      </button>
      <button type="button" class="live" classList={{ on: view().at === "" }} aria-pressed={view().at === ""} onClick={pause} title="Live or paused (Space)">
        <span class="dot" aria-hidden="true" />
        {view().at === "" ? "Live" : "Paused"}
      </button>
    </div>
  );
}

/** Links inside of the page change what is on screen and load nothing. */
export function follow(event: MouseEvent): void {
  const link = (event.target as Element | null)?.closest?.("a");
  if (!link || event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const url = new URL(link.href, location.href);
  if (url.origin !== location.origin || url.hash) return;
  event.preventDefault();
  history.pushState(null, "", url.pathname + url.search);
  dispatchEvent(new PopStateEvent("popstate"));
}

