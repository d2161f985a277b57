// A small line of values over time; where nothing is known there is a gap.
import { type JSX, createMemo } from "solid-js";
import { runs } from "../tiles";

const WIDTH = 100;
const HEIGHT = 28;

export function Line(props: { values: (number | undefined)[]; label: string; tone: string }): JSX.Element {
  const path = createMemo(() =>
    runs(props.values)
      .map((run) => {
        const points = run.map(([x, y]) => `${(x * WIDTH).toFixed(1)},${(HEIGHT - 1.5 - y * (HEIGHT - 3)).toFixed(1)}`);
        return `M${points.join("L")}${points.length === 1 ? "h0.01" : ""}`;
      })
      .join(""),
  );
  const area = createMemo(() =>
    runs(props.values)
      .filter((run) => run.length > 1)
      .map((run) => {
        const points = run.map(([x, y]) => `${(x * WIDTH).toFixed(1)},${(HEIGHT - 1.5 - y * (HEIGHT - 3)).toFixed(1)}`);
        return `M${((run[0]?.[0] ?? 0) * WIDTH).toFixed(1)},${HEIGHT}L${points.join("L")}L${((run.at(-1)?.[0] ?? 0) * WIDTH).toFixed(1)},${HEIGHT}Z`;
      })
      .join(""),
  );
  return (
    <svg class={`line ${props.tone}`} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={props.label}>
      <path class="area" d={area()} />
      <path class="stroke" d={path()} />
    </svg>
  );
}
