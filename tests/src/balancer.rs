//! A plain TCP balancer: each connection goes to the next server that takes it, and nothing is looked at.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(2);

/// A balancer on a port of its own; gone with the process.
#[derive(Debug, Clone)]
pub struct Balancer {
    address: String,
    servers: Arc<Mutex<Vec<String>>>,
}

impl Balancer {
    /// Over servers by their `host:port`.
    ///
    /// # Panics
    ///
    /// When no port is free.
    #[must_use]
    pub fn over(servers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address").to_string();
        let servers = Arc::new(Mutex::new(servers));
        let (to, turn) = (Arc::clone(&servers), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (to, turn) = (Arc::clone(&to), Arc::clone(&turn));
                std::thread::spawn(move || lead(client, &to, &turn));
            }
        });
        Self { address, servers }
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A server has another address from now on.
    pub fn set(&self, number: usize, server: &str) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        server.clone_into(&mut servers[number]);
    }
}

/// A client that no server takes is hung up on.
fn lead(client: TcpStream, servers: &Mutex<Vec<String>>, turn: &AtomicUsize) -> Option<()> {
    let servers = servers.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let first = turn.fetch_add(1, Ordering::Relaxed);
    let server = (0..servers.len()).find_map(|next| connect(&servers[(first + next) % servers.len()]))?;
    let (back, forth) = (server.try_clone().ok()?, client.try_clone().ok()?);
    let down = std::thread::spawn(move || pour(back, forth));
    pour(client, server);
    down.join().ok()
}

fn connect(server: &str) -> Option<TcpStream> {
    let address: SocketAddr = server.parse().ok()?;
    TcpStream::connect_timeout(&address, CONNECT).ok()
}

fn pour(mut from: TcpStream, mut to: TcpStream) {
    let whole = io::copy(&mut from, &mut to).is_ok();
    let _ = to.shutdown(if whole { Shutdown::Write } else { Shutdown::Both });
}
