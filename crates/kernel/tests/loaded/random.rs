//! Histories of chance on the loaded object and on hash maps: each packet ends alike, each history leaves the same tables.

use std::collections::BTreeMap;
use std::time::Instant;

use datapath::Verdict;
use datapath::abi::Plain;
use datapath::abi::event::{Count, outcome};
use datapath::world::case::{Case, code};
use datapath::world::random::{HOOKS, Happening, History, Lines, Numbers, texts};
use datapath::world::{Backend, Frame, Row, World, hex};
use kernel::scripted::{Ran, Redirect};

use crate::backend::Loaded;

/// Steps of a history: long enough for connections to age, short enough to be run again packet by packet.
const STEPS: usize = 300;
/// Seeds that every run begins with.
const KNOWN: [u64; 4] = [1, 2, 3, 0x00c0_ffee];
/// Packets where the environment does not say.
const PACKETS: u64 = 20_000;

/// When tables are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compare {
    AtTheEnd,
    AfterEachPacket,
}

/// Runs histories until so many packets have been compared; says how many, and the time that they took.
pub(crate) fn histories() {
    let wanted = std::env::var("AXONEME_RANDOM_PACKETS").map_or(PACKETS, |text| {
        text.parse().expect("AXONEME_RANDOM_PACKETS is a number")
    });
    let fresh = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| now.as_nanos() as u64);
    println!("fresh seed {fresh}");
    let mut seeds = Numbers(fresh);
    let (texts, mut loaded) = (texts(), Loaded::new());
    let (mut packets, mut verdicts) = (0, BTreeMap::new());
    let start = Instant::now();
    for number in 0.. {
        if packets >= wanted {
            break;
        }
        let seed = KNOWN.get(number).copied().unwrap_or_else(|| seeds.next());
        match history(seed, &texts, &mut loaded, Compare::AtTheEnd, &mut verdicts) {
            Ok(count) => packets += count,
            Err(found) => {
                let pinned = history(
                    seed,
                    &texts,
                    &mut loaded,
                    Compare::AfterEachPacket,
                    &mut verdicts,
                );
                panic!("seed {seed}: {}", pinned.err().unwrap_or(found));
            }
        }
    }
    let took = start.elapsed();
    let rate = u128::from(packets) * 1000 / took.as_millis().max(1);
    println!("{packets} packets in {took:.1?}, {rate} a second, loads included; {verdicts:?}");
    comparison_sees_another_clock(&texts, &mut loaded);
    assert!(verdicts.len() >= 20, "too few ways to end: {verdicts:?}");
}

/// A comparison that cannot fail proves nothing: with the loaded object's clock one jiffy ahead, it must.
fn comparison_sees_another_clock(texts: &[String], loaded: &mut Loaded) {
    loaded.hurry(1);
    let found = history(1, texts, loaded, Compare::AtTheEnd, &mut BTreeMap::new());
    loaded.hurry(0);
    assert!(found.is_err(), "another clock was not seen");
}

/// One history from its beginning; gives the number of packets, or the first disagreement.
fn history(
    seed: u64,
    texts: &[String],
    loaded: &mut Loaded,
    compare: Compare,
    verdicts: &mut BTreeMap<String, u64>,
) -> Result<u64, String> {
    let mut history = History::new(seed, texts);
    let mut world = World::default();
    let (mut here, mut there) = (Lines::default(), Lines::default());
    loaded.reset();
    let mut apply = |line: &str, world: &mut World, loaded: &mut Loaded| {
        here.apply(line, world);
        there.apply(line, loaded);
    };
    for line in history.beginning() {
        apply(&line, &mut world, loaded);
    }
    let mut count = 0;
    for step in 0..STEPS {
        match history.step() {
            Happening::Line(line) => apply(&line, &mut world, loaded),
            Happening::Packet(case) => {
                let place = |what: String| format!("step {step}, {}: {what}", shown(&case));
                let verdict = one(&case, &mut world, loaded).map_err(place)?;
                let name = match verdict {
                    Verdict::Drop(reason) => format!("{reason:?}"),
                    other => format!("{other:?}")
                        .split(' ')
                        .next()
                        .unwrap_or_default()
                        .to_owned(),
                };
                *verdicts.entry(name).or_insert(0) += 1;
                count += 1;
                if compare == Compare::AfterEachPacket {
                    same_rows(&world.dump(), &loaded.rows()).map_err(place)?;
                }
            }
        }
    }
    let rows = loaded.rows();
    same_rows(&world.dump(), &rows)?;
    balances(&rows, count)?;
    Ok(count)
}

