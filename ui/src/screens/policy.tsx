// What policies deny, grouped by the rule that is missing, and that rule.
import { For, type JSX, Match, Show, Switch, createEffect, createMemo, createSignal, on } from "solid-js";
import type { Flow, Party } from "../api";
import type { Answers } from "../data";
import { CAUSES, isDenied, shown } from "../edges";
import { recent } from "../flows";
import { age, clock, count, plural, port } from "../format";
import { Copy, Details, Facts } from "../parts/details";
import { Evidence, policyName } from "../parts/evidence";
import { None, Rows } from "../parts/rows";
import type { Column, Ends } from "../parts/table";
import { type Denial, missingRules, policy } from "../rule";
import { range, view } from "../view";
import { Who, matching } from "./failing";

function Cause(props: { of: Denial }): JSX.Element {
  const cause = () => (props.of.byRule ? CAUSES.DENIED_BY_RULE : CAUSES.DENIED_BY_DEFAULT);
  return (
    <span class={`cause ${cause().tone}`}>
      <span aria-hidden="true">{cause().shape}</span> {props.of.byRule ? "a rule denies" : "no rule allows"}
    </span>
  );
}

const peers = (of: Denial): string => of.peers.map(shown).join(", ");
const policies = (of: Denial): string => [...new Set(of.failures.flatMap((failure) => (failure.cause?.policies ?? []).map(policyName)))].join(", ");

const COLUMNS: Column<Denial>[] = [
  { name: "Why", cell: (of) => <Cause of={of} />, by: (of) => Number(of.byRule) },
  { name: "Attempts", number: true, cell: (of) => count(of.count), by: (of) => of.count },
  { name: "Of", title: "Whose policies decide", cell: (of) => shown(of.subject), by: (of) => shown(of.subject) },
  { name: "Direction", cell: (of) => of.direction, by: (of) => of.direction },
  { name: "Peers", wide: true, cell: peers, by: peers },
  { name: "Port", number: true, cell: (of) => port(of.port, of.protocol), by: (of) => of.port },
  { name: "Policies", minor: true, cell: policies, by: policies },
  { name: "Last", number: true, minor: true, cell: (of) => clock(of.last), by: (of) => of.last },
];

/** Who begins and who is asked. */
function ends(of: Denial): Ends {
  const [own, peer] = [shown(of.subject), shown(of.peers[0])];
  return of.direction === "egress" ? { from: own, to: peer } : { from: peer, to: own };
}

export function Policy(props: { answers: Answers }): JSX.Element {
  const answer = () => props.answers.failing();
  const rows = createMemo(() => missingRules(matching((answer().value?.failures ?? []).filter(isDenied))));
  return (
    <Rows
      answer={answer()}
      label="What is denied, by the rule that is missing"
      rows={rows()}
      columns={COLUMNS}
      key={(of) => of.id}
      ends={ends}
      none={<None what={view().q ? "Nothing that the filter lets through" : "Nothing is denied"} more="No policy denied anything in this time." />}
      details={(of) => <One of={of()} />}
    />
  );
}

function One(props: { of: Denial }): JSX.Element {
  const of = () => props.of;
  const side = () => (of().direction === "egress" ? "from" : "to");
  return (
    <Details title={<Cause of={of()} />} ends={ends(of())}>
      <For each={[...new Set(of().failures.map((failure) => failure.sentence ?? ""))]}>{(sentence) => <p class="sentence">{sentence}</p>}</For>
      <Facts
        of={[
          ["Of", <Who name={shown(of().subject)} side={side()} />],
          ["Direction", of().direction],
          ["Port", port(of().port, of().protocol)],
          ["Denied", plural(of().count, "attempt")],
          ["Last", `${clock(of().last)}, ${age(of().last)}`],
        ]}
      />
      <h3>{of().direction === "egress" ? "To whom" : "Who asks"}</h3>
      <ul>
        <For each={of().peers}>
          {(peer) => (
            <li>
              <Who name={shown(peer)} side={side() === "from" ? "to" : "from"} />
            </li>
          )}
        </For>
      </ul>
      <Show when={!of().byRule} fallback={<Forbidden of={of()} />}>
        <Rule of={of()} />
      </Show>
      <Evidence samples={of().failures.flatMap((failure) => failure.samples ?? []).slice(0, 6)} />
    </Details>
  );
}

