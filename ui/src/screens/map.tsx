// Who talks to whom, as a map: workloads in the islands of their namespaces.
import { For, type JSX, Show, createEffect, createMemo, createSignal, on, onCleanup, onMount } from "solid-js";
import type { Answers } from "../data";
import { CAUSES, agreed, attempts, edgeKey, failed, shown, spanOf } from "../edges";
import { bytes, count, duration, plural, port, rate, share } from "../format";
import { useRows } from "../keys";
import { parse, selects, set } from "../language";
import { type Camera, type Scene, colours, curve, draw, ports, under } from "../map/draw";
import { type Link, type Scope, graph, p95, parties } from "../map/graph";
import { Layout } from "../map/layout";
import { Details, Facts } from "../parts/details";
import { Evidence } from "../parts/evidence";
import { Answered, Whole } from "../parts/states";
import { show, view } from "../view";
import { pair } from "../why";

/** More workloads than that are shown as their namespaces, unless asked for. */
const CROWD = 300;

const LABELS: Record<string, { name: string; of: (link: Link, seconds: number) => string }> = {
  "": { name: "no label", of: () => "" },
  rate: { name: "connections/s", of: (link, seconds) => rate(link.attempts / seconds) },
  bytes: { name: "bytes/s", of: (link, seconds) => `${bytes(link.bytes / seconds)}/s` },
  failed: { name: "failed", of: (link) => (link.failed > 0 ? share(link.failed, link.attempts) : "") },
  p95: { name: "p95 to the first answer", of: (link) => (p95(link) === undefined ? "" : duration(p95(link) ?? 0)) },
  port: { name: "ports", of: ports },
};

export function Map_(props: { answers: Answers; theme: string }): JSX.Element {
  const answer = () => props.answers.map();
  const rows = createMemo(() => {
    const filter = parse(view().q);
    return agreed(answer().value?.edges ?? [], props.answers.failing().value?.failures ?? []).filter((row) =>
      selects(filter, { text: edgeKey(row.edge), port: port(row.edge?.port, row.edge?.protocol) }),
    );
  });
  const scope = createMemo((): Scope => {
    const asked = view().scope;
    if (asked === "workload" || asked === "namespace") return asked;
    return parties(rows()) > CROWD ? "namespace" : "workload";
  });
  const drawn = createMemo(() => graph(rows(), scope(), view().bad !== ""));
  const seconds = () => spanOf(answer().value);
  return (
    <section class="screen map">
      <div class="chips" role="group" aria-label="What the map shows">
        <button type="button" aria-pressed={view().bad !== ""} onClick={() => show({ bad: view().bad ? "" : "1" }, "replace")}>
          Failing alone
        </button>
        <label>
          Scope{" "}
          <select value={scope()} onChange={(event) => show({ scope: event.currentTarget.value, pick: "" })}>
            <option value="workload">workloads</option>
            <option value="namespace">namespaces</option>
          </select>
        </label>
        <label>
          Label{" "}
          <select value={view().label} onChange={(event) => show({ label: event.currentTarget.value }, "replace")}>
            <For each={Object.entries(LABELS)}>{([key, of]) => <option value={key}>{of.name}</option>}</For>
          </select>
        </label>
        <Legend />
        <span class="quiet push" role="status">{`${plural(drawn().cards.length, "card")}, ${plural(drawn().links.length, "link")}`}</span>
      </div>
      <Whole of={answer().value} />
      <div class="split">
        <Answered
          asked={answer()}
          empty={drawn().cards.length === 0}
          none={<p class="big">{view().bad || view().q ? "Nothing of that kind in this time" : "Nobody talked to anybody in this time"}</p>}
        >
          <Canvas graph={drawn()} scope={scope()} theme={props.theme} seconds={seconds()} />
        </Answered>
        <Selected links={drawn().links} seconds={seconds()} />
      </div>
    </section>
  );
}

