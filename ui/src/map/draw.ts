// Draws the map on a canvas: islands, links, cards. Only what is in sight, and no more detail than can be seen.
import type { CauseKind } from "../api";
import { CAUSES } from "../edges";
import { port } from "../format";
import type { Card, Graph, Link } from "./graph";
import { type Box, CARD, type Placed } from "./layout";

export type Camera = { x: number; y: number; zoom: number };
export type Curve = { x: [number, number, number, number]; y: [number, number, number, number]; way: 1 | -1 };
export type Scene = {
  graph: Graph;
  placed: Placed;
  curves: Map<string, Curve>;
  /** Id of the card or link that is picked, and of the one under the pointer. */
  picked: string;
  hovered: string;
  label: (link: Link) => string;
};
export type Colours = Record<"ground" | "card" | "island" | "border" | "text" | "quiet" | "link" | "accent" | "bad" | "denied" | "warn" | "ok", string>;

const DASHES: Partial<Record<CauseKind, number[]>> = {
  DENIED_BY_RULE: [7, 4],
  DENIED_BY_DEFAULT: [7, 4],
  UNANSWERED: [2, 4],
  DROPPED: [10, 3, 2, 3],
};

/** Below it, names cannot be read. */
const NAMES = 0.42;
/** Links that may all have a label without one covering another much. */
const LABELLED = 120;

export function colours(element: Element): Colours {
  const style = getComputedStyle(element);
  const of = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return {
    ground: of("ground"),
    card: of("card"),
    island: of("island"),
    border: of("border"),
    text: of("text"),
    quiet: of("quiet"),
    link: of("link"),
    accent: of("accent"),
    bad: of("bad"),
    denied: of("denied"),
    warn: of("warn"),
    ok: of("ok"),
  };
}

/** The way of a link between two cards: from side to side, or around where one is above the other. */
export function curve(from: Box, to: Box): Curve {
  const [fy, ty] = [from.y + from.height / 2, to.y + to.height / 2];
  if (from.x === to.x && from.y === to.y) {
    const x = from.x + from.width;
    return { x: [x, x + 44, x + 44, x], y: [fy - 12, fy - 14, fy + 14, fy + 12], way: -1 };
  }
  if (to.x >= from.x + from.width) return across(from.x + from.width, fy, to.x, ty, 1);
  if (to.x + to.width <= from.x) return across(from.x, fy, to.x + to.width, ty, -1);
  const [x1, x2] = [from.x + from.width, to.x + to.width];
  const bulge = Math.max(x1, x2) + Math.min(40, 18 + Math.abs(ty - fy) / 12);
  return { x: [x1, bulge, bulge, x2], y: [fy, fy, ty, ty], way: -1 };
}

function across(x1: number, y1: number, x2: number, y2: number, way: 1 | -1): Curve {
  const pull = way * Math.max(24, Math.abs(x2 - x1) * 0.45);
  // On one height with cards between, above them: else it would seem to begin at the last of these.
  const lift = Math.abs(y2 - y1) < 4 && Math.abs(x2 - x1) > CARD.width ? (CARD.height + CARD.gapY) * 0.68 : 0;
  return { x: [x1, x1 + pull, x2 - pull, x2], y: [y1, y1 - lift, y2 - lift, y2], way };
}

export function at(of: [number, number, number, number], t: number): number {
  const s = 1 - t;
  return s * s * s * of[0] + 3 * s * s * t * of[1] + 3 * s * t * t * of[2] + t * t * t * of[3];
}

/** A part of the world is in sight. */
type Sight = { x1: number; y1: number; x2: number; y2: number };

const sees = (sight: Sight, x1: number, y1: number, x2: number, y2: number): boolean => x2 >= sight.x1 && x1 <= sight.x2 && y2 >= sight.y1 && y1 <= sight.y2;

const touches = (link: Link, id: string): boolean => link.id === id || link.from === id || link.to === id;

export function draw(context: CanvasRenderingContext2D, scene: Scene, camera: Camera, size: { width: number; height: number }, of: Colours, ratio: number): void {
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = of.ground;
  context.fillRect(0, 0, size.width, size.height);
  context.setTransform(ratio * camera.zoom, 0, 0, ratio * camera.zoom, -camera.x * camera.zoom * ratio, -camera.y * camera.zoom * ratio);
  const sight = { x1: camera.x, y1: camera.y, x2: camera.x + size.width / camera.zoom, y2: camera.y + size.height / camera.zoom };
  islands(context, scene, camera, sight, of);
  links(context, scene, camera, sight, of);
  names(context, scene, camera, sight, of);
  cards(context, scene, camera, sight, of);
}

