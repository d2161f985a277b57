import { describe, expect, it } from "vitest";
import type { Party, Row } from "../src/api";
import { curve } from "../src/map/draw";
import { NODES, WORLD_IN, WORLD_OUT, graph } from "../src/map/graph";
import { type Box, Layout } from "../src/map/layout";

const workload = (name: string): Party => {
  const [namespace = "", own = ""] = name.split("/");
  return { namespace, name: own };
};
const row = (from: Party, to: Party, more: Partial<Row> = {}): Row => ({ edge: { source: from, destination: to, port: 80, protocol: 6 }, counters: { opened: "1" }, ...more });
const chain = (names: string[]): Row[] => names.slice(1).map((name, index) => row(workload(names[index] ?? ""), workload(name)));
const overlap = (a: Box, b: Box): boolean => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

describe("the map", () => {
  it("splits the world into who comes and where one goes", () => {
    const world: Party = { kind: "ENTITY", name: "world" };
    const rows = [row(world, workload("a/x")), row(workload("a/x"), world), row(workload("a/x"), { kind: "DNS_NAME", name: "example.com" }), row({ kind: "ENTITY", name: "host" }, workload("a/x"))];
    const islands = new Map(graph(rows, "workload", false).cards.map((card) => [card.id, card.island]));
    expect(Object.fromEntries(islands)).toEqual({ "→ world": WORLD_IN, "← world": WORLD_OUT, "← example.com": WORLD_OUT, host: NODES, "a/x": "a" });
  });

  it("joins the ports between two ends to one link with the worst cause", () => {
    const bad = row(workload("a/x"), workload("a/y"), { counters: { opened: "4", refused: "3" }, failures: [{ cause: { kind: "REFUSED" }, count: "3" }] });
    const { links } = graph([row(workload("a/x"), workload("a/y")), bad], "workload", false);
    expect(links.map((link) => [link.attempts, link.failed, link.cause, link.rows.length])).toEqual([[5, 3, "REFUSED", 2]]);
    expect(graph([row(workload("a/x"), workload("a/y")), row(workload("a/y"), workload("a/z"))], "workload", true).cards).toEqual([]);
  });

  it("sums namespaces up", () => {
    const { cards, links } = graph(chain(["a/x", "b/y", "b/z"]), "namespace", false);
    expect(cards.map((card) => card.name)).toEqual(["a", "b"]);
    expect(links.map((link) => link.id)).toEqual(["a/ ⇒ b/", "b/ ⇒ b/"]);
  });

  it("puts who asks left of who is asked", () => {
    const placed = new Layout().place(graph(chain(["a/z", "a/m", "a/b"]), "workload", false));
    const x = (id: string): number => placed.cards.get(id)?.x ?? Number.NaN;
    expect(x("a/z")).toBeLessThan(x("a/m"));
    expect(x("a/m")).toBeLessThan(x("a/b"));
  });

  it("keeps every card where it is when others come and go in its island", () => {
    const layout = new Layout();
    const first = layout.place(graph(chain(["a/x", "a/y", "a/z"]), "workload", false));
    const more = [...chain(["a/x", "a/y", "a/z"]), ...chain(["a/a", "a/y"]), ...chain(["a/new", "a/z"])];
    const second = layout.place(graph(more, "workload", false));
    for (const id of ["a/x", "a/y", "a/z"]) expect(second.cards.get(id), id).toEqual(first.cards.get(id));
    const third = layout.place(graph(more.filter((of) => of.edge?.source?.name !== "x"), "workload", false));
    for (const id of ["a/y", "a/z", "a/new"]) expect(third.cards.get(id), id).toEqual(second.cards.get(id));
  });

  it("lets no two cards and no two islands overlap, circles or not", () => {
    const names = Array.from({ length: 60 }, (_, index) => `n${index % 7}/w${index}`);
    const rows = [...chain(names), ...chain([...names].reverse()), row(workload("n1/w1"), workload("n1/w1")), row({ kind: "ENTITY", name: "world" }, workload("n1/w1"))];
    const placed = new Layout().place(graph(rows, "workload", false));
    for (const boxes of [[...placed.cards.values()], [...placed.islands.values()]]) {
      for (const [index, a] of boxes.entries()) for (const b of boxes.slice(index + 1)) expect(overlap(a, b)).toBe(false);
    }
    expect(placed.cards.size).toBe(61);
  });

  it("draws a link from side to side, or around where one card is above the other", () => {
    const box = (x: number, y: number): Box => ({ x, y, width: 10, height: 10 });
    expect(curve(box(0, 0), box(50, 0))).toMatchObject({ way: 1, y: [5, 5, 5, 5] });
    expect(curve(box(50, 0), box(0, 0)).x[0]).toBe(50);
    expect(Math.min(...curve(box(0, 0), box(500, 0)).y)).toBeLessThan(-20);
    const around = curve(box(0, 0), box(0, 50));
    expect(Math.min(...around.x)).toBe(10);
  });
});