function Legend(): JSX.Element {
  const shown = ["REFUSED", "UNANSWERED", "DROPPED", "HTTP_ERROR", "DENIED_BY_RULE", "DENIED_BY_DEFAULT"] as const;
  const words: Partial<Record<(typeof shown)[number], string>> = { HTTP_ERROR: "bad answers", DENIED_BY_DEFAULT: "by default" };
  return (
    <span class="legend" aria-label="What shapes mean">
      <For each={shown}>
        {(of) => (
          <span class={`cause ${CAUSES[of].tone}`}>
            <span aria-hidden="true">{CAUSES[of].shape}</span> {words[of] ?? CAUSES[of].word}
          </span>
        )}
      </For>
    </span>
  );
}

/** What is drawn beyond each side of the window, so that moving it a little draws nothing anew; CSS pixels. */
const BEYOND = 300;

function Canvas(props: { graph: ReturnType<typeof graph>; scope: Scope; theme: string; seconds: number }): JSX.Element {
  let box!: HTMLDivElement;
  let canvas!: HTMLCanvasElement;
  let camera: Camera = { x: 0, y: 0, zoom: 1 };
  let drawnAt: Camera = camera;
  let fitted = false;
  // By whoever looks at it; until then all of it is shown, whatever room there is.
  let isMoved = false;
  let frame = 0;
  let settling: ReturnType<typeof setTimeout> | undefined;
  const layouts: Record<Scope, Layout> = { workload: new Layout(), namespace: new Layout() };
  const [hovered, setHovered] = createSignal("");
  const placed = createMemo(() => layouts[props.scope].place(props.graph));
  const scene = createMemo((): Scene => {
    const of = placed();
    const curves = new Map(
      props.graph.links.flatMap((link) => {
        const [from, to] = [of.cards.get(link.from), of.cards.get(link.to)];
        return from && to ? [[link.id, curve(from, to)] as const] : [];
      }),
    );
    const label = LABELS[view().label] ?? LABELS[""];
    const long = props.seconds;
    return { graph: props.graph, placed: of, curves, picked: view().pick, hovered: hovered(), label: (link) => label?.of(link, long) ?? "" };
  });

  function paint(): void {
    frame = 0;
    const ratio = devicePixelRatio;
    const size = { width: box.clientWidth + 2 * BEYOND, height: box.clientHeight + 2 * BEYOND };
    if (canvas.width !== Math.round(size.width * ratio) || canvas.height !== Math.round(size.height * ratio)) {
      canvas.width = Math.round(size.width * ratio);
      canvas.height = Math.round(size.height * ratio);
      canvas.style.width = `${size.width}px`;
      canvas.style.height = `${size.height}px`;
    }
    if (!fitted) fit();
    const context = canvas.getContext("2d", { alpha: false });
    if (!context) return;
    const from = { ...camera, x: camera.x - BEYOND / camera.zoom, y: camera.y - BEYOND / camera.zoom };
    draw(context, scene(), from, size, colours(box), ratio);
    drawnAt = { ...camera };
    canvas.style.transform = "";
  }
  const later = (): void => void (frame ||= requestAnimationFrame(paint));

  /** Shows what is drawn already at its new place; draws anew when it does not reach, or when all is still. */
  function shift(): void {
    const scale = camera.zoom / drawnAt.zoom;
    const [dx, dy] = [(drawnAt.x - camera.x) * camera.zoom, (drawnAt.y - camera.y) * camera.zoom];
    if (scale === 1 && (Math.abs(dx) > BEYOND || Math.abs(dy) > BEYOND)) return later();
    if (scale > 2 || scale < 0.6) return later();
    const off = BEYOND * (1 - scale);
    canvas.style.transform = `translate(${dx + off}px, ${dy + off}px) scale(${scale})`;
    clearTimeout(settling);
    settling = setTimeout(later, 140);
  }

  function fit(): void {
    const boxes = [...placed().islands.values()];
    if (boxes.length === 0) return;
    const [x1, y1] = [Math.min(...boxes.map((of) => of.x)), Math.min(...boxes.map((of) => of.y - 20))];
    const [x2, y2] = [Math.max(...boxes.map((of) => of.x + of.width)), Math.max(...boxes.map((of) => of.y + of.height))];
    const zoom = Math.min(1.15, (box.clientWidth - 48) / (x2 - x1), (box.clientHeight - 48) / (y2 - y1));
    camera = { zoom, x: (x1 + x2) / 2 - box.clientWidth / 2 / zoom, y: (y1 + y2) / 2 - box.clientHeight / 2 / zoom };
    fitted = true;
  }

  function zoom(by: number, x = box.clientWidth / 2, y = box.clientHeight / 2): void {
    isMoved = true;
    const to = Math.min(3, Math.max(0.04, camera.zoom * by));
    camera = { zoom: to, x: camera.x + x / camera.zoom - x / to, y: camera.y + y / camera.zoom - y / to };
    shift();
  }

  const world = (event: PointerEvent | MouseEvent): [number, number] => {
    const of = box.getBoundingClientRect();
    return [camera.x + (event.clientX - of.left) / camera.zoom, camera.y + (event.clientY - of.top) / camera.zoom];
  };
  let held: { x: number; y: number; camera: Camera; moved: boolean } | undefined;
  const down = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    held = { x: event.clientX, y: event.clientY, camera, moved: false };
    box.setPointerCapture(event.pointerId);
  };
  const move = (event: PointerEvent): void => {
    if (!held) {
      const [x, y] = world(event);
      const found = under(scene(), x, y, 6 / camera.zoom);
      if (found !== hovered()) setHovered(found);
      return;
    }
    const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
    if (Math.abs(dx) + Math.abs(dy) > 3) held.moved = isMoved = true;
    camera = { ...held.camera, x: held.camera.x - dx / camera.zoom, y: held.camera.y - dy / camera.zoom };
    shift();
  };
  const up = (event: PointerEvent): void => {
    if (held && !held.moved) {
      const [x, y] = world(event);
      const found = under(scene(), x, y, 6 / camera.zoom);
      const two = event.shiftKey ? both(found) : undefined;
      if (two) show({ why: `${two.from}..${two.to}` });
      else show({ pick: found === view().pick ? "" : found }, view().pick ? "replace" : "push");
    }
    held = undefined;
  };
  const wheel = (event: WheelEvent): void => {
    event.preventDefault();
    const of = box.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.03 : 0.0015)), event.clientX - of.left, event.clientY - of.top);
  };

  /** Cards as one reads them: island by island, from left to right, from top to bottom. */
  const reading = createMemo(() => {
    const at = (id: string) => placed().cards.get(id) ?? { x: 0, y: 0 };
    return [...props.graph.cards].sort((a, b) => (a.island < b.island ? -1 : a.island > b.island ? 1 : at(a.id).x - at(b.id).x || at(a.id).y - at(b.id).y));
  });
  function walk(by: number): void {
    const all = reading();
    const now = all.findIndex((card) => card.id === view().pick);
    const next = all[now < 0 ? 0 : Math.min(Math.max(now + by, 0), all.length - 1)];
    if (!next) return;
    show({ pick: next.id }, "replace");
    const of = placed().cards.get(next.id);
    if (!of) return;
    // As little as brings it into sight.
    const into = (from: number, length: number, at: number, room: number): number => {
      const margin = 60 / camera.zoom;
      return Math.min(Math.max(at, from + length + margin - room / camera.zoom), from - margin);
    };
    isMoved = true;
    camera = { ...camera, x: into(of.x, of.width, camera.x, box.clientWidth), y: into(of.y, of.height, camera.y, box.clientHeight) };
    later();
  }
  /** Both ends of a link; a card alone is the first of two, or the second where the first is chosen. */
  function both(id: string): { from: string; to: string } | undefined {
    const link = props.graph.links.find((of) => of.id === id);
    if (link) return { from: party(link.from), to: party(link.to) };
    if (!id) return undefined;
    const first = pair(view().why);
    return first && !first.to && first.from !== party(id) ? { from: first.from, to: party(id) } : { from: party(id), to: "" };
  }
  useRows({
    move: walk,
    ends: () => both(view().pick),
    open: () => {
      if (!view().pick) walk(0);
      document.querySelector<HTMLElement>("#details")?.focus();
    },
  });
  const key = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.target as HTMLElement).tagName === "INPUT") return;
    if (event.key === "+" || event.key === "=") zoom(1.25);
    else if (event.key === "-") zoom(0.8);
    else if (event.key === "0") {
      isMoved = false;
      fit();
      later();
    }
  };
  onMount(() => {
    const watcher = new ResizeObserver(() => {
      if (!isMoved) fitted = false;
      later();
    });
    watcher.observe(box);
    box.addEventListener("wheel", wheel, { passive: false });
    addEventListener("keydown", key);
    onCleanup(() => {
      watcher.disconnect();
      removeEventListener("keydown", key);
      cancelAnimationFrame(frame);
      clearTimeout(settling);
    });
  });
  createEffect(on(() => props.scope, () => (fitted = isMoved = false)));
  createEffect(on([scene, () => props.theme], later));
  const name = () => {
    const bad = props.graph.links.filter((link) => link.cause).length;
    return `Map of ${plural(props.graph.cards.length, "card")} and ${plural(props.graph.links.length, "link")}, of which ${bad} fail. J and K walk through the cards.`;
  };
  return (
    <div
      class="canvas"
      ref={box}
      role="img"
      aria-label={name()}
      classList={{ pointed: hovered() !== "" }}
      onPointerDown={down}
      onPointerMove={move}
      onPointerUp={up}
      onPointerLeave={() => setHovered("")}
    >
      <canvas ref={canvas} />
    </div>
  );
}