function islands(context: CanvasRenderingContext2D, scene: Scene, camera: Camera, sight: Sight, of: Colours): void {
  context.lineWidth = 1 / camera.zoom;
  for (const box of scene.placed.islands.values()) {
    if (!sees(sight, box.x, box.y, box.x + box.width, box.y + box.height)) continue;
    context.fillStyle = of.island;
    context.strokeStyle = of.border;
    context.beginPath();
    context.roundRect(box.x, box.y, box.width, box.height, 10);
    context.fill();
    context.stroke();
  }
}

/** Over links, which would cross them out. */
function names(context: CanvasRenderingContext2D, scene: Scene, camera: Camera, sight: Sight, of: Colours): void {
  const height = Math.max(13, 12 / camera.zoom);
  const inside = camera.zoom >= 0.8;
  context.font = `600 ${height}px system-ui, sans-serif`;
  context.textBaseline = "alphabetic";
  context.lineWidth = 4 / Math.min(1, camera.zoom);
  context.lineJoin = "round";
  context.strokeStyle = inside ? of.island : of.ground;
  context.fillStyle = of.quiet;
  for (const [name, box] of scene.placed.islands) {
    if (!sees(sight, box.x, box.y - 40, box.x + box.width, box.y + box.height)) continue;
    const text = inside ? name : fitted(context, name, box.width);
    const [x, y] = [box.x + (inside ? 16 : 2), inside ? box.y + 22 : box.y - height * 0.4];
    context.strokeText(text, x, y);
    context.fillText(text, x, y);
  }
}

function fitted(context: CanvasRenderingContext2D, text: string, width: number): string {
  if (context.measureText(text).width <= width) return text;
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (context.measureText(`${text.slice(0, middle)}…`).width <= width) low = middle;
    else high = middle - 1;
  }
  return low > 0 ? `${text.slice(0, low)}…` : "";
}

export function width(attempts: number, most: number): number {
  return 0.8 + (2.7 * Math.log1p(attempts)) / Math.max(1, Math.log1p(most));
}

function links(context: CanvasRenderingContext2D, scene: Scene, camera: Camera, sight: Sight, of: Colours): void {
  const focus = scene.picked || scene.hovered;
  const most = scene.graph.links.reduce((sum, link) => Math.max(sum, link.attempts), 0);
  const visible = scene.graph.links.filter((link) => {
    const curve = scene.curves.get(link.id);
    return curve && sees(sight, Math.min(...curve.x), Math.min(...curve.y), Math.max(...curve.x), Math.max(...curve.y));
  });
  // What is well first, so that nothing covers what fails.
  const order = (link: Link): number => (focus && touches(link, focus) ? 2 : link.cause ? 1 : 0);
  visible.sort((a, b) => order(a) - order(b));
  for (const link of visible) {
    const curve = scene.curves.get(link.id);
    if (!curve) continue;
    const near = focus !== "" && touches(link, focus);
    const tone = link.cause ? of[CAUSES[link.cause].tone] : near ? of.accent : of.link;
    context.globalAlpha = focus ? (near ? 1 : 0.12) : link.cause ? 0.95 : visible.length > 600 ? 0.28 : 0.55;
    context.strokeStyle = tone;
    context.lineWidth = width(link.attempts, most) / Math.max(0.5, camera.zoom);
    context.setLineDash(link.cause ? (DASHES[link.cause] ?? []) : []);
    context.beginPath();
    context.moveTo(curve.x[0], curve.y[0]);
    context.bezierCurveTo(curve.x[1], curve.y[1], curve.x[2], curve.y[2], curve.x[3], curve.y[3]);
    context.stroke();
    if (camera.zoom > 0.3) head(context, curve, tone, 5 + context.lineWidth);
  }
  context.setLineDash([]);
  context.globalAlpha = 1;
  if (camera.zoom < 0.3) return;
  const labelled = visible.length <= LABELLED && camera.zoom >= NAMES;
  for (const link of visible) {
    const near = focus !== "" && touches(link, focus);
    if (focus !== "" && !near) continue;
    const text = labelled || (near && camera.zoom >= NAMES) ? scene.label(link) : "";
    const shape = link.cause ? CAUSES[link.cause].shape : "";
    if (text || shape) tag(context, scene, link, [shape, text].filter(Boolean).join(" "), of);
  }
}

