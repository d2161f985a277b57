use super::*;

#[test]
fn what_is_behind_it_answers_and_a_closed_one_is_shut() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a server");
    let inside = server.local_addr().expect("its address");
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("a client");
        let mut asked = [0; 512];
        let length = stream.read(&mut asked).expect("its request");
        let asked = String::from_utf8_lossy(&asked[..length]).into_owned();
        write!(stream, "HTTP/1.0 200 OK\r\n\r\n{{\"a\": 1}}").expect("it is answered");
        asked
    });
    let here = Namespace::current().expect("a namespace");
    let doorway = Doorway::open(0, &here, inside).expect("it opens");
    assert_eq!(
        doorway.json("/b?c=d").expect("an answer"),
        serde_json::json!({ "a": 1 })
    );
    let asked = serving.join().expect("it ends");
    assert!(asked.starts_with("GET /b?c=d HTTP/1.0\r\n"), "{asked}");
    let address = doorway.address;
    drop(doorway);
    TcpStream::connect(address).expect_err("nothing listens any more");
}

#[test]
fn a_port_that_is_taken_is_replaced_by_another() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let here = Namespace::current().expect("a namespace");
    let doorway =
        Doorway::open(port, &here, ([127, 0, 0, 1], 9).into()).expect("it opens elsewhere");
    assert_ne!(doorway.address.port(), port);
}
