// Occurrences of a failure, and the policies that are named in it.
import { For, type JSX, Show } from "solid-js";
import { type PolicyRef, type Sample, n } from "../api";
import { clock } from "../format";

export function Evidence(props: { samples: Sample[] }): JSX.Element {
  return (
    <Show when={props.samples.length > 0}>
      <h3>Evidence</h3>
      <table class="plain">
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">From</th>
            <th scope="col">To</th>
          </tr>
        </thead>
        <tbody>
          <For each={props.samples}>
            {(sample) => (
              <tr>
                <td class="number">{clock(n(sample.time_ns) / 1e6)}</td>
                <td>
                  <Show when={sample.source_pod}>
                    <div>{sample.source_pod}</div>
                  </Show>
                  <div class="quiet mono">{sample.source}</div>
                </td>
                <td>
                  <Show when={sample.destination_pod}>
                    <div>{sample.destination_pod}</div>
                  </Show>
                  <div class="quiet mono">{sample.destination}</div>
                </td>
              </tr>
            )}
          </For>
        </tbody>
      </table>
    </Show>
  );
}

export const policyName = (of: PolicyRef): string => `${of.kind ?? "policy"} ${of.namespace ? `${of.namespace}/` : ""}${of.name ?? ""}`;

export function Policies(props: { of: PolicyRef[]; title: string }): JSX.Element {
  return (
    <Show when={props.of.length > 0}>
      <h3>{props.title}</h3>
      <ul>
        <For each={props.of}>{(policy) => <li>{policyName(policy)}</li>}</For>
      </ul>
    </Show>
  );
}
