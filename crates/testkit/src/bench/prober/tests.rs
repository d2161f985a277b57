//! The prober over a path that the test opens and shuts.

use super::*;

/// A path over the loop-back device: datagrams go on to the receiver while it is open.
struct Gate {
    open: Arc<AtomicBool>,
    shut_out: Arc<AtomicU64>,
}

fn through_a_gate() -> (Prober, Gate) {
    let bind = || UdpSocket::bind("127.0.0.1:0").expect("bind");
    let (here, middle, there) = (bind(), bind(), bind());
    let (entrance, exit) = (
        middle.local_addr().expect("address"),
        there.local_addr().expect("address"),
    );
    let gate = Gate {
        open: Arc::new(AtomicBool::new(true)),
        shut_out: Arc::default(),
    };
    let (open, shut_out) = (Arc::clone(&gate.open), Arc::clone(&gate.shut_out));
    middle
        .set_read_timeout(Some(Duration::from_secs(1)))
        .expect("time-out");
    // It ends by itself once nobody sends any more.
    std::thread::spawn(move || {
        let mut buffer = [0; 8];
        while let Ok(length) = middle.recv(&mut buffer) {
            if open.load(Ordering::SeqCst) {
                middle.send_to(&buffer[..length], exit).expect("pass on");
            } else {
                shut_out.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (
        Prober::over(here, entrance, there).expect("datagrams arrive"),
        gate,
    )
}

impl Gate {
    fn set(&self, open: bool) -> Instant {
        self.open.store(open, Ordering::SeqCst);
        Instant::now()
    }
}

#[test]
fn the_end_is_the_last_arrival_and_not_the_silence_after_it() {
    let (prober, gate) = through_a_gate();
    let shut = gate.set(false);
    let took = prober.ends_after(shut).expect("silence");
    assert!(shut.elapsed() > QUIET, "the silence was not waited for");
    assert!(took < QUIET, "{took:?} holds the silence");
}

#[test]
fn an_end_before_the_moment_asked_about_took_no_time() {
    let (prober, gate) = through_a_gate();
    prober.ends_after(gate.set(false)).expect("silence");
    let took = prober.ends_after(Instant::now()).expect("silence");
    assert_eq!(took, Duration::ZERO);
}

#[test]
fn the_beginning_is_the_first_arrival_after_the_silence() {
    let (prober, gate) = through_a_gate();
    let shut = gate.set(false);
    prober.ends_after(shut).expect("silence");
    let delay = Duration::from_millis(80);
    let asked = Instant::now();
    let took = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(delay);
            gate.set(true);
        });
        prober.begins_after(asked).expect("datagrams")
    });
    assert!(took >= delay, "{took:?}, before the gate was open");
    assert!(took <= asked.elapsed(), "{took:?}");
}

#[test]
fn what_is_shut_out_is_lost_and_nothing_else() {
    let (prober, gate) = through_a_gate();
    gate.set(false);
    std::thread::sleep(Duration::from_millis(30));
    gate.set(true);
    std::thread::sleep(Duration::from_millis(30));
    let (sent, lost) = prober.finish();
    let shut_out = gate.shut_out.load(Ordering::SeqCst);
    assert!(
        shut_out > 0 && sent > shut_out,
        "{sent} sent, {shut_out} shut out"
    );
    assert_eq!(lost, shut_out);
}
