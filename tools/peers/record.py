"""Passes connections on to a port, and writes down what they say: number of the connection, who speaks (`>` the client, `<` the
server), and the octets of one read. What the parsers' corpus has of programs in other languages (crates/l7/src/tests/recorded)
was recorded so.

    record.py PORT TARGET FILE
"""
import socket
import sys
import threading


def main(port, target, path):
    server = socket.create_server(("127.0.0.1", port), backlog=64)
    lock, number = threading.Lock(), 0
    with open(path, "w", buffering=1) as file:
        while True:
            client, _ = server.accept()
            number += 1
            upstream = socket.create_connection(("127.0.0.1", target))
            for one in (client, upstream):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for mark, source, sink in ((">", client, upstream), ("<", upstream, client)):
                threading.Thread(target=carry, args=(f"{number}{mark}", source, sink, file, lock), daemon=True).start()


def carry(mark, source, sink, file, lock):
    try:
        while octets := source.recv(1 << 16):
            with lock:
                file.write(f"{mark} {octets.hex()}\n")
            sink.sendall(octets)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