/** What a rule denies, no other can allow. */
function Forbidden(props: { of: Denial }): JSX.Element {
  const all = () => [...new Map(props.of.failures.flatMap((failure) => failure.cause?.policies ?? []).map((one) => [policyName(one), one])).values()];
  return (
    <>
      <h3>To allow it</h3>
      <p>No rule can be added: what one denies stands above all that allow. The rule itself has to change.</p>
      <For each={all().map((one) => `kubectl ${one.namespace ? `-n ${one.namespace} ` : ""}edit ${(one.kind ?? "").toLowerCase()} ${one.name ?? ""}`)}>
        {(text) => (
          <>
            <code class="command">{text}</code>
            <Copy text={text} label="Copy" />
          </>
        )}
      </For>
    </>
  );
}

/** Flows of a workload, as they are filtered by; a pod that nobody owns is its own, and a filter takes the beginning of its name. */
function ofWorkload(party: Party | undefined): Record<string, unknown>[][] {
  const [namespace, name] = [party?.namespace ?? "", party?.name ?? ""];
  const sides = ["source", "destination"];
  return [sides.map((side) => ({ [`${side}_pod`]: [`${namespace}/`], [`${side}_workload`]: [{ name }] })), sides.map((side) => ({ [`${side}_pod`]: [`${namespace}/${name}`] }))];
}

/** Flows of one workload that are looked at: the beginning of a name is also that of others. */
const LOOKED_AT = 5;

/** Flows of the workloads of a denial: labels stand in them. */
async function flowsOf(denial: Denial): Promise<Flow[]> {
  const { since, until } = range({ ...view(), at: view().at || new Date().toISOString() });
  const named = [denial.subject, ...denial.peers].filter((party) => party?.namespace);
  const asked = named.flatMap((party) => ofWorkload(party).map((filters) => recent(filters, since, until, LOOKED_AT)));
  return (await Promise.all(asked)).flat();
}

/** The rule that would allow it, as soon as the labels are known. */
function Rule(props: { of: Denial }): JSX.Element {
  const [flows, setFlows] = createSignal<Flow[] | undefined>();
  const [fault, setFault] = createSignal("");
  const about = createMemo(() => [props.of.id, peers(props.of)].join(" "));
  createEffect(
    on(about, (asked) => {
      setFlows(undefined);
      setFault("");
      void flowsOf(props.of)
        .then((found) => about() === asked && setFlows(found))
        .catch((error: Error) => about() === asked && setFault(error.message));
    }),
  );
  const rule = createMemo(() => {
    const known = flows();
    return known && policy(props.of, known);
  });
  const unknown = () => {
    const made = rule();
    return made && "unknown" in made ? made.unknown : undefined;
  };
  const yaml = () => {
    const made = rule();
    return made && "yaml" in made ? made.yaml : undefined;
  };
  return (
    <>
      <h3>Add this rule</h3>
      <Switch fallback={<p class="quiet">Looking for labels …</p>}>
        <Match when={fault()}>{(text) => <p class="quiet">{`Labels cannot be looked up: ${text()}.`}</p>}</Match>
        <Match when={unknown()}>{(who) => <p class="quiet">{`No flow of ${who()} of this time is kept any more, so its labels are not known.`}</p>}</Match>
        <Match when={yaml()}>
          {(text) => (
            <>
              <code class="command yaml">{text()}</code>
              <Copy text={text()} label="Copy the rule" />
              <Show when={text().includes("toFQDNs")}>
                <p class="quiet">Names are known only where a rule lets questions to DNS servers be read.</p>
              </Show>
            </>
          )}
        </Match>
      </Switch>
    </>
  );
}
