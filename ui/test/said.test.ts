import { describe, expect, it } from "vitest";
import type { Row, Topic } from "../src/api";
import { worstCause } from "../src/edges";
import { call, coded, dnsAnswers, dnsFailed, dnsType, httpAnswers, httpErrors, httpFailed, kafkaErrors, kafkaFailed, missing, notSeen, ofClass, quantiles, summary, topicName, uses } from "../src/said";

const party = (name: string) => ({ namespace: "shop", name });
const edge = { source: party("web"), destination: party("api"), port: 80, protocol: 6 };

describe("what is said", () => {
  it("tells whose fault a request's answer is", () => {
    const of = { requests: "10", status: [{ code: 200, count: "4" }, { code: 404, count: "2" }, { code: 500, count: "1" }], grpc: [{ count: "3" }, { code: 5, count: "1" }, { code: 14, count: "1" }], unanswered: "1" };
    expect(httpFailed(of)).toBe(3);
    expect(httpErrors(of)).toBe(6);
    expect([2, 3, 4, 5].map((digit) => ofClass(of, digit))).toEqual([4, 0, 2, 1]);
    expect(httpAnswers(of)[0]).toEqual(["200", 4]);
    expect(httpAnswers(of)).toContainEqual(["gRPC UNAVAILABLE", 1]);
    expect(httpFailed(undefined) + httpErrors(undefined)).toBe(0);
  });

  it("does not count the tries of a search list as failures", () => {
    const of = { questions: "9", codes: [{ count: "3" }, { code: 3, count: "4" }, { code: 5, count: "1" }], searched: "3", timeouts: "1" };
    expect(missing(of)).toBe(1);
    expect(dnsFailed(of)).toBe(3);
    expect(missing({ codes: [{ code: 3, count: "1" }], searched: "2" })).toBe(0);
    expect(dnsAnswers(of).map(([name]) => name)).toEqual(["NXDOMAIN", "NOERROR", "REFUSED", "time-out"]);
    expect([dnsType(28), dnsType(undefined), dnsType(99)]).toEqual(["AAAA", "", "TYPE99"]);
  });

  it("names causes with the codes of their answers", () => {
    expect(coded({ kind: "HTTP_ERROR", code: 503 })).toBe("HTTP 503");
    expect(coded({ kind: "GRPC_ERROR", code: 14 })).toBe("gRPC UNAVAILABLE");
    expect(coded({ kind: "DNS_ERROR", code: 2 })).toBe("DNS SERVFAIL");
    expect(coded({ kind: "KAFKA_ERROR", code: 3 })).toBe("Kafka error 3");
    expect(coded({ kind: "REFUSED" })).toBeUndefined();
  });

  it("has a row for each way in which a topic is used", () => {
    const topics: Topic[] = [
      { edge, counters: { topic: "orders", produces: "4", produced_octets: "400", fetches: "2", groups: [{ name: "mail" }], errors: [{ code: 3, count: "1" }], unanswered: "2" } },
      { edge, counters: { id: "f00", others: "1" } },
      { edge, counters: { fetches: "3", others: "5" } },
    ];
    const all = uses(topics);
    expect(all.map((of) => [of.topic, of.does, of.groups.join(), of.requests])).toEqual([
      ["orders", "produces", "", 4],
      ["orders", "fetches", "mail", 2],
      ["(id f00)", "other", "", 1],
      ["(unknown)", "fetches", "", 3],
      ["(none)", "other", "", 5],
    ]);
    expect(kafkaErrors(topics[0]?.counters)).toEqual([["no answer", 2], ["UNKNOWN_TOPIC_OR_PARTITION", 1]]);
    expect(kafkaFailed(topics[0]?.counters)).toBe(3);
    expect(topicName({})).toBe("(none)");
    expect(call({})).toBe("(not seen)");
  });

  it("says of which connections requests are not seen, and why", () => {
    const pay = { service: "shop/pay", port: 443, connections: "100", encrypted: "92", server_names: [{ name: "pay.example.com", count: "92" }], other: "8" };
    expect(notSeen(pay)).toBe("shop/pay:443: of 100 connections 92.0 % encrypted, SNI pay.example.com; 8.0 % not understood");
    expect(notSeen({ destination: { name: "host" }, port: 22, connections: "2", host_network: "2" })).toBe("host:22: of 2 connections 100.0 % between networks of nodes: not looked at");
  });

  it("is summed up for an edge, without the waiting of fetches", () => {
    const took = (bucket: number, count: string) => ({ bucket: [bucket], count: [count] });
    const row: Row = {
      edge,
      http: [{ requests: "8", status: [{ code: 500, count: "1" }], latency: took(400, "8") }],
      dns: [{ questions: "2", timeouts: "1", latency: took(300, "1") }],
      kafka: [{ produces: "1", fetches: "1", produce_latency: took(350, "1"), fetch_latency: took(700, "1") }],
      tls: [{ handshakes: "1" }],
      served: took(390, "8"),
    };
    const of = summary(row);
    expect(of.protocols).toEqual(["HTTP", "DNS", "Kafka", "TLS"]);
    expect([of.requests, of.failed]).toEqual([12, 2]);
    expect([...of.latency.keys()].sort()).toEqual([300, 350, 400]);
    expect(of.shares?.server).toBeGreaterThan(of.shares?.network ?? 0);
    expect(summary({ edge })).toMatchObject({ protocols: [], requests: 0 });
    expect(summary({ edge }).shares).toBeUndefined();
    expect(quantiles(took(400, "5"))?.p50).toBe(quantiles(took(400, "5"))?.p99);
    expect(quantiles(undefined)).toBeUndefined();
  });

  it("makes an edge bad only where more than one of a hundred fails", () => {
    const row = (count: string): Row => ({ edge, http: [{ requests: "1000" }], failures: [{ cause: { kind: "HTTP_ERROR" }, count }] });
    expect(worstCause([row("10")])).toBeUndefined();
    expect(worstCause([row("11")])).toBe("HTTP_ERROR");
    expect(worstCause([{ ...row("1"), failures: [{ cause: { kind: "REFUSED" }, count: "1" }] }])).toBe("REFUSED");
  });

  it("is no failure of an edge where all of it is excused", () => {
    const row = (excused: string): Row => ({ edge, failures: [{ cause: { kind: "DNS_NO_SUCH_NAME" }, count: "3", excused }] });
    expect(worstCause([row("3")])).toBeUndefined();
    expect(worstCause([row("2")])).toBe("DNS_NO_SUCH_NAME");
  });
});
