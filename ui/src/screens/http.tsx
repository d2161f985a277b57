// What is requested over HTTP, by method and path, and how it is answered.
import { For, type JSX, createMemo } from "solid-js";
import { type Requests, n } from "../api";
import type { Answers } from "../data";
import { shown, spanOf } from "../edges";
import { bytes, count, duration, plural, rate, share } from "../format";
import { parse, selects } from "../language";
import { Details, Facts } from "../parts/details";
import { Bad, Chips, Counted, Seen, durations, timed } from "../parts/said";
import { FILTERED, None, Rows } from "../parts/rows";
import type { Column } from "../parts/table";
import { asked, call, httpAnswers, httpErrors, httpFailed, notSeen, ofClass, quantiles } from "../said";
import { Who } from "./failing";
import { view } from "../view";

/** Services that are named of which not all connections were read. */
const UNREAD = 3;

const key = (of: Requests): string => `${asked(of)} ${shown(of.destination)} ${of.port ?? 0} ${call(of.counters)}`;
const callers = (of: Requests): string => (of.callers ?? []).map((caller) => shown(caller.party)).join(", ");
const errorShare = (of: Requests): number => httpErrors(of.counters) / Math.max(1, n(of.counters?.requests));

function columns(seconds: number): Column<Requests>[] {
  const ofAnswers = (digit: number): Column<Requests> => ({
    name: `${digit}xx`,
    number: true,
    minor: digit < 4,
    cell: (of) => (digit < 4 ? count(ofClass(of.counters, digit)) : <Bad of={ofClass(of.counters, digit)} tone={digit === 4 ? "warn" : "bad"} />),
    by: (of) => ofClass(of.counters, digit),
  });
  return [
    { name: "To", cell: asked, by: asked },
    {
      name: "Method and path",
      wide: true,
      cell: (of) => (
        <span class="mono">
          <span class="quiet">{of.counters?.method}</span> {of.counters?.path || "(not seen)"}
        </span>
      ),
      by: (of) => of.counters?.path ?? "",
    },
    { name: "Req/s", number: true, cell: (of) => rate(n(of.counters?.requests) / seconds), by: (of) => n(of.counters?.requests) },
    ...[2, 3, 4, 5].map(ofAnswers),
    { name: "None", number: true, minor: true, title: "Without an answer: the connection ended before it", cell: (of) => <Bad of={n(of.counters?.unanswered)} />, by: (of) => n(of.counters?.unanswered) },
    {
      name: "Errors",
      number: true,
      title: "Share of requests that were not answered well, whoever is at fault",
      cell: (of) => <span class={httpFailed(of.counters) > 0 ? "cause bad" : httpErrors(of.counters) > 0 ? "cause warn" : "quiet"}>{share(httpErrors(of.counters), n(of.counters?.requests))}</span>,
      by: errorShare,
    },
    ...timed<Requests>((of) => of.counters?.latency, ["p50", "p95", "p99"], "From the first octet of the request to that of the answer"),
    { name: "Callers", minor: true, cell: callers, by: callers },
  ];
}

export function Http(props: { answers: Answers }): JSX.Element {
  const answer = () => props.answers.http();
  const rows = createMemo(() => {
    const filter = parse(view().q);
    return (answer().value?.requests ?? []).filter((of) => selects(filter, { text: `${key(of)} ${callers(of)}`, port: `${of.port ?? 0}/TCP` }));
  });
  const all = createMemo(() => columns(spanOf(answer().value)));
  const encrypted = () => n(answer().value?.encrypted);
  const unread = () => {
    const all = (answer().value?.unread ?? []).slice(0, UNREAD).map(notSeen);
    return all.length > 0 ? ` Not seen at ${all.join(". At ")}.` : "";
  };
  return (
    <Rows
      answer={answer()}
      label="Requests over HTTP" rows={rows()} columns={all()} key={key}
      head={<Chips bad="Not answered well" />}
      none={<None what={view().bad ? "Every request was answered well" : "No request over HTTP was seen"} more={encrypted() > 0 ? `${plural(encrypted(), "connection")} of this time ${encrypted() === 1 ? "is" : "are"} encrypted (TLS): their requests are not seen.${unread()}` : `${FILTERED}${unread()}`} />}
      foot={<Seen
          of={answer().value?.completeness}
          count={rows().reduce((sum, of) => sum + n(of.counters?.requests), 0)}
          what="request"
          more={encrypted() > 0 ? `${plural(encrypted(), "connection")} more ${encrypted() === 1 ? "is" : "are"} encrypted (TLS): what they ask is not seen.${unread()}` : `None of the connections is encrypted.${unread()}`}
        />}
      details={(of) => <One of={of()} seconds={spanOf(answer().value)} />}
    />
  );
}

function One(props: { of: Requests; seconds: number }): JSX.Element {
  const counters = () => props.of.counters;
  const requests = () => n(counters()?.requests);
  const served = () => quantiles(props.of.served);
  return (
    <Details title={<span class="mono">{call(counters())}</span>}>
      <Facts
        of={[
          ["To", <Who name={asked(props.of)} side="to" />],
          ["Workload", props.of.service ? shown(props.of.destination) : undefined],
          ["Port", props.of.port ? String(props.of.port) : undefined],
          ["Requests", `${count(requests())} (${rate(requests() / props.seconds)}/s)`],
          ["Not answered well", `${count(httpErrors(counters()))} (${share(httpErrors(counters()), requests())})`],
          ["Server at fault", httpFailed(counters()) > 0 ? count(httpFailed(counters())) : undefined],
          ...durations(counters()?.latency),
          ["At the server, p95", served() ? duration(served()?.p95 ?? 0) : undefined],
          ["Bodies", `${bytes(n(counters()?.request_octets))} asked, ${bytes(n(counters()?.response_octets))} answered`],
        ]}
      />
      <Counted title="Answers" of={httpAnswers(counters())} all={requests()} />
      <h3>Callers with the most requests</h3>
      <ul>
        <For each={props.of.callers ?? []}>
          {(caller) => (
            <li>
              <Who name={shown(caller.party)} side="from" /> <span class="quiet">{count(n(caller.requests))}</span>
            </li>
          )}
        </For>
      </ul>
    </Details>
  );
}
