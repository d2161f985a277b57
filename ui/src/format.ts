// Numbers and times for people: three digits and a unit, always of the same width.

/** 0, 0.02, 3.10, 42.0, 713, 8,210. */
export function rate(perSecond: number): string {
  if (perSecond === 0) return "0";
  if (perSecond < 0.01) return "<0.01";
  if (perSecond < 10) return perSecond.toFixed(2);
  if (perSecond < 100) return perSecond.toFixed(1);
  return count(Math.round(perSecond));
}

export const count = (value: number): string => value.toLocaleString("en-US");

/** Bytes with a unit of powers of 1,000. */
export function bytes(value: number): string {
  let rest = value;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (rest < 1000) return `${rest < 10 && unit !== "B" ? rest.toFixed(1) : Math.round(rest)} ${unit}`;
    rest /= 1000;
  }
  return `${rest.toFixed(1)} TB`;
}

/** A duration, given in microseconds. */
export function duration(micros: number): string {
  if (micros < 1e3) return `${micros.toFixed(0)} µs`;
  if (micros < 1e4) return `${(micros / 1e3).toFixed(2)} ms`;
  if (micros < 1e5) return `${(micros / 1e3).toFixed(1)} ms`;
  if (micros < 1e6) return `${(micros / 1e3).toFixed(0)} ms`;
  return `${(micros / 1e6).toFixed(2)} s`;
}

/** Something is not nothing, and not everything is all. */
export function share(part: number, whole: number): string {
  if (part === 0) return "0 %";
  if (whole === 0) return "";
  const percent = (part / whole) * 100;
  return `${(part < whole ? Math.min(Math.max(percent, 0.1), 99.9) : percent).toFixed(1)} %`;
}

const two = (value: number): string => String(value).padStart(2, "0");

/** Time of day where the reader is; with the day, if that is another. */
export function clock(time: string | number | undefined, now = new Date()): string {
  if (time === undefined) return "";
  const date = new Date(time);
  const day = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return date.toDateString() === now.toDateString() ? day : `${two(date.getMonth() + 1)}-${two(date.getDate())} ${day}`;
}

/** How long ago, in the largest unit that fits. */
export function age(time: string | number | undefined, now = Date.now()): string {
  if (time === undefined) return "";
  const seconds = Math.max(0, Math.round((now - new Date(time).getTime()) / 1000));
  if (seconds < 2) return "now";
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} days ago`;
}

/** One thing, two things. */
export const plural = (value: number, one: string, many = `${one}s`): string => `${count(value)} ${value === 1 ? one : many}`;

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Seconds of a span like 90s, 15m or 1h30m. */
export function seconds(span: string): number | undefined {
  if (!/^(\d+[smhd])+$/.test(span)) return undefined;
  return [...span.matchAll(/(\d+)([smhd])/g)].reduce((sum, [, value, unit]) => sum + Number(value) * (UNITS[unit ?? ""] ?? 0), 0);
}

const PROTOCOLS: Record<number, string> = { 1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP" };

export function port(number: number | undefined, protocol: number | undefined): string {
  const name = PROTOCOLS[protocol ?? 0] ?? String(protocol ?? "");
  return number ? `${number}/${name}` : name;
}

/** A long time, in its two largest units. */
export function lasting(seconds: number): string {
  const whole = Math.floor(seconds);
  const [days, hours, minutes] = [Math.floor(whole / 86_400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}
