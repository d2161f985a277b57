// A screen of rows: what of it is asked for above, the rows with the one that is open beside them, how much was seen below.
import { type Accessor, type JSX, Show, createMemo } from "solid-js";
import type { Completeness } from "../api";
import type { Asked } from "../poll";
import { view } from "../view";
import { Answered, Whole } from "./states";
import { type Column, type Ends, Table } from "./table";

export function Rows<T>(props: {
  answer: Asked<object>;
  label: string;
  rows: T[];
  columns: Column<T>[];
  key: (row: T) => string;
  /** Who the row is about, where it is about two. */
  ends?: (row: T) => Ends | undefined;
  /** What stands where there are no rows. */
  none: JSX.Element;
  head?: JSX.Element;
  foot?: JSX.Element;
  details: (row: Accessor<T>) => JSX.Element;
}): JSX.Element {
  // What is open stays while answers come: it may have the focus.
  const picked = createMemo(() => props.rows.find((row) => props.key(row) === view().pick));
  return (
    <section class="screen">
      {props.head}
      <Whole of={props.answer.value as { completeness?: Completeness } | undefined} />
      <div class="split">
        <Answered asked={props.answer} empty={props.rows.length === 0} none={props.none}>
          <Table label={props.label} rows={props.rows} columns={props.columns} key={props.key} {...(props.ends ? { ends: props.ends } : {})} />
        </Answered>
        <Show when={picked()}>{(row) => props.details(row)}</Show>
      </div>
      <Show when={props.rows.length > 0}>{props.foot}</Show>
    </section>
  );
}

/** What stands where there are no rows: what that means, and of what it is true. */
export function None(props: { what: string; more?: JSX.Element }): JSX.Element {
  return (
    <>
      <p class="big">{props.what}</p>
      <Show when={props.more}>
        <p class="quiet">{props.more}</p>
      </Show>
    </>
  );
}

export const FILTERED = "In this time, by those whom the filter lets through.";
