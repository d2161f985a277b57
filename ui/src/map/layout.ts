// Where cards lie: islands of namespaces, in columns from who asks to who is asked. What has a place keeps it while it is there.
import { type Card, type Graph, NODES, UNNAMED, WORLD_IN, WORLD_OUT } from "./graph";

export const CARD = { width: 168, height: 46, gapX: 56, gapY: 14 };
const PAD = { side: 16, top: 34, bottom: 16 };
const BETWEEN = 48;

export type Box = { x: number; y: number; width: number; height: number };
export type Placed = { cards: Map<string, Box>; islands: Map<string, Box> };

/** Column and row inside an island. */
type Slot = { column: number; row: number };

/** Remembers the places of cards from one graph to the next. */
export class Layout {
  private slots = new Map<string, Map<string, Slot>>();
  private order: string[] = [];

  place(graph: Graph): Placed {
    const islands = new Map<string, Card[]>();
    for (const card of graph.cards) islands.set(card.island, [...(islands.get(card.island) ?? []), card]);
    for (const name of this.slots.keys()) if (!islands.has(name)) this.slots.delete(name);
    for (const [name, cards] of islands) this.settle(name, cards, graph);
    // Who asks others more than it is asked comes first; islands that come later come last.
    const fresh = [...islands.keys()].filter((name) => !this.order.includes(name)).sort();
    const net = balance(graph);
    fresh.sort((a, b) => (net.get(b) ?? 0) - (net.get(a) ?? 0));
    this.order = [...this.order, ...fresh];
    return this.pack([...islands.keys()]);
  }

  /** Gives each card of an island a slot; the first time by who asks whom, later the first one that is free. */
  private settle(name: string, cards: Card[], graph: Graph): void {
    const known = this.slots.get(name) ?? new Map<string, Slot>();
    const ids = new Set(cards.map((card) => card.id));
    for (const id of known.keys()) if (!ids.has(id)) known.delete(id);
    if (known.size === 0) {
      for (const [id, slot] of columns(cards, graph)) known.set(id, slot);
    } else {
      const taken = new Set([...known.values()].map((slot) => `${slot.column} ${slot.row}`));
      const wide = Math.max(...[...known.values()].map((slot) => slot.column)) + 1;
      for (const card of cards) {
        if (known.has(card.id)) continue;
        const slot = free(taken, wide);
        taken.add(`${slot.column} ${slot.row}`);
        known.set(card.id, slot);
      }
    }
    this.slots.set(name, known);
  }

  private pack(names: string[]): Placed {
    const placed: Placed = { cards: new Map(), islands: new Map() };
    const size = (name: string): { width: number; height: number } => {
      const slots = [...(this.slots.get(name)?.values() ?? [])];
      const wide = Math.max(...slots.map((slot) => slot.column)) + 1;
      const high = Math.max(...slots.map((slot) => slot.row)) + 1;
      return {
        width: 2 * PAD.side + wide * CARD.width + (wide - 1) * CARD.gapX,
        height: PAD.top + PAD.bottom + high * CARD.height + (high - 1) * CARD.gapY,
      };
    };
    const put = (name: string, x: number, y: number): Box => {
      const box = { x, y, ...size(name) };
      placed.islands.set(name, box);
      for (const [id, slot] of this.slots.get(name) ?? []) {
        placed.cards.set(id, {
          x: x + PAD.side + slot.column * (CARD.width + CARD.gapX),
          y: y + PAD.top + slot.row * (CARD.height + CARD.gapY),
          width: CARD.width,
          height: CARD.height,
        });
      }
      return box;
    };
    // Who asks from outside on the left, who is asked outside on the right, namespaces between.
    const inside = this.order.filter((name) => names.includes(name) && ![WORLD_IN, WORLD_OUT, NODES, UNNAMED].includes(name));
    const left = [WORLD_IN, NODES].filter((name) => names.includes(name));
    const right = [WORLD_OUT, UNNAMED].filter((name) => names.includes(name));
    let x = 0;
    const stack = (of: string[]): number => {
      let y = 0;
      let width = 0;
      for (const name of of) {
        const box = put(name, x, y);
        y += box.height + BETWEEN;
        width = Math.max(width, box.width);
      }
      return width;
    };
    const first = stack(left);
    if (first > 0) x += first + 2 * BETWEEN;
    const area = inside.map(size).reduce((sum, of) => sum + (of.width + BETWEEN) * (of.height + BETWEEN), 0);
    const shelf = Math.max(Math.sqrt(area * 1.9), ...inside.map((name) => size(name).width));
    let [right_x, y, row, at] = [x, 0, 0, x];
    for (const name of inside) {
      const { width, height } = size(name);
      if (at > x && at + width > x + shelf) [at, y, row] = [x, y + row + BETWEEN, 0];
      put(name, at, y);
      at += width + BETWEEN;
      right_x = Math.max(right_x, at);
      row = Math.max(row, height);
    }
    x = right_x + BETWEEN;
    stack(right);
    return placed;
  }
}

/** How many more links go out of an island than come into it. */
function balance(graph: Graph): Map<string, number> {
  const island = new Map(graph.cards.map((card) => [card.id, card.island]));
  const net = new Map<string, number>();
  for (const link of graph.links) {
    const [from = "", to = ""] = [island.get(link.from), island.get(link.to)];
    if (from === to) continue;
    net.set(from, (net.get(from) ?? 0) + 1);
    net.set(to, (net.get(to) ?? 0) - 1);
  }
  return net;
}

/** Columns from who asks to who is asked; a circle is cut where it is met. Tall columns are folded. */
function columns(cards: Card[], graph: Graph): Map<string, Slot> {
  const ids = new Set(cards.map((card) => card.id));
  const asks = new Map<string, string[]>();
  for (const link of graph.links) {
    if (link.from !== link.to && ids.has(link.from) && ids.has(link.to)) asks.set(link.from, [...(asks.get(link.from) ?? []), link.to]);
  }
  const depth = new Map<string, number>();
  const open = new Set<string>();
  const visit = (id: string): number => {
    const known = depth.get(id);
    if (known !== undefined) return known;
    open.add(id);
    const below = (asks.get(id) ?? []).filter((to) => !open.has(to)).map((to) => visit(to) + 1);
    open.delete(id);
    const of = Math.max(0, ...below);
    depth.set(id, of);
    return of;
  };
  for (const card of cards) visit(card.id);
  const deepest = Math.max(0, ...depth.values());
  const layers: string[][] = Array.from({ length: deepest + 1 }, () => []);
  for (const card of cards) layers[deepest - (depth.get(card.id) ?? 0)]?.push(card.id);
  const high = Math.max(4, Math.ceil(Math.sqrt(cards.length * 2.2)));
  const slots = new Map<string, Slot>();
  let column = 0;
  // In a thicket almost everybody asks everybody in the end: there, the order is kept and the columns are filled.
  const deep = layers.length > Math.max(5, Math.ceil(Math.sqrt(cards.length)));
  for (const layer of deep ? [layers.flat()] : layers) {
    layer.forEach((id, index) => slots.set(id, { column: column + Math.floor(index / high), row: index % high }));
    column += Math.ceil(layer.length / high);
  }
  return slots;
}

function free(taken: Set<string>, wide: number): Slot {
  for (let row = 0; ; row += 1) {
    for (let column = 0; column < wide; column += 1) if (!taken.has(`${column} ${row}`)) return { column, row };
  }
}