function head(context: CanvasRenderingContext2D, curve: Curve, tone: string, length: number): void {
  const [x, y] = [curve.x[3], curve.y[3]];
  const back = x - curve.way * length;
  context.fillStyle = tone;
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(back, y - length / 2);
  context.lineTo(back, y + length / 2);
  context.fill();
}

function tag(context: CanvasRenderingContext2D, scene: Scene, link: Link, text: string, of: Colours): void {
  const curve = scene.curves.get(link.id);
  if (!curve) return;
  const [x, y] = [at(curve.x, 0.5), at(curve.y, 0.5)];
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  const wide = context.measureText(text).width + 8;
  context.fillStyle = of.ground;
  context.beginPath();
  context.roundRect(x - wide / 2, y - 8, wide, 16, 8);
  context.fill();
  context.fillStyle = link.cause ? of[CAUSES[link.cause].tone] : of.quiet;
  context.fillText(text, x - wide / 2 + 4, y + 0.5);
}

function cards(context: CanvasRenderingContext2D, scene: Scene, camera: Camera, sight: Sight, of: Colours): void {
  const focus = scene.picked || scene.hovered;
  const near = new Set<string>();
  if (focus) for (const link of scene.graph.links) if (touches(link, focus)) near.add(link.from).add(link.to);
  for (const card of scene.graph.cards) {
    const box = scene.placed.cards.get(card.id);
    if (!box || !sees(sight, box.x, box.y, box.x + box.width, box.y + box.height)) continue;
    const isPicked = card.id === scene.picked;
    context.globalAlpha = focus && !near.has(card.id) && card.id !== focus ? 0.45 : 1;
    context.fillStyle = of.card;
    context.strokeStyle = isPicked || card.id === scene.hovered ? of.accent : card.failed > 0 ? of.bad : of.border;
    context.lineWidth = (isPicked ? 2.5 : 1.25) / Math.min(1, camera.zoom * 1.4);
    context.beginPath();
    context.roundRect(box.x, box.y, box.width, box.height, 7);
    context.fill();
    context.stroke();
    if (camera.zoom >= NAMES) words(context, card, box, of);
    else if (card.failed > 0) {
      context.fillStyle = of.bad;
      context.fillRect(box.x, box.y, 14, box.height);
    }
  }
  context.globalAlpha = 1;
}

function words(context: CanvasRenderingContext2D, card: Card, box: Box, of: Colours): void {
  context.textBaseline = "alphabetic";
  context.font = "600 12.5px system-ui, sans-serif";
  context.fillStyle = of.text;
  context.fillText(fitted(context, card.name, box.width - 30), box.x + 10, box.y + 19);
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = of.quiet;
  const ports = card.ports.slice(0, 3).map((number) => String(number));
  const more = card.ports.length > 3 ? " …" : "";
  context.fillText(ports.length > 0 ? `:${ports.join(" :")}${more}` : "asks only", box.x + 10, box.y + 36);
  if (card.failed > 0) {
    context.fillStyle = of.bad;
    context.font = "12px system-ui, sans-serif";
    context.fillText("▲", box.x + box.width - 19, box.y + 19);
  }
}

/** What lies under a point of the world: a card, or else a link that is near. */
export function under(scene: Scene, x: number, y: number, near: number): string {
  for (const [id, box] of scene.placed.cards) {
    if (x >= box.x && x <= box.x + box.width && y >= box.y && y <= box.y + box.height) return id;
  }
  let [found, least] = ["", near * near];
  for (const link of scene.graph.links) {
    const curve = scene.curves.get(link.id);
    if (!curve || !sees({ x1: x - near, y1: y - near, x2: x + near, y2: y + near }, Math.min(...curve.x), Math.min(...curve.y), Math.max(...curve.x), Math.max(...curve.y))) continue;
    for (let step = 0; step <= 24; step += 1) {
      const [dx, dy] = [at(curve.x, step / 24) - x, at(curve.y, step / 24) - y];
      const distance = dx * dx + dy * dy;
      if (distance < least) [found, least] = [link.id, distance];
    }
  }
  return found;
}

export const ports = (link: Link): string => [...new Set(link.rows.map((row) => port(row.edge?.port, row.edge?.protocol)))].join(", ");
