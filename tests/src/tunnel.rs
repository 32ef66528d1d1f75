//! The way to a house by its name and without a port, for programs that take no port.
//!
//! `gh auth login` takes a host without a port and speaks HTTPS alone, so a tunnel that the test holds (`HTTPS_PROXY`)
//! leads from `packs.test` to the house, whose certificate is for that name.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};

/// The name of a house behind a tunnel, for which its certificate is too.
pub const HOST: &str = "packs.test";

/// The address of a proxy that leads each tunnel to [`HOST`] to the address `to` and takes no other; gone with
/// the process.
#[must_use]
pub fn tunnel(to: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address").to_string();
    let to = to.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let to = to.clone();
            std::thread::spawn(move || lead(&client, &to));
        }
    });
    address
}

fn lead(mut client: &TcpStream, to: &str) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    if !line.starts_with(&format!("CONNECT {HOST}:443 ")) {
        return None;
    }
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line).ok()?;
    }
    let server = TcpStream::connect(to).ok()?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
    let (back, forth) = (server.try_clone().ok()?, client.try_clone().ok()?);
    let down = std::thread::spawn(move || pour(back, &forth));
    pour(reader, &server);
    down.join().ok()
}

fn pour(mut from: impl Read, mut to: &TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