fn shown(Case { hook, frame }: &Case) -> String {
    let Frame {
        bytes,
        gso_size,
        ifindex,
        ingress_ifindex,
        mark,
        tunnel,
        ..
    } = frame;
    format!(
        "hook {hook} ifindex {ifindex} ingress {ingress_ifindex} mark {mark:#x} gso {gso_size} {tunnel:?} {}",
        hex(bytes)
    )
}

/// One packet on both.
fn one(case: &Case, world: &mut World, loaded: &mut Loaded) -> Result<Verdict, String> {
    let mut here = case.frame.clone();
    let verdict = World::run(world, case.hook, &mut here);
    let (ran, mut there) = loaded.packet(case.hook, &case.frame);
    if !ends_as(verdict, &ran) {
        let redirect = ran.redirect;
        return Err(format!("{verdict:?}, loaded {} {redirect:?}", ran.code));
    }
    // What the kernel keeps of segments is not told after a run.
    there.gso_size = here.gso_size;
    // A packet that goes nowhere may be left half rewritten, and is the same in that, too.
    if here != there {
        return Err(format!("{verdict:?} left\n{here:?}\nloaded\n{there:?}"));
    }
    let (events, came) = (world.events.take(), loaded.events());
    if events != came {
        return Err(format!("{verdict:?} told\n{events:?}\nloaded\n{came:?}"));
    }
    let (samples, came) = (world.samples.take(), loaded.samples());
    if samples != came {
        return Err(format!(
            "{verdict:?} sampled\n{samples:?}\nloaded\n{came:?}"
        ));
    }
    Ok(verdict)
}

fn ends_as(verdict: Verdict, ran: &Ran) -> bool {
    let redirect = match verdict {
        Verdict::Pass | Verdict::Drop(_) => None,
        Verdict::Redirect { ifindex } | Verdict::Answer { ifindex } => Some(Redirect::Out(ifindex)),
        Verdict::RedirectPeer { ifindex } => Some(Redirect::Peer(ifindex)),
        Verdict::RedirectNeighbour { ifindex } => Some(Redirect::Neighbour(ifindex)),
    };
    (code(verdict), redirect) == (ran.code, ran.redirect)
}

/// The first row in which the tables differ.
fn same_rows(here: &[Row], there: &[Row]) -> Result<(), String> {
    if here == there {
        return Ok(());
    }
    let only = |rows: &[Row], others: &[Row]| -> String {
        let row = rows.iter().find(|row| !others.contains(row));
        row.map_or("nothing".to_owned(), |row| {
            format!("{} {} {}", row.table, hex(&row.key), hex(&row.value))
        })
    };
    let (ours, theirs) = (only(here, there), only(there, here));
    Err(format!("only in hash maps: {ours}\nonly loaded: {theirs}"))
}

/// Every packet that came in went on, was dropped or was answered, at each hook; every drop is booked on a reason.
fn balances(rows: &[Row], sent: u64) -> Result<(), String> {
    let mut hooks = BTreeMap::new();
    let mut drops = (0, 0);
    for row in rows {
        let count = Count::from_bytes(&row.value).map(|count| (count.packets, count.bytes));
        match (row.table.as_str(), count) {
            ("hooks", Some(count)) => {
                hooks.insert(u32::from_bytes(&row.key).unwrap_or_default(), count);
            }
            ("drops", Some((packets, bytes))) => drops = (drops.0 + packets, drops.1 + bytes),
            _ => {}
        }
    }
    let at = |hook: u8, which: u32| {
        let counter = outcome::counter(hook, which);
        hooks.get(&counter).copied().unwrap_or((0, 0))
    };
    let (mut ended, mut dropped) = (0, (0, 0));
    for hook in HOOKS {
        let ends =
            [outcome::FORWARDED, outcome::DROPPED, outcome::ANSWERED].map(|end| at(hook, end));
        ended += ends.iter().map(|end| end.0).sum::<u64>();
        let lost = at(hook, outcome::DROPPED);
        dropped = (dropped.0 + lost.0, dropped.1 + lost.1);
    }
    if ended == sent && dropped == drops {
        return Ok(());
    }
    Err(format!(
        "{ended} of {sent} ended; {dropped:?} dropped, {drops:?} by reasons"
    ))
}