/** Whom a card stands for. */
const party = (id: string): string => id.replace(/^[→←] /, "");

/** The card or link that is picked, with all that goes over it. */
function Selected(props: { links: Link[]; seconds: number }): JSX.Element {
  const links = createMemo(() => props.links.filter((link) => view().pick !== "" && [link.id, link.from, link.to].includes(view().pick)));
  const one = () => links().find((link) => link.id === view().pick);
  const all = () => (one() ? [one() as Link] : links());
  const rows = createMemo(() => all().flatMap((link) => link.rows).sort((a, b) => failed(b.counters) - failed(a.counters) || attempts(b.counters) - attempts(a.counters)));
  const samples = createMemo(() => rows().flatMap((row) => (row.failures ?? []).flatMap((of) => of.samples ?? [])));
  const linked = (of: Link | undefined) => of && { from: party(of.from), to: party(of.to) };
  const sums = () => all().reduce((sum, link) => ({ attempts: sum.attempts + link.attempts, failed: sum.failed + link.failed, bytes: sum.bytes + link.bytes }), { attempts: 0, failed: 0, bytes: 0 });
  return (
    <Show when={links().length > 0}>
      <Details title={one() ? "Link" : party(view().pick)} ends={linked(one())}>
        <Facts
          of={[
            ["Connections", `${rate(sums().attempts / props.seconds)}/s, ${count(sums().attempts)} in all`],
            ["Failed", `${count(sums().failed)} (${share(sums().failed, sums().attempts)})`],
            ["Bytes", `${bytes(sums().bytes / props.seconds)}/s`],
          ]}
        />
        <table class="plain">
          <thead>
            <tr>
              <th scope="col">From</th>
              <th scope="col">To</th>
              <th scope="col" class="number">
                Conn/s
              </th>
              <th scope="col" class="number">
                Failed
              </th>
            </tr>
          </thead>
          <tbody>
            <For each={rows().slice(0, 40)}>
              {(row) => (
                <tr>
                  <td>{shown(row.edge?.source)}</td>
                  <td>
                    <button type="button" class="link" onClick={() => show({ q: set(view().q, "to", shown(row.edge?.destination)), pick: "" })}>
                      {shown(row.edge?.destination)}
                    </button>
                    <span class="quiet">{` ${port(row.edge?.port, row.edge?.protocol)}`}</span>
                  </td>
                  <td class="number">{rate(attempts(row.counters) / props.seconds)}</td>
                  <td class="number">
                    <Show when={failed(row.counters) > 0} fallback={<span class="quiet">0</span>}>
                      <span class="cause bad">{share(failed(row.counters), attempts(row.counters))}</span>
                    </Show>
                  </td>
                </tr>
              )}
            </For>
          </tbody>
        </table>
        <Show when={rows().length > 40}>
          <p class="quiet">{`and ${count(rows().length - 40)} more`}</p>
        </Show>
        <Evidence samples={samples().slice(0, 6)} />
      </Details>
    </Show>
  );
}
