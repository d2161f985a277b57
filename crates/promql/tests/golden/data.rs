//! Series and questions for both judges: made of a seed, so that nothing but the answers has to be kept.

#![allow(clippy::cast_precision_loss, reason = "small numbers")]

use std::fmt::Write as _;

use promql::{Found, Labels, NAME, Sample};

/// When the series begin, milliseconds since the Unix epoch.
pub(crate) const START: i64 = 1_700_000_000_000;
/// Between two values, milliseconds.
const STEP: i64 = 15_000;
/// Values of a series that has no gaps: 90 minutes.
const VALUES: i64 = 360;

/// A question: at one time, or at several.
pub(crate) struct Asked {
    pub(crate) query: String,
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// 0 for one time.
    pub(crate) step: i64,
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

fn labels(name: &str, others: &[(&str, &str)]) -> Labels {
    let own = [(NAME, name)].into_iter();
    own.chain(others.iter().copied()).collect()
}

fn times() -> impl Iterator<Item = i64> {
    (0..VALUES).map(|number| START + number * STEP)
}

/// A counter that now and then begins anew.
fn counter(random: &mut Random, labels: Labels, most: u64) -> Found {
    let mut value = random.below(50);
    let samples = times().map(|time| {
        value = if random.below(120) == 0 {
            0
        } else {
            value + random.below(most)
        };
        let jitter = random.below(400) as i64;
        Sample {
            time: time + jitter,
            value: value as f64,
        }
    });
    Found {
        samples: samples.collect(),
        labels,
    }
}

fn gauge(random: &mut Random, labels: Labels) -> Found {
    let mut value = 100.0;
    let samples = times().map(|time| {
        value += random.below(2001) as f64 / 100.0 - 10.0;
        Sample {
            time,
            value: (value * 100.0_f64).round() / 100.0,
        }
    });
    Found {
        samples: samples.collect(),
        labels,
    }
}

/// A classic histogram: its buckets, its sum and its count.
fn histogram(random: &mut Random, job: &str) -> Vec<Found> {
    const BOUNDS: &[&str] = &["0.005", "0.05", "0.1", "0.5", "1", "5", "+Inf"];
    let mut counts = [0_u64; 7];
    let mut sum = 0.0;
    let mut samples = vec![Vec::new(); BOUNDS.len() + 2];
    for time in times() {
        for (place, count) in counts.iter_mut().enumerate() {
            let new = random.below(2 + 6 * (3 - (place as u64).min(3)));
            *count += new;
            sum += new as f64 * (place as f64 + 0.25);
        }
        let mut below = 0;
        for (place, count) in counts.iter().enumerate() {
            below += count;
            samples[place].push(Sample {
                time,
                value: below as f64,
            });
        }
        samples[BOUNDS.len()].push(Sample { time, value: sum });
        samples[BOUNDS.len() + 1].push(Sample {
            time,
            value: below as f64,
        });
    }
    let bucket = |bound: &&str| labels("latency_seconds_bucket", &[("job", job), ("le", bound)]);
    let names = BOUNDS.iter().map(bucket).chain([
        labels("latency_seconds_sum", &[("job", job)]),
        labels("latency_seconds_count", &[("job", job)]),
    ]);
    names
        .zip(samples)
        .map(|(labels, samples)| Found { labels, samples })
        .collect()
}

/// A gauge that is away for a while, twice: once without a word, once with the mark of its end.
fn flapping(random: &mut Random, labels: Labels) -> Found {
    let mut found = gauge(random, labels);
    let silent = START + 60 * STEP..START + 100 * STEP;
    let ended = START + 170 * STEP..START + 185 * STEP;
    found.samples.retain(|sample| {
        let is_after_end = ended.contains(&sample.time) && sample.time != ended.start;
        !silent.contains(&sample.time) && !is_after_end
    });
    for sample in &mut found.samples {
        if sample.time == ended.start {
            *sample = Sample::stale(sample.time);
        }
    }
    found
}

/// What one instance of a job has.
fn instance(random: &mut Random, job: &str, instance: &str) -> Vec<Found> {
    let own = [("instance", instance), ("job", job)];
    let with = |name: &str, value: &str| {
        let mut all = own.to_vec();
        all.push((name, value));
        all.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<Vec<_>>()
    };
    let named = |metric: &str, others: Vec<(String, String)>| {
        let pairs = others
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        labels(metric, &pairs.collect::<Vec<_>>())
    };
    let mut all = Vec::new();
    for (code, most) in [("200", 40), ("500", 4)] {
        let labels = named("requests_total", with("code", code));
        all.push(counter(random, labels, most));
    }
    all.push(gauge(random, labels("memory_bytes", &own)));
    let up = times().map(|time| Sample {
        time,
        value: f64::from(u8::from(random.below(9) > 0)),
    });
    let samples = up.collect();
    let labels = labels("up", &own);
    all.push(Found { labels, samples });
    let version = if instance == "0" { "v1" } else { "v2" };
    let labels = named("build_info", with("version", version));
    let samples = times().map(|time| Sample { time, value: 1.0 }).collect();
    all.push(Found { labels, samples });
    all
}

/// Values that are none of everyday.
const SPECIAL_VALUES: &[(&str, f64)] = &[
    ("nan", f64::NAN),
    ("inf", f64::INFINITY),
    ("minus", f64::NEG_INFINITY),
    ("zero", 0.0),
    ("low", -2.5),
    ("high", 1e9),
];

/// All series.
pub(crate) fn series() -> Vec<Found> {
    let mut random = Random(20);
    let mut all = Vec::new();
    for (job, limit) in [("api", 110.5), ("db", 95.0)] {
        for number in ["0", "1", "2"] {
            all.extend(instance(&mut random, job, number));
        }
        all.extend(histogram(&mut random, job));
        let value = limit;
        let samples = times().step_by(4).map(|time| Sample { time, value });
        all.push(Found {
            samples: samples.collect(),
            labels: labels("limit_bytes", &[("job", job)]),
        });
    }
    for instance in ["0", "1"] {
        let labels = labels("flapping", &[("instance", instance)]);
        all.push(flapping(&mut random, labels));
    }
    for (kind, value) in SPECIAL_VALUES {
        let value = *value;
        let samples = times().map(|time| Sample { time, value }).collect();
        let labels = labels("special", &[("kind", kind)]);
        all.push(Found { labels, samples });
    }
    let path = labels("odd_total", &[("path", "/a\"b\\c"), ("zone", "süd")]);
    all.push(counter(&mut random, path, 7));
    all
}

const RANGE_FUNCTIONS: &[&str] = &[
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "deriv",
    "changes",
    "resets",
    "avg_over_time",
    "sum_over_time",
    "min_over_time",
    "max_over_time",
    "count_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "last_over_time",
    "first_over_time",
    "present_over_time",
];
const RANGE_SELECTORS: &[&str] = &[
    "requests_total{code=\"500\"}",
    "memory_bytes{job=\"db\"}",
    "flapping",
    "special",
    "odd_total",
    "limit_bytes",
    "latency_seconds_sum",
];
const RANGES: &[&str] = &[
    "[1m]",
    "[5m]",
    "[97s]",
    "[20m] offset 3m",
    "[16s]",
    "[10m:1m]",
    "[7m:45s] offset -1m",
    "[3m] @ 1700001800",
];
const ELEMENTARY: &[&str] = &[
    "abs",
    "ceil",
    "floor",
    "exp",
    "ln",
    "log2",
    "log10",
    "sqrt",
    "sgn",
    "sin",
    "cos",
    "tan",
    "atan",
    "asinh",
    "tanh",
    "deg",
    "rad",
    "round",
    "timestamp",
    "sort",
    "sort_desc",
    "absent",
    "-",
    "hour",
    "minute",
    "month",
    "year",
    "day_of_week",
    "day_of_month",
    "day_of_year",
    "days_in_month",
    "scalar",
];
const AGGREGATIONS: &[&str] = &[
    "sum",
    "avg",
    "min",
    "max",
    "count",
    "group",
    "stddev",
    "stdvar",
    "quantile(0.3, ",
    "topk(2, ",
    "bottomk(1, ",
];
const GROUPINGS: &[&str] = &[
    "",
    "by (job)",
    "by (job, code)",
    "without (instance)",
    "by (missing)",
];
const VECTORS: &[&str] = &[
    "requests_total",
    "memory_bytes",
    "rate(requests_total[5m])",
    "flapping",
    "up",
    "special{kind!~\"nan|inf\"}",
    "increase(latency_seconds_bucket{job=\"api\"}[10m])",
];
const OPERATORS: &[&str] = &[
    "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "<", "<=", ">", ">=", "> bool", "== bool",
    "and", "or", "unless",
];
const SIDES: &[(&str, &str, &str)] = &[
    ("memory_bytes", "", "up"),
    ("memory_bytes", "on (job) group_left ()", "limit_bytes"),
    ("limit_bytes", "on (job) group_right ()", "memory_bytes"),
    (
        "memory_bytes",
        "* on (job, instance) group_left (version) build_info",
        "",
    ),
    ("requests_total", "ignoring (code)", "memory_bytes"),
    (
        "requests_total{code=\"500\"}",
        "ignoring (code)",
        "requests_total{code=\"200\"}",
    ),
    ("sum by (job) (rate(requests_total[5m]))", "", "limit_bytes"),
    ("memory_bytes", "on (instance)", "up"),
    ("memory_bytes", "", "100"),
    ("3", "", "memory_bytes"),
    ("flapping", "", "flapping offset 10m"),
    ("memory_bytes", "on ()", "up"),
];
/// What is special, one a line.
const SPECIAL: &str = r#"
1
-1 ^ 2
2 ^ 3 ^ 2
-2 ^ 2 * 3
1 + 2 * 3 % 4 - 5 / 2
1 > bool 2
1 > 2
0x1F + 1e3 + .5
5m + 1
inf - inf
nan == bool nan
"text"
'it\'s \x41\u00fc\n'
`raw \n`
time()
pi() * 2
time() - 30
vector(time())
vector(1) + on () group_left () memory_bytes
scalar(memory_bytes{instance="0", job="api"}) * 2
scalar(memory_bytes)
scalar(missing)
memory_bytes
{__name__="memory_bytes", job="db"}
{"memory_bytes", job!="db"}
{__name__=~"memory.*|up", instance="1"}
memory_bytes{job=~"a.*"}
memory_bytes{job=~"a"}
memory_bytes{job!~"a.*|x"}
memory_bytes{missing=""}
memory_bytes{missing!=""}
memory_bytes{instance=~"[0-1]"}
odd_total{path="/a\"b\\c"}
odd_total{zone='süd'}
missing
memory_bytes offset 7m
memory_bytes offset -7m
memory_bytes @ 1700001000
memory_bytes @ 1700001000.5 offset 2m
memory_bytes @ start()
memory_bytes offset 90s @ end()
flapping
flapping offset 1m
count(flapping)
absent(missing{job="api", zone=~".+", code="1"})
absent(memory_bytes)
absent(flapping)
absent(sum(missing))
absent(missing{job="a", job="b"})
absent_over_time(missing{job="api"}[5m])
absent_over_time(flapping[3m])
absent_over_time(flapping{instance="0"}[1m:15s])
histogram_quantile(0.5, latency_seconds_bucket)
histogram_quantile(0.99, rate(latency_seconds_bucket[5m]))
histogram_quantile(0.9, sum by (le) (rate(latency_seconds_bucket[5m])))
histogram_quantile(0.9, sum by (job, le) (increase(latency_seconds_bucket[2m])))
histogram_quantile(0, latency_seconds_bucket)
histogram_quantile(1, latency_seconds_bucket)
histogram_quantile(-1, latency_seconds_bucket)
histogram_quantile(2, latency_seconds_bucket)
histogram_quantile(nan, latency_seconds_bucket)
histogram_quantile(0.5, latency_seconds_bucket{le!="+Inf"})
histogram_quantile(0.5, latency_seconds_bucket{le="+Inf"})
histogram_quantile(0.5, memory_bytes)
histogram_quantile(0.5, latency_seconds_bucket - 40)
rate(latency_seconds_sum[5m]) / rate(latency_seconds_count[5m])
1 - sum(rate(requests_total{code="500"}[5m])) / sum(rate(requests_total[5m]))
sum by (job) (rate(requests_total{code="500"}[5m])) / sum by (job) (rate(requests_total[5m])) > 0.08
sum without (code, instance) (requests_total)
sum(sum by (job) (memory_bytes))
avg(special)
sum(special)
max(special)
min(special)
stddev(special{kind!="nan"})
avg(special{kind="high"} * 1e300)
sum by (kind) (special)
count_values("value", up)
count_values by (job) ("value", up)
count_values without (instance) ("job", up)
count_values("v", special)
topk(3, memory_bytes)
bottomk(3, memory_bytes)
topk by (job) (1, memory_bytes)
topk(0, memory_bytes)
topk(-1, memory_bytes)
topk(100, special)
bottomk(100, special)
topk(scalar(count(up)) - 4, memory_bytes)
quantile(0.5, memory_bytes)
quantile by (job) (0.9, memory_bytes)
quantile(-1, memory_bytes)
quantile(2, memory_bytes)
quantile(0.5, special)
quantile_over_time(0.25, memory_bytes[10m])
quantile_over_time(1.5, memory_bytes[10m])
quantile_over_time(scalar(up{instance="0", job="api"}), memory_bytes[2m])
predict_linear(memory_bytes[10m], 600)
predict_linear(memory_bytes[10m] offset 5m, 60)
predict_linear(limit_bytes[10m], 60)
predict_linear(special[5m], 1)
label_replace(memory_bytes, "host", "h-$1", "instance", "(.*)")
label_replace(memory_bytes, "job", "$1$1", "job", "(a)pi")
label_replace(memory_bytes, "job", "", "job", ".*")
label_replace(memory_bytes, "instance", "same", "instance", ".*")
label_replace(memory_bytes, "__name__", "other", "job", ".*")
label_replace(memory_bytes, "host", "${1}_x", "instance", "([0-9])")
label_join(memory_bytes, "both", "-", "job", "instance")
label_join(memory_bytes, "both", ", ", "missing", "job")
label_join(memory_bytes, "instance", "")
clamp(memory_bytes, 95, 105)
clamp(memory_bytes, 105, 95)
clamp_min(memory_bytes, 100)
clamp_max(memory_bytes, scalar(limit_bytes{job="db"}))
clamp_max(special, nan)
round(memory_bytes, 5)
round(memory_bytes, 0.1)
round(special{kind="low"})
sort(memory_bytes)
sort_desc(memory_bytes)
sort(special)
sort_desc(special)
timestamp(memory_bytes offset 1m)
timestamp((requests_total{code="500"}))
timestamp(memory_bytes + 0)
timestamp(vector(1))
hour()
minute(vector(1700000000))
days_in_month(vector(1709164800))
day_of_year(vector(1735603200))
year(vector(-1))
month(vector(951782400))
day_of_month(vector(951782400))
memory_bytes[1m]
memory_bytes{job="api"}[1m] offset 2m
flapping[10m]
requests_total{instance="0", code="500"}[2m]
memory_bytes{instance="0"}[5m:1m]
rate(requests_total{instance="0"}[5m])[10m:2m]
vector(3)[3m:1m]
max_over_time(rate(requests_total{code="500"}[2m])[10m:30s])
avg_over_time(sum(up)[5m:])
sum_over_time(time()[2m:30s])
max_over_time((memory_bytes > 100)[10m:15s])
rate(requests_total{code="500"}[5m] offset 5m) / rate(requests_total{code="500"}[5m])
rate(requests_total{code="500"}[1s])
increase(requests_total{job="api", code="200"}[90m])
rate({__name__=~"requests_total|odd_total"}[5m])
rate({__name__=~"latency_seconds_(sum|count)", job="api"}[5m])
abs({__name__=~"memory_bytes|up"})
memory_bytes + on (job) up
memory_bytes * on (job) group_left () up
limit_bytes / on (job) group_left () memory_bytes
memory_bytes / on (job) group_left () limit_bytes
memory_bytes * on (job, instance) group_left (version) build_info
sum by (version) (memory_bytes * on (job, instance) group_left (version) build_info)
build_info * on (job, instance) group_right (version) requests_total
up == 1
up == bool 0
memory_bytes > 100 < 120
100 < memory_bytes
memory_bytes > bool 100
memory_bytes > on (job) group_left () limit_bytes
limit_bytes < bool on (job) group_right () memory_bytes
memory_bytes and on (instance) up{instance="0", job="api"}
memory_bytes or up
memory_bytes or on (job) up
memory_bytes unless up == 0
memory_bytes unless on (job) limit_bytes{job="db"}
up or vector(0)
missing or vector(0)
sum(missing) or vector(7)
memory_bytes and missing
flapping or up{job="db", instance="0"}
flapping == flapping offset 5m
-memory_bytes
+memory_bytes
-(1 + 2)
- - 1
memory_bytes % 7
special % 2
special ^ 2
special / 0
0 / special
special atan2 1
special == special
special != bool special
SUM(up) BY (job)
sum(up) without (instance)
memory_bytes # a comment
memory_bytes{job="api",}
sum by (job,) (up)
deriv(flapping[5m])
changes(up[10m])
resets(requests_total{code="200"}[30m])
irate(requests_total{code="500"}[30s])
idelta(memory_bytes[1m])
sgn(special)
stdvar_over_time(special[1m])
sum(
sum()
sum(1)
rate(memory_bytes)
rate(5)
abs(memory_bytes[5m])
memory_bytes[5m] + 1
memory_bytes[0s]
memory_bytes[5x]
memory_bytes[5m1h]
{}
{job=~".*"}
{job=""}
memory_bytes{job="api"
memory_bytes{job=}
memory_bytes{job=~"("}
unknown_function(up)
1 and 2
up and 1
up + bool 1
up + on (job) 1
up and on (job) group_left () up
sum(up)[5m]
up offset 1m offset 2m
(up + up) offset 1m
sum(up) @ 5
up[5m][5m]
"a" + 1
-"a"
topk(up, up)
count_values(1, up)
label_replace(up, "a", "b", "c", "(")
label_join(up, "a")
clamp(up, 1)
round()
time(1)
histogram_quantile(up, up)
1 +
)
up up
up{a="b" c="d"}
up offset
up @
"#;

/// Expressions within expressions, as chance will have it.
fn expression(random: &mut Random, depth: u64) -> String {
    if depth == 0 {
        return random.pick(VECTORS).to_owned();
    }
    let inner = expression(random, depth - 1);
    match random.below(7) {
        0 | 1 => {
            let (aggregation, grouping) = (random.pick(AGGREGATIONS), random.pick(GROUPINGS));
            aggregated(aggregation, grouping, &inner)
        }
        2 => format!(
            "{}({inner})",
            random.pick(&["abs", "ceil", "sgn", "-", "sort", "timestamp"])
        ),
        3 => format!(
            "{}(({inner})[{}])",
            random.pick(&["max_over_time", "avg_over_time", "rate", "count_over_time"]),
            random.pick(&["5m:1m", "3m:20s"])
        ),
        4 => format!(
            "({inner}) {} {}",
            random
                .pick(OPERATORS)
                .replace("and", "+")
                .replace("or", "*")
                .replace("unless", "-"),
            random.pick(&["2", "0.5", "-1", "100"])
        ),
        5 => format!(
            "({inner}) {} ({})",
            random.pick(&["and", "or", "unless", "and on (job)", "or on (job)"]),
            random.pick(VECTORS)
        ),
        _ => {
            let other = random.pick(&[
                "sum by (job) (up)",
                "limit_bytes",
                "avg by (job) (memory_bytes)",
            ]);
            format!(
                "({inner}) {} on (job) group_left () ({other})",
                random.pick(&["+", "*", "/", ">", "<= bool"])
            )
        }
    }
}

fn aggregated(aggregation: &str, grouping: &str, inner: &str) -> String {
    match aggregation.split_once('(') {
        Some((name, parameter)) => format!("{name} {grouping} ({parameter}{inner})"),
        None => format!("{aggregation} {grouping} ({inner})"),
    }
}

/// All questions.
pub(crate) fn questions() -> Vec<Asked> {
    let mut random = Random(7);
    let mut queries: Vec<String> = SPECIAL
        .lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    for function in RANGE_FUNCTIONS {
        for _ in 0..5 {
            queries.push(format!(
                "{function}({}{})",
                random.pick(RANGE_SELECTORS),
                random.pick(RANGES)
            ));
        }
    }
    for function in ELEMENTARY {
        queries.push(format!(
            "{function}({})",
            random.pick(&["memory_bytes", "special", "flapping", "memory_bytes / 100"])
        ));
    }
    for aggregation in AGGREGATIONS {
        for grouping in GROUPINGS {
            queries.push(aggregated(aggregation, grouping, random.pick(VECTORS)));
        }
    }
    for operator in OPERATORS {
        for _ in 0..4 {
            let (left, matching, right) = random.pick(SIDES);
            let mut query = String::new();
            let _ = if right.is_empty() {
                write!(query, "{left} {matching}")
            } else {
                write!(query, "{left} {operator} {matching} {right}")
            };
            queries.push(query);
        }
    }
    for number in 0..140 {
        queries.push(expression(&mut random, 2 + number % 2));
    }
    let mut asked: Vec<Asked> = Vec::new();
    for (number, query) in queries.into_iter().enumerate() {
        if asked.iter().any(|of| of.query == query) {
            continue;
        }
        // Within the series, in a gap of some, and beyond their end.
        let start = START + random.pick(&[1_800_000, 1_207_531, 2_640_000, 2_700_001, 5_460_000]);
        let (end, step) = if number % 3 == 0 {
            (start + 3 * 77_000, 77_000)
        } else {
            (start, 0)
        };
        asked.push(Asked {
            query,
            start,
            end,
            step,
        });
    }
    asked
}
