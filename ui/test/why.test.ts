import { describe, expect, it } from "vitest";
import type { Failure, Row } from "../src/api";
import { chain, isNameOf, pair, verdict } from "../src/why";

const party = (name: string) => (name.includes("/") ? { namespace: name.split("/")[0] ?? "", name: name.split("/")[1] ?? "" } : { name });
const edge = (from: string, to: string, service = "") => ({ source: party(from), destination: party(to), port: 80, protocol: 6, ...(service ? { service } : {}) });
const none = { map: undefined, failing: undefined, dns: undefined };
const states = (steps: ReturnType<typeof chain>) => steps.map((of) => of.state);

describe("why two can or cannot talk", () => {
  it("tells apart who begins and who is asked, and who is not chosen yet", () => {
    expect(pair("shop/web..shop/api")).toEqual({ from: "shop/web", to: "shop/api" });
    expect(pair("shop/web..payments.example.com")).toEqual({ from: "shop/web", to: "payments.example.com" });
    expect(pair("shop/web..")).toEqual({ from: "shop/web", to: "" });
    expect(pair("")).toBeUndefined();
    expect(pair("..x")).toBeUndefined();
  });

  it("knows by which names somebody is asked for", () => {
    for (const name of ["api", "api.shop", "api.shop.svc.cluster.local.", "API.shop.svc.cluster.local", "api-0.api.shop.svc.cluster.local"]) expect(isNameOf(name, "shop/api"), name).toBe(true);
    for (const name of ["api.lab", "apiary.shop", "my-api.shop.svc.cluster.local", ""]) expect(isNameOf(name, "shop/api"), name).toBe(false);
    expect(isNameOf("www.example.com.", "www.example.com")).toBe(true);
    expect(isNameOf("www.example.com.evil.test", "www.example.com")).toBe(false);
  });

  it("knows nothing of what nobody tells", () => {
    const steps = chain("shop/api", none);
    expect(states(steps)).toEqual(["unknown", "unknown", "unknown", "unknown", "unknown"]);
    expect(verdict(steps, undefined)).toEqual({ state: "unknown", sentence: "Nothing was seen between the two in this time." });
  });

  it("finds the step that fails, its cause and whose fault it is, and leaves others' failures out", () => {
    const rows: Row[] = [
      { edge: edge("a/x", "shop/api"), counters: { opened: "100", answered: "60", refused: "40" }, connect: { bucket: [300], count: [60] } },
      { edge: edge("a/x", "shop/other"), counters: { opened: "10", denied: "10" } },
    ];
    const failures: Failure[] = [
      { edge: edge("a/x", "shop/api"), cause: { kind: "REFUSED" }, layer: "L4", fault: "FAULT_SERVER", sentence: "nothing listens on port 80 of shop/api", count: "40", attempts: "100" },
      { edge: edge("a/x", "shop/api"), cause: { kind: "RESET_BY_SERVER" }, layer: "L4", count: "3" },
      { edge: edge("a/x", "shop/other"), cause: { kind: "DENIED_BY_RULE" }, layer: "L4", count: "10" },
    ];
    const steps = chain("shop/api", { map: { edges: rows }, failing: { failures }, dns: { lookups: [] } });
    expect(states(steps)).toEqual(["unknown", "ok", "bad", "unknown", "unknown"]);
    expect(steps[2]?.says).toBe("40 refused of 100");
    expect(steps[2]?.failures).toEqual([failures[0]]);
    expect(verdict(steps, undefined)).toEqual({ state: "bad", sentence: "It fails at the connection: nothing listens on port 80 of shop/api. Fault: server." });
  });

  it("calls few failures among many few", () => {
    const rows: Row[] = [{ edge: edge("a/x", "b/y"), counters: { opened: 1000, answered: 999, unanswered: 1 } }];
    const failures: Failure[] = [{ edge: edge("a/x", "b/y"), cause: { kind: "UNANSWERED" }, layer: "L4", count: 1, attempts: 1000 }];
    const steps = chain("b/y", { ...none, map: { edges: rows }, failing: { failures } });
    expect(steps[2]?.says).toBe("1 unanswered of 1,000");
    expect(steps[2]?.state).toBe("warn");
  });

  it("knows of what is not answered that the policies of the other node deny it", () => {
    const rows: Row[] = [{ edge: edge("a/x", "b/y"), counters: { opened: 20, unanswered: 20 } }];
    const failures: Failure[] = [{ edge: edge("a/x", "b/y"), cause: { kind: "DENIED_BY_RULE", direction: "INGRESS" }, layer: "L4", fault: "FAULT_POLICY", sentence: "CiliumNetworkPolicy b/p denies it", count: 20, attempts: 20 }];
    const steps = chain("b/y", { ...none, map: { edges: rows }, failing: { failures } });
    expect(states(steps)).toEqual(["unknown", "bad", "unknown", "unknown", "unknown"]);
    expect([steps[1]?.says, steps[2]?.says]).toEqual(["20 of 20 attempts denied", "None was begun"]);
    expect(verdict(steps, undefined).sentence).toBe("It fails at policy: CiliumNetworkPolicy b/p denies it. Fault: policy.");
  });

  it("looks for names that fail by the service too, though nobody was connected to", () => {
    const counters = { name: "store.shop.svc.cluster.local", questions: 4, codes: [{ code: 2, count: 4 }] };
    const failure: Failure = { edge: edge("a/x", "shop/dns"), cause: { kind: "DNS_ERROR", name: counters.name, code: 2 }, layer: "L7", fault: "FAULT_DNS", sentence: "SERVFAIL", count: 4, attempts: 4 };
    const steps = chain("shop/store", { map: { edges: [] }, failing: { failures: [failure] }, dns: { lookups: [{ edge: edge("a/x", "shop/dns"), counters }] } });
    expect(states(steps)).toEqual(["bad", "unknown", "unknown", "unknown", "unknown"]);
    expect(verdict(steps, undefined).sentence).toBe("It fails at the name: SERVFAIL. Fault: DNS.");
    const through = chain("shop/store-0", { map: { edges: [{ edge: edge("a/x", "shop/store-0", "shop/store") }] }, failing: undefined, dns: { lookups: [{ counters }] } });
    expect(through[0]?.state).toBe("bad");
  });

  it("counts what a DNS server itself is asked as requests", () => {
    const rows: Row[] = [{ edge: edge("a/x", "kube-system/coredns"), counters: { opened: 3, answered: 3 }, dns: [{ name: "b.test", questions: 3, codes: [{ code: 2, count: 3 }] }] }];
    const steps = chain("kube-system/coredns", { ...none, map: { edges: rows } });
    expect(states(steps)).toEqual(["unknown", "ok", "ok", "unknown", "bad"]);
    expect(steps[4]?.says).toBe("3 of 3 over DNS failed (100.0 %)");
  });
});
